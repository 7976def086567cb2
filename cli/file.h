/* A file that appears whole or not at all: written under another name beside it, flushed to the disk, then renamed. */
#ifndef HF_CLI_FILE_H
#define HF_CLI_FILE_H

#include "core/error.h"

#include <stddef.h>

struct hf_out_file;

/* Begins to write path, with the mode of the file that is replaced, which must be writable, else 0666 as the umask
 * allows. What is no regular file (a device, a pipe) is written directly. Owns *out: hf_out_file_keep or
 * hf_out_file_drop. HF_IO, HF_STORAGE_FULL.
 */
HF_MUST_USE bool hf_out_file_open(const char *path, struct hf_out_file **out, struct hf_error *err);
HF_MUST_USE bool hf_out_file_add(struct hf_out_file *file, const void *data, size_t bytes, struct hf_error *err);

/* Flushes and gives it its name; on failure nothing is left. Takes file in any case. */
HF_MUST_USE bool hf_out_file_keep(struct hf_out_file *file, struct hf_error *err);
void hf_out_file_drop(struct hf_out_file *file); /* nothing is left; also NULL */

#endif
