/* What a queue knows of each component: what waits, what is being sent, and what was last acknowledged. Found by name,
 * and in lists: those with a waiting state in the order they are to be sent, those that are being sent, and the idle
 * ones, the least recently used first, of which only so many are remembered. Knows nothing of threads: its queue's lock
 * protects it. */
#ifndef HF_CLIENT_QUEUE_TABLE_H
#define HF_CLIENT_QUEUE_TABLE_H

#include "client/queue_state.h"

#include <sys/queue.h>

struct hf_queue_entry {
    struct hf_queue_entry *next; /* of the same bucket */
    TAILQ_ENTRY(hf_queue_entry) link;
    enum { HF_QUEUE_IN_NONE, HF_QUEUE_IN_WAITING, HF_QUEUE_IN_SENDING, HF_QUEUE_IN_LEFT, HF_QUEUE_IN_IDLE } list;
    struct hf_queue_state *pending; /* waits */
    struct hf_queue_state *sending; /* the sender has it */
    int savers;                     /* threads that hold on to the entry; it is not forgotten */
    bool busy;                      /* one thread works on its file: nobody else does, nor sends what is pending */
    bool has_file;                  /* the outbox holds a file of this component */
    bool file_is_done;              /* and what is in it needs no sending any more */
    bool file_is_left;              /* the same, and it could not be removed */
    bool file_is_told;              /* that it could not */
    const char *file_suffix;        /* of one that is left: what to rename it by (borrowed); NULL: it is removed */
    uint64_t not_before_ns;         /* the least interval between two saves */
    uint64_t retry_at_ns;           /* after a failure that is about this component */
    int failures;                   /* of that kind, one after the other */
    uint64_t asked;                 /* number of the last call about the component: captures begun before are too old */
    bool acknowledged;              /* then the next four are known */
    struct hf_hash hash;
    int64_t epoch; /* it was queued in */
    char content_type[HF_QUEUE_TYPE_BYTES];
    struct holdfast_receipt receipt;
    char component[];
};

TAILQ_HEAD(hf_queue_list, hf_queue_entry);

struct hf_queue_table {
    struct hf_queue_entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    size_t idle_count;
    struct hf_queue_list waiting;
    struct hf_queue_list sending; /* and have nothing that waits */
    struct hf_queue_list left;    /* a file, and nothing else to do; never forgotten */
    size_t left_count;
    struct hf_queue_list idle;
};

void hf_queue_table_init(struct hf_queue_table *table);
void hf_queue_table_done(struct hf_queue_table *table); /* frees entries and states */

struct hf_queue_entry *hf_queue_table_find(const struct hf_queue_table *table, const char *component); /* or NULL */
/* Finds or makes it; may forget an idle one, never this. */
struct hf_queue_entry *hf_queue_table_get(struct hf_queue_table *table, const char *component);

/* Puts the entry into the list where it belongs now; first: to the front of those that wait. An entry that waits
 * already keeps its place. */
void hf_queue_table_place(struct hf_queue_table *table, struct hf_queue_entry *entry, bool first);

#endif
