/* Writing text as JSON string content, one character at a time: shared by the buffer and the log. */
#ifndef HF_CORE_ESCAPE_H
#define HF_CORE_ESCAPE_H

#include <stddef.h>

#define HF_ESCAPE_BYTES 8 /* room for any one escaped character */

/* Bytes of the well-formed UTF-8 character at text (1 to 4), or 0 when it is malformed. bytes > 0. */
size_t hf_utf8_character_bytes(const unsigned char *text, size_t bytes);

/* Writes the character at text as it stands inside a JSON string; malformed UTF-8 becomes U+FFFD, one for each byte.
 * Returns how many bytes of text it took; *out_bytes says how many were written, without a terminator. bytes > 0. */
size_t hf_escape_character(const char *text, size_t bytes, char out[HF_ESCAPE_BYTES], size_t *out_bytes);

/* Length of the run at text that needs no escaping in a JSON string: printable ASCII except quote and backslash. */
size_t hf_escape_plain_bytes(const char *text, size_t bytes);

#endif
