#include "client/queue_table.h"

#include <string.h>

#define BUCKETS_AT_FIRST 64
/* Of components that have nothing to send, how many are remembered. Forgetting one costs at most that the same content
 * is sent once more, which the service then calls unchanged. */
#define IDLE_MAX 65536

static size_t bucket_of(const char *component, size_t bucket_count);
static void grow(struct hf_queue_table *table);
static void take_out(struct hf_queue_table *table, struct hf_queue_entry *entry);
static void forget(struct hf_queue_table *table, struct hf_queue_entry *entry);
static void free_entry(struct hf_queue_entry *entry);

void hf_queue_table_init(struct hf_queue_table *table)
{
    memset(table, 0, sizeof(*table));
    table->bucket_count = BUCKETS_AT_FIRST;
    table->buckets = hf_alloc(table->bucket_count * sizeof(struct hf_queue_entry *));
    TAILQ_INIT(&table->waiting);
    TAILQ_INIT(&table->sending);
    TAILQ_INIT(&table->left);
    TAILQ_INIT(&table->idle);
}

void hf_queue_table_done(struct hf_queue_table *table)
{
    for (size_t i = 0; i < table->bucket_count; i++)
        for (struct hf_queue_entry *entry = table->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            free_entry(entry);
        }
    free(table->buckets);
}

struct hf_queue_entry *hf_queue_table_find(const struct hf_queue_table *table, const char *component)
{
    struct hf_queue_entry *entry = table->buckets[bucket_of(component, table->bucket_count)];
    while (entry && strcmp(entry->component, component) != 0)
        entry = entry->next;
    return entry;
}

struct hf_queue_entry *hf_queue_table_get(struct hf_queue_table *table, const char *component)
{
    struct hf_queue_entry *entry = hf_queue_table_find(table, component);
    if (entry)
        return entry;
    if (table->count >= table->bucket_count)
        grow(table);
    size_t length = strlen(component) + 1;
    entry = hf_alloc(sizeof(*entry) + length);
    memcpy(entry->component, component, length);
    size_t bucket = bucket_of(component, table->bucket_count);
    entry->next = table->buckets[bucket];
    table->buckets[bucket] = entry;
    table->count++;
    return entry;
}

void hf_queue_table_place(struct hf_queue_table *table, struct hf_queue_entry *entry, bool first)
{
    if (entry->pending && entry->list == HF_QUEUE_IN_WAITING && !first)
        return;
    take_out(table, entry);
    if (entry->pending) {
        entry->list = HF_QUEUE_IN_WAITING;
        if (first)
            TAILQ_INSERT_HEAD(&table->waiting, entry, link);
        else
            TAILQ_INSERT_TAIL(&table->waiting, entry, link);
    } else if (entry->sending) {
        entry->list = HF_QUEUE_IN_SENDING;
        TAILQ_INSERT_TAIL(&table->sending, entry, link);
    } else if (!entry->busy && entry->savers == 0 && entry->file_is_left) {
        entry->list = HF_QUEUE_IN_LEFT;
        TAILQ_INSERT_TAIL(&table->left, entry, link);
        table->left_count++;
    } else if (!entry->busy && entry->savers == 0) {
        entry->list = HF_QUEUE_IN_IDLE;
        TAILQ_INSERT_TAIL(&table->idle, entry, link);
        if (++table->idle_count > IDLE_MAX)
            forget(table, TAILQ_FIRST(&table->idle));
    }
}

/* FNV-1a. Who chooses the names is the program itself, so nobody is there to choose them badly. */
static size_t bucket_of(const char *component, size_t bucket_count)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const unsigned char *c = (const unsigned char *)component; *c; c++)
        hash = (hash ^ *c) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32) & (bucket_count - 1);
}

static void grow(struct hf_queue_table *table)
{
    size_t bucket_count = table->bucket_count * 2;
    struct hf_queue_entry **buckets = hf_alloc(bucket_count * sizeof(*buckets));
    for (size_t i = 0; i < table->bucket_count; i++)
        for (struct hf_queue_entry *entry = table->buckets[i], *next; entry; entry = next) {
            size_t bucket = bucket_of(entry->component, bucket_count);
            next = entry->next;
            entry->next = buckets[bucket];
            buckets[bucket] = entry;
        }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = bucket_count;
}

static void take_out(struct hf_queue_table *table, struct hf_queue_entry *entry)
{
    if (entry->list == HF_QUEUE_IN_WAITING)
        TAILQ_REMOVE(&table->waiting, entry, link);
    if (entry->list == HF_QUEUE_IN_SENDING)
        TAILQ_REMOVE(&table->sending, entry, link);
    if (entry->list == HF_QUEUE_IN_LEFT) {
        TAILQ_REMOVE(&table->left, entry, link);
        table->left_count--;
    }
    if (entry->list == HF_QUEUE_IN_IDLE) {
        TAILQ_REMOVE(&table->idle, entry, link);
        table->idle_count--;
    }
    entry->list = HF_QUEUE_IN_NONE;
}

static void forget(struct hf_queue_table *table, struct hf_queue_entry *entry)
{
    take_out(table, entry);
    struct hf_queue_entry **slot = &table->buckets[bucket_of(entry->component, table->bucket_count)];
    while (*slot != entry)
        slot = &(*slot)->next;
    *slot = entry->next;
    table->count--;
    free_entry(entry);
}

static void free_entry(struct hf_queue_entry *entry)
{
    hf_queue_state_free(entry->pending);
    hf_queue_state_free(entry->sending);
    free(entry);
}
