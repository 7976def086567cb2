/* JSON Merge Patch (RFC 7396). */
#ifndef HF_CORE_JSON_MERGE_H
#define HF_CORE_JSON_MERGE_H

#include "core/json.h"

/* What merging the patch into the document gives: members of the patch replace those of the document, objects are
 * merged member by member, null removes. Neither is changed; the result may share values with both. Members that stay
 * keep their order. Owns; NULL when memory is short. */
json_t *hf_json_merge(const json_t *document, const json_t *patch);

#endif
