#include "pool.h"

enum {
    EVERY = 3,       /* steps */
    BORROWERS = 5,   /* at most, at a time */
    STEPS_KEPT = 10, /* at most */
};

static const double share_memory = 0.9;

void pool_start(struct pool *pool, uint64_t seed)
{
    *pool = (struct pool){0};
    dice_seed(&pool->dice, seed, "pool");
}

static struct connection *find_free(struct pool *pool, int64_t step)
{
    for (size_t i = 0; i < POOL_CONNECTIONS; i++)
        if (pool->connections[i].busy_until <= step)
            return &pool->connections[i];
    return NULL;
}

void pool_step(struct pool *pool, int64_t step)
{
    if (step % EVERY != 0)
        return;
    for (uint64_t wanted = dice_below(&pool->dice, BORROWERS + 1); wanted > 0; wanted--) {
        int64_t kept = 1 + (int64_t)dice_below(&pool->dice, STEPS_KEPT);
        struct connection *connection = find_free(pool, step);
        if (!connection) {
            pool->waited++;
            continue;
        }
        connection->busy_until = step + kept;
        connection->uses++;
        pool->borrowed++;
    }
    int busy = 0;
    for (size_t i = 0; i < POOL_CONNECTIONS; i++)
        busy += pool->connections[i].busy_until > step;
    pool->busy_share = share_memory * pool->busy_share + (1 - share_memory) * busy / POOL_CONNECTIONS;
    pool->part.changed = true;
}

void pool_write(const void *part, json_t *to)
{
    const struct pool *pool = part;
    put_integer(to, "borrowed", pool->borrowed);
    put_integer(to, "waited", pool->waited);
    put_real(to, "busyShare", pool->busy_share);
    json_t *list = put_list(to, "connections");
    for (size_t i = 0; i < POOL_CONNECTIONS; i++) {
        json_t *connection = add_object(list);
        put_integer(connection, "busyUntil", pool->connections[i].busy_until);
        put_integer(connection, "uses", pool->connections[i].uses);
    }
    put_dice(to, &pool->dice);
}

void pool_read(void *part, struct reading *from)
{
    struct pool *pool = part;
    pool->borrowed = get_integer(from, "borrowed", 0, INT64_MAX);
    pool->waited = get_integer(from, "waited", 0, INT64_MAX);
    pool->busy_share = get_real_within(from, "busyShare", 0, 1);
    get_list(from, "connections", POOL_CONNECTIONS, POOL_CONNECTIONS);
    for (size_t i = 0; i < POOL_CONNECTIONS; i++) {
        struct reading inner = reading_enter(from, "connections", i);
        pool->connections[i] = (struct connection){get_integer(&inner, "busyUntil", 0, INT64_MAX),
                                                   get_integer(&inner, "uses", 0, INT64_MAX)};
        reading_leave(from, &inner, "connections", i);
    }
    get_dice(from, &pool->dice);
}
