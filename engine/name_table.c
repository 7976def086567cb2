#include "engine/name_table.h"

#include "core/auto.h"
#include "core/error.h"
#include "core/id.h"

#include <pthread.h>
#include <string.h>

/* Names come from clients: the hash is keyed at start so that nobody can aim for one slot (FNV-1a with a random
 * basis and a final mix is enough for a table that is also bounded by what the database accepts). */
static uint64_t seed;

static void make_seed(void)
{
    hf_random_bytes(&seed, sizeof seed);
}

static uint32_t hash_of(const char *name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_seed);
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        h = (h ^ *c) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return (uint32_t)(h ^ (h >> 32));
}

static const char *name_of(const void *thing)
{
    return *(char *const *)thing;
}

static void put(struct hf_name_table *table, void *thing)
{
    uint32_t mask = table->slot_count - 1, i = hash_of(name_of(thing)) & mask;
    while (table->slots[i])
        i = (i + 1) & mask;
    table->slots[i] = thing;
}

static void grow(struct hf_name_table *table)
{
    struct hf_name_table old = *table;
    HF_ASSERT(old.slot_count < (UINT32_C(1) << 30));
    table->slot_count = old.slot_count ? old.slot_count * 2 : 16;
    table->slots = hf_alloc(table->slot_count * sizeof(void *));
    for (uint32_t i = 0; i < old.slot_count; i++) {
        if (old.slots[i])
            put(table, old.slots[i]);
    }
    free(old.slots);
}

void *hf_name_table_find(const struct hf_name_table *table, const char *name)
{
    if (!table->count)
        return NULL;
    uint32_t mask = table->slot_count - 1;
    for (uint32_t i = hash_of(name) & mask; table->slots[i]; i = (i + 1) & mask) {
        if (!strcmp(name_of(table->slots[i]), name))
            return table->slots[i];
    }
    return NULL;
}

void hf_name_table_add(struct hf_name_table *table, void *thing)
{
    if ((table->count + 1) * 3 > table->slot_count * 2)
        grow(table);
    put(table, thing);
    table->count++;
}

void hf_name_table_remove(struct hf_name_table *table, void *thing)
{
    uint32_t mask = table->slot_count - 1, hole = hash_of(name_of(thing)) & mask;
    while (table->slots[hole] != thing) {
        HF_ASSERT(table->slots[hole]);
        hole = (hole + 1) & mask;
    }
    for (uint32_t i = (hole + 1) & mask; table->slots[i]; i = (i + 1) & mask) {
        uint32_t home = hash_of(name_of(table->slots[i])) & mask;
        /* may move into the hole unless its home lies cyclically in (hole, i] */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole] = NULL;
    table->count--;
}

void hf_name_table_done(struct hf_name_table *table)
{
    free(table->slots);
    *table = (struct hf_name_table){0};
}
