/* One file of an outbox: the lines that begin it, and the check that nothing of it is lost or altered. The format is
 * described in docs/clients.md. */
#ifndef HF_CLIENT_OUTBOX_FILE_H
#define HF_CLIENT_OUTBOX_FILE_H

#include "client/queue_state.h"
#include "core/buf.h"

#define HF_OUTBOX_HEADER_MAX 1024
#define HF_OUTBOX_NAME_BYTES 112 /* "agent-7-0123456789abcdef0123456789abcdef.state" */

/* Written over the first line, which is as long, where a file that needs no sending any more cannot be removed. */
#define HF_OUTBOX_DONE_LINE "done-with-state 1\n"

/* The file of a component: what is readable of its name, without capitals as there are places that do not tell them
 * apart, then what tells it from all others. */
void hf_outbox_file_name(const char *component, char out[HF_OUTBOX_NAME_BYTES]);

/* The lines before the bytes of state->data. */
void hf_outbox_file_write_header(struct hf_buf *out, const char *system, const struct hf_queue_state *state);

/* Reads the lines, which may be followed by anything. False: these are not such lines. Whether they are unaltered, only
 * hf_outbox_file_is_sound can tell. */
struct hf_outbox_header {
    struct hf_queue_state state; /* all but data; nothing to free */
    char system[HF_NAME_MAX + 1];
    struct hf_hash check;
    size_t checked_bytes; /* of the header: what the check covers */
    size_t header_bytes;
};
bool hf_outbox_file_read_header(const void *file, size_t bytes, struct hf_outbox_header *out);

bool hf_outbox_file_is_done(const void *file, size_t bytes);

/* What hf_outbox_take_turn does, in the file that is the lock, which is held. */
bool hf_outbox_file_take_turn(int fd, uint64_t writer_out[2], int64_t *turn_out);

/* Whether the lines and the state are what was written. */
bool hf_outbox_file_is_sound(const struct hf_outbox_header *header, const void *header_text, const void *data,
                             size_t bytes);

#endif
