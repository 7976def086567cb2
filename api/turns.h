/* Requests that change the same thing one after the other. Who must wait is put aside without a thread, so that the
 * workers stay free for other requests; how many wait, and how many bytes they hold, is bounded. Any thread. */
#ifndef HF_API_TURNS_H
#define HF_API_TURNS_H

#include "api/request.h"

#define HF_TURNS_WAITING_PER_THING 32
#define HF_TURNS_WAITING           256
#define HF_TURNS_BYTES             ((size_t)64 * 1024 * 1024) /* of the bodies of those that wait or have their turn */

/* Lives where it is until the end of its turn, as do its texts. */
struct hf_turn {
    struct hf_request *request;
    const char *system, *component; /* the thing */
    size_t bytes;                   /* held while it waits and while it has its turn */
    int at_work_max;                /* how many may have their turn at a time, of all things; at least 1 */
    struct hf_turn *next;
};

enum hf_turn_answer {
    HF_TURN_NOW,    /* go on, and call hf_turn_end */
    HF_TURN_LATER,  /* say HF_LATER, and touch the request no more: its handler is run again (request->resumed) when its
                       turn has come; it then calls hf_turn_end, also when request->given_up says that the client was
                       answered meanwhile */
    HF_TURN_REFUSED /* HF_OVERLOADED: too many wait already */
};

/* From the handler, on a worker. */
enum hf_turn_answer hf_turn_take(struct hf_turn *turn, struct hf_error *err);

/* Lets the next ones go on. */
void hf_turn_end(struct hf_turn *turn);

#endif
