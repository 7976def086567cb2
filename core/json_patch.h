/* JSON Patch (RFC 6902): applying one, and making the one that leads from one value to another. */
#ifndef HF_CORE_JSON_PATCH_H
#define HF_CORE_JSON_PATCH_H

#include "core/json.h"

#define HF_JSON_PATCH_OPERATIONS_MAX 10000

/* Applies a patch to *document_inout: all of it, or, with an error, nothing. On success the old reference is dropped
 * and a new one set; the patch stays as it is, and the new document may share values with it. The numbers of a "test"
 * are compared by value: 1 equals 1.0.
 *
 * HF_INVALID_REQUEST: the patch is malformed. HF_CONFLICT: an operation does not fit the document, or would nest deeper
 * than can be read again. HF_PRECONDITION: a "test" failed. HF_BODY_TOO_LARGE: the operations together move or copy
 * more than is allowed. The text names the operation by its index from 0, never a value. "copy" shares what it copies:
 * memory stays small, but the text of the result may be many times as large, which whoever writes it must bound. */
HF_MUST_USE bool hf_json_patch_apply(const json_t *patch, json_t **document_inout, struct hf_error *err);

/* A patch that, applied to from, gives to, exactly (hf_json_same); empty when they are the same. Always the same for
 * the same values in the same order; never much larger than to, and never more work to make or apply than a bound:
 * beyond that it replaces the whole. It shares values with to. Values of more than 50 million parts are for the caller
 * to keep away. Owns. */
json_t *hf_json_patch_diff(const json_t *from, const json_t *to);

#endif
