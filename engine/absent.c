#include "engine/absent.h"

#include "core/auto.h"
#include "core/digest.h"
#include "core/id.h"

#include <stdio.h>
#include <string.h>

#define SLOTS 4096 /* deletions of nothing that are remembered at most */

struct slot {
    uint64_t key; /* of the names; 0: empty */
    struct hf_order order;
};

struct hf_absent {
    bool used; /* most services never see such a deletion, and shall pay nothing */
    struct slot slots[SLOTS];
};

static uint64_t key_of(const char *system, const char *component);

struct hf_absent *hf_absent_new(void)
{
    return hf_alloc(sizeof(struct hf_absent));
}

void hf_absent_free(struct hf_absent *absent)
{
    free(absent);
}

void hf_absent_note(struct hf_absent *absent, const char *system, const char *component, const struct hf_order *order)
{
    uint64_t key = key_of(system, component);
    struct slot *slot = &absent->slots[key % SLOTS];
    absent->used = true;
    bool same = slot->key == key && slot->order.writer == order->writer;
    if (!same || order->number > slot->order.number)
        *slot = (struct slot){key, *order};
}

struct hf_order hf_absent_find(const struct hf_absent *absent, const char *system, const char *component)
{
    if (!absent->used)
        return (struct hf_order){0};
    uint64_t key = key_of(system, component);
    const struct slot *slot = &absent->slots[key % SLOTS];
    return slot->key == key ? slot->order : (struct hf_order){0};
}

/* Names have no slash. */
static uint64_t key_of(const char *system, const char *component)
{
    char names[2 * HF_NAME_MAX + 2];
    struct hf_hash hash;
    uint64_t key;
    int bytes = snprintf(names, sizeof(names), "%s/%s", system, component);
    hf_hash_of(names, (size_t)bytes, &hash);
    memcpy(&key, hash.bytes, sizeof(key));
    return key | (key == 0);
}
