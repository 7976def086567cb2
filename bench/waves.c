/* How long it takes to put the components of a system into waves: prints the median in milliseconds. */
#include "core/auto.h"
#include "core/clock.h"
#include "engine/waves.h"

#include <stdio.h>

#define COUNT        10000
#define DEPENDENCIES 3 /* of each component, on earlier ones */
#define TURNS        21

static int compare_times(const void *a, const void *b)
{
    const uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

int main(void)
{
    HF_AUTO(free) struct hf_wave_node *nodes = hf_alloc(COUNT * sizeof(nodes[0]));
    char(*names)[24] = hf_alloc(COUNT * sizeof(*names));
    const char *(*dependencies)[DEPENDENCIES] = hf_alloc(COUNT * sizeof(*dependencies));
    uint64_t times_ns[TURNS];
    unsigned seed = 1;
    int waves = 0;
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "component-%d", i);
        int count = i ? DEPENDENCIES : 0;
        for (int d = 0; d < count; d++)
            dependencies[i][d] = names[rand_r(&seed) % i];
        nodes[i] = (struct hf_wave_node){names[i], dependencies[i], count, 0};
    }
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t began_ns = hf_clock_monotonic_ns();
        if (!hf_waves_assign(nodes, COUNT, &waves))
            return EXIT_FAILURE;
        times_ns[turn] = hf_clock_monotonic_ns() - began_ns;
    }
    qsort(times_ns, TURNS, sizeof(times_ns[0]), compare_times);
    printf("{\"ms\":%.3f,\"waves\":%d}\n", (double)times_ns[TURNS / 2] / (double)HF_MS_NS, waves);
    free(names);
    free(dependencies);
    return EXIT_SUCCESS;
}
