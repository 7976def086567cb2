/* Sizes as people read them. */
#ifndef HF_CORE_SIZE_H
#define HF_CORE_SIZE_H

#include <stdint.h>

#define HF_SIZE_BYTES 32

/* "0 B", "999 B", "1.5 KiB", "12.3 MiB". */
void hf_size_format(int64_t bytes, char out[HF_SIZE_BYTES]);

#endif
