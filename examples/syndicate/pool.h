/* The pool of database connections, simulated: borrowed for a few steps at a time, waited for when all are out. */
#ifndef SYNDICATE_POOL_H
#define SYNDICATE_POOL_H

#include "dice.h"
#include "fields.h"
#include "part.h"

enum { POOL_CONNECTIONS = 8 };

struct connection {
    int64_t busy_until; /* step */
    int64_t uses;
};

struct pool {
    struct part part;
    struct dice dice;
    struct connection connections[POOL_CONNECTIONS];
    int64_t borrowed, waited;
    double busy_share; /* of late, 0 to 1 */
};

void pool_start(struct pool *pool, uint64_t seed);
/* Every third step some are borrowed; in the others nothing changes. */
void pool_step(struct pool *pool, int64_t step);

void pool_write(const void *part, json_t *to);
void pool_read(void *part, struct reading *from);

#endif
