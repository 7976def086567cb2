/* Names and ids. */
#ifndef HF_CORE_ID_H
#define HF_CORE_ID_H

#include <stdbool.h>
#include <stddef.h>

#define HF_NAME_MAX 128 /* characters of a system, component or other name */

/* True when the name matches [A-Za-z0-9][A-Za-z0-9._:-]{0,127}. */
bool hf_name_is_valid(const char *name, size_t bytes);

/* Cryptographically random bytes; ends the process when the system has none to give. */
void hf_random_bytes(void *out, size_t bytes);

/* prefix followed by 20 random characters of [0-9a-z], e.g. "rec-4f…"; terminated. out needs strlen(prefix) + 21. */
void hf_id_random(const char *prefix, char *out, size_t out_bytes);

#endif
