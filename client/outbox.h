/* The outbox: a directory that holds each waiting state of a queue in a file of its own, so that what was queued
 * outlives the process. A file under its final name is whole, and on disk: written under another name, fsynced,
 * renamed, the directory fsynced. Different components may be worked on by several threads at once; for one component
 * the caller sees to it that there is one at a time.
 *
 * The lock is flock(2) on a file in the directory, and on the directory itself, where that can be: who removes the file
 * has removed no lock. A child made by fork() without exec shares it: while the child lives, the directory stays
 * locked, though the parent died. */
#ifndef HF_CLIENT_OUTBOX_H
#define HF_CLIENT_OUTBOX_H

#include "client/queue_state.h"

struct hf_outbox;

/* Makes the directory if need be, locks it, and removes what an earlier process did not finish writing. Fails with
 * outbox_failed. Owns *out: hf_outbox_close. */
bool hf_outbox_open(const char *directory, const char *system, struct hf_outbox **out, struct holdfast_error *err);
void hf_outbox_close(struct hf_outbox *outbox); /* accepts NULL */

/* The writer that all processes have that open the directory one after the other, and which of them this one is, from 1
 * on; on disk before it returns. False: it cannot be written; who sends is a writer of its own then, as it would be
 * without an outbox. */
bool hf_outbox_take_turn(struct hf_outbox *outbox, uint64_t writer_out[2], int64_t *turn_out);

/* Lists what an earlier process left, the oldest first: found is called with what each file says of itself (owns it;
 * its data is still NULL), damaged with the name of one that says nothing sensible, which is set aside, and what to
 * tell of it. Fails with outbox_failed, also when a state belongs to another system. */
struct hf_outbox_visitor {
    void (*found)(void *context, struct hf_queue_state *state);
    void (*damaged)(void *context, const char *file, const struct holdfast_error *told);
    void *context;
};
bool hf_outbox_scan(struct hf_outbox *outbox, const struct hf_outbox_visitor *visitor, struct holdfast_error *err);

/* Puts the state on disk, in the place of an earlier one of the component. On failure (outbox_failed) the earlier one
 * is still there, except after "the directory could not be written": then it may be this one, and every further call
 * fails and changes nothing. */
bool hf_outbox_put(struct hf_outbox *outbox, const struct hf_queue_state *state, struct holdfast_error *err);

enum hf_outbox_reading {
    HF_OUTBOX_READ,
    HF_OUTBOX_DAMAGED, /* not what was written */
    HF_OUTBOX_GONE,    /* there is no such file */
    HF_OUTBOX_LATER,   /* it could not be read now: that proves nothing */
};
/* Reads the state back; owns *out. err is filled for all but HF_OUTBOX_READ. */
enum hf_outbox_reading hf_outbox_read(struct hf_outbox *outbox, const char *component, struct hf_queue_state **out,
                                      struct holdfast_error *err);

/* Removes the component's file, or renames it to end in suffix (".damaged", ".refused") in the place of an earlier one
 * of this name; lasting once hf_outbox_sync was called. No file is as good. On failure (outbox_failed) it is marked, if
 * that can be done, so that no scan lists it; one that is damaged never is sent, and stays as it is. */
bool hf_outbox_remove(struct hf_outbox *outbox, const char *component, struct holdfast_error *err);
bool hf_outbox_set_aside(struct hf_outbox *outbox, const char *component, const char *suffix,
                         struct holdfast_error *err);
/* Makes what was put, removed and set aside last. After a failure (outbox_failed) every further one fails. */
bool hf_outbox_sync(struct hf_outbox *outbox, struct holdfast_error *err);

#endif
