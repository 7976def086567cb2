#include "engine/waves.h"

#include "core/auto.h"

#include <stdint.h>
#include <string.h>

/* Names to node indexes, open addressing; 0 is empty, else index + 1. */
struct name_table {
    uint32_t *slots;
    uint32_t mask;
};

/* Who waits for whom: the dependents of node i are targets[first[i]] … targets[first[i + 1] - 1]. */
struct edge_list {
    uint32_t *first;
    uint32_t *targets;
    uint32_t *waiting; /* dependencies of a node that have no wave yet */
};

static uint32_t name_hash(const char *name);
static void table_fill(struct name_table *table, const struct hf_wave_node *nodes, int count);
static int table_find(const struct name_table *table, const struct hf_wave_node *nodes, const char *name);
static void edges_fill(struct edge_list *edges, const struct name_table *table, const struct hf_wave_node *nodes,
                       int count);
static int waves_spread(const struct edge_list *edges, struct hf_wave_node *nodes, int count, int *waves_out);

bool hf_waves_assign(struct hf_wave_node *nodes, int count, int *waves_out)
{
    *waves_out = 0;
    if (count <= 0)
        return true;

    struct name_table table;
    table_fill(&table, nodes, count);
    struct edge_list edges;
    edges_fill(&edges, &table, nodes, count);
    int placed = waves_spread(&edges, nodes, count, waves_out);
    free(table.slots);
    free(edges.first);
    free(edges.targets);
    free(edges.waiting);
    if (placed == count)
        return true;

    bool left = false;
    for (int i = 0; i < count; i++) {
        if (nodes[i].wave < 0) {
            nodes[i].wave = *waves_out;
            left = left || !nodes[i].passes;
        }
    }
    *waves_out += left;
    return false;
}

/* FNV-1a: names are short and come from our own users' systems, at most one table per plan. */
static uint32_t name_hash(const char *name)
{
    uint32_t hash = 2166136261u;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        hash = (hash ^ *c) * 16777619u;
    return hash;
}

static void table_fill(struct name_table *table, const struct hf_wave_node *nodes, int count)
{
    uint32_t size = 16;
    while (size < (uint32_t)count * 2)
        size *= 2;
    table->slots = hf_alloc(size * sizeof(table->slots[0]));
    table->mask = size - 1;
    for (int i = 0; i < count; i++) {
        uint32_t slot = name_hash(nodes[i].name) & table->mask;
        while (table->slots[slot])
            slot = (slot + 1) & table->mask;
        table->slots[slot] = (uint32_t)i + 1;
    }
}

static int table_find(const struct name_table *table, const struct hf_wave_node *nodes, const char *name)
{
    for (uint32_t slot = name_hash(name) & table->mask; table->slots[slot]; slot = (slot + 1) & table->mask) {
        int index = (int)table->slots[slot] - 1;
        if (strcmp(nodes[index].name, name) == 0)
            return index;
    }
    return -1;
}

static void edges_fill(struct edge_list *edges, const struct name_table *table, const struct hf_wave_node *nodes,
                       int count)
{
    edges->first = hf_alloc(((size_t)count + 2) * sizeof(uint32_t));
    edges->waiting = hf_alloc((size_t)count * sizeof(uint32_t));

    /* Two passes: first count the dependents of each node (two places ahead, so that the second pass can use first[]
     * as its cursor and leaves it in place), then write them. */
    for (int i = 0; i < count; i++) {
        for (int d = 0; d < nodes[i].depends_on_count; d++) {
            int target = table_find(table, nodes, nodes[i].depends_on[d]);
            if (target >= 0) {
                edges->first[target + 2]++;
                edges->waiting[i]++;
            }
        }
    }
    for (int i = 0; i < count; i++)
        edges->first[i + 2] += edges->first[i + 1];
    edges->targets = hf_alloc(((size_t)edges->first[count + 1] + 1) * sizeof(uint32_t));
    for (int i = 0; i < count; i++) {
        for (int d = 0; d < nodes[i].depends_on_count; d++) {
            int target = table_find(table, nodes, nodes[i].depends_on[d]);
            if (target >= 0)
                edges->targets[edges->first[target + 1]++] = (uint32_t)i;
        }
    }
}

/* Gives waves to all nodes that can have one; -1 is left on members of cycles and on what depends on them. */
static int waves_spread(const struct edge_list *edges, struct hf_wave_node *nodes, int count, int *waves_out)
{
    HF_AUTO(free) uint32_t *queue = hf_alloc((size_t)count * sizeof(queue[0]));
    int read = 0, written = 0;
    for (int i = 0; i < count; i++) {
        nodes[i].wave = 0;
        if (!edges->waiting[i])
            queue[written++] = (uint32_t)i;
    }
    while (read < written) {
        uint32_t index = queue[read++];
        int after = nodes[index].wave + !nodes[index].passes;
        if (after > *waves_out)
            *waves_out = after;
        for (uint32_t e = edges->first[index]; e < edges->first[index + 1]; e++) {
            uint32_t dependent = edges->targets[e];
            if (nodes[dependent].wave < after)
                nodes[dependent].wave = after;
            if (--edges->waiting[dependent] == 0)
                queue[written++] = dependent;
        }
    }
    for (int i = 0; i < count; i++) {
        if (edges->waiting[i])
            nodes[i].wave = -1;
    }
    return written;
}
