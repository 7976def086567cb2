/* A quick look at a JSON text that needs no tree: the check of every uploaded state starts here. */
#ifndef HF_CORE_JSON_SCAN_H
#define HF_CORE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* True: the text is well-formed JSON without duplicate keys. False: it is not, or it holds something that is left to
 * the real parser (escaped keys, surrogates, very long numbers, deep nesting). It never accepts what jansson refuses.
 */
bool hf_json_scan(const void *text, size_t bytes);

#endif
