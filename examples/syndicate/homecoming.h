/* Bringing the collective back: at the start, and whenever what is stored is no longer what this process knows. */
#ifndef SYNDICATE_HOMECOMING_H
#define SYNDICATE_HOMECOMING_H

#include "keeper.h"

enum homecoming_kind {
    HOME_NEW,     /* there was nothing yet */
    HOME_WHOLE,   /* brought back */
    HOME_BROKEN,  /* a state is missing or cannot be used */
    HOME_DIVIDED, /* the states are of different moments */
};

struct homecoming {
    enum homecoming_kind kind;
    int64_t components; /* brought back */
    int64_t lost_ms;
    int64_t version; /* of the orchestrator's state */
    char problem[PROBLEM_BYTES + 64];
};

/* Loads all components in the order of their dependencies. Only where it gives KEPT and HOME_WHOLE is *into filled. */
enum kept keeper_bring_back(struct keeper *keeper, struct syndicate *into, struct homecoming *out);

#endif
