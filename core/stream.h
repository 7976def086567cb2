/* Two ends that bytes are read from or written to when they are too many to hold: files, bodies, answers. */
#ifndef HF_CORE_STREAM_H
#define HF_CORE_STREAM_H

#include "core/error.h"

#include <stddef.h>

/* Fills at most bytes_max, waits for at least one; *got_out 0 means the end. False: it broke off, err says why. */
struct hf_reader {
    bool (*read)(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err);
    void *context;
};

/* Takes all of it, waits until there is room. False: nobody takes it any more, or it failed; err says why. */
struct hf_writer {
    bool (*write)(void *context, const void *data, size_t bytes, struct hf_error *err);
    void *context;
};

#endif
