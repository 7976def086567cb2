/* One state on its way to the service, whatever form it is sent in: its headers, and what its answer means. */
#ifndef HF_CLIENT_UPLOAD_H
#define HF_CLIENT_UPLOAD_H

#include "client/call.h"
#include "client/states.h"
#include "core/digest.h"

struct hf_upload { /* all borrowed */
    const char *doing;
    const char *component;
    const void *data;
    size_t bytes;
    struct hf_hash hash;    /* of data */
    const char *order_line; /* the same in whatever form it is sent */
    const struct hf_states_terms *terms;
    const struct holdfast_save_options *options; /* not NULL */
    uint64_t deadline_ns;                        /* of all calls that the save takes; 0: one attempt of each */
};

#define HF_UPLOAD_LINES 8

/* Header lines: conditions, epoch and event, and the digest of what is sent. */
struct hf_upload_lines {
    char *line[HF_UPLOAD_LINES + 1]; /* ended by NULL; a caller may append its own (free()) */
    int count;
};
void hf_upload_lines_make(const struct hf_upload *upload, const struct hf_hash *body_hash,
                          struct hf_upload_lines *lines);            /* owns: hf_upload_lines_done */
void hf_upload_lines_add(struct hf_upload_lines *lines, char *line); /* takes line */
void hf_upload_lines_done(struct hf_upload_lines *lines);            /* also as HF_AUTO(upload_lines) */

/* Sends the call, and reads the receipt into *out. A condition that fails because the state is there already, by an
 * attempt whose answer was lost, is success. */
bool hf_upload_send(struct holdfast *service, const struct hf_upload *upload, const struct hf_call *call,
                    struct holdfast_receipt *out, struct holdfast_error *err);

/* A receipt of the service (JSON) for content with this hash; etag NULL: made from the rest. False: it is not one. */
bool hf_upload_read_receipt(const json_t *json, const char *etag, const struct hf_hash *hash,
                            struct holdfast_receipt *out);

/* Whether the tag is of content with this hash. */
bool hf_upload_tag_matches(const char *etag, const struct hf_hash *hash);

static inline void hf_auto_upload_lines(struct hf_upload_lines *lines)
{
    hf_upload_lines_done(lines);
}

#endif
