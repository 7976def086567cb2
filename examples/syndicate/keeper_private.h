/* The inside of the keeper, for keeper.c and homecoming.c. */
#ifndef SYNDICATE_KEEPER_PRIVATE_H
#define SYNDICATE_KEEPER_PRIVATE_H

#include "keeper.h"
#include "stop.h"

#include <holdfast.h>

struct known {
    const char *name; /* borrowed from the roster's tables, which are constant */
    char etag[64];    /* "": there is a state that could not be had */
};

struct keeper {
    struct holdfast *service;
    struct stop *stop;
    struct known known[ROSTER_MOST]; /* the states that this process has seen last */
    size_t known_count;
    int64_t saved_step;
    int64_t backup_interval_ms;
    bool away; /* and it was said */
    bool quiet;
    int journal; /* -1: none */
};

/* NULL: it has no state. */
struct known *keeper_known(struct keeper *keeper, const char *name);
void keeper_know(struct keeper *keeper, const char *name, const char *etag);

/* After a failed call: KEPT if it should be made again (then some time has passed), else what to give up with. */
enum kept keeper_after_failure(struct keeper *keeper, const struct holdfast_error *err);
/* After a call that succeeded. */
void keeper_after_success(struct keeper *keeper);
/* One line, in one write. */
void keeper_note(struct keeper *keeper, const char *what, int64_t step, int64_t version, int64_t sequence);

#endif
