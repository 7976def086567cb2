/* Dependency order: components in waves, each wave depending only on earlier ones (Kahn 1962). */
#ifndef HF_ENGINE_WAVES_H
#define HF_ENGINE_WAVES_H

#include "engine/catalog.h"

struct hf_wave_node {
    const char *name;
    const char *const *depends_on; /* names outside the set are ignored */
    int depends_on_count;
    int wave;    /* out: 0, 1, 2, … */
    bool passes; /* has no place of its own, but what depends on it comes after what it depends on; its wave means
                  * nothing then */
};

/* Sets wave on every node; O(nodes + edges). *waves_out is the number of waves. A cycle (possible only in data from
 * before a check) is broken by putting its members into one last wave; returns false then. */
bool hf_waves_assign(struct hf_wave_node *nodes, int count, int *waves_out);

#endif
