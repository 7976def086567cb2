/* The list of the collective's components: names, kinds, what each needs, and how its state becomes text and back. */
#ifndef SYNDICATE_ROSTER_H
#define SYNDICATE_ROSTER_H

#include "orchestrator.h"

enum {
    ROSTER_MOST = TRACKED_MOST + 1,
    PROBLEM_BYTES = 160,
};

struct member {
    const char *name;
    const char *kind;
    const char *const *needs; /* names, ended by NULL */
    struct part *part;
    void (*write)(const void *part, json_t *to);
    void (*read)(void *part, struct reading *from);
};

/* Members in an order in which each comes after all that it needs; the orchestrator is the last. */
struct roster {
    struct member members[ROSTER_MOST];
    size_t count;
    const char *agents[AGENTS_MOST + 2]; /* what the central nervous system needs */
};

/* Borrows the syndicate. The roster must stay where it is, as its members point into it. */
void roster_fill(struct roster *roster, struct syndicate *syndicate, int64_t agents);
/* NULL: no member has that name. */
struct member *roster_find(struct roster *roster, const char *name);

/* The state as JSON text. Owns what it gives: free. */
char *member_state(const struct member *member);
/* Takes the state on. False: it cannot be one of this component, and problem says why. */
bool member_restore(struct member *member, const void *data, size_t bytes, char problem[PROBLEM_BYTES]);
/* Whether the states are of one moment: each is of the step in which the orchestrator saw it change last. */
bool roster_is_one_cut(struct roster *roster, const struct syndicate *syndicate, char problem[PROBLEM_BYTES]);

#endif
