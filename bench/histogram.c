#include "bench/histogram.h"

static int bucket_of(uint64_t ns);
static uint64_t bucket_end(int bucket);

void hf_histogram_add(struct hf_histogram *histogram, uint64_t ns)
{
    histogram->counts[bucket_of(ns)]++;
    histogram->total++;
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

uint64_t hf_histogram_at(const struct hf_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)((double)histogram->total * share);
    uint64_t seen = 0;
    for (int i = 0; i < HF_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen > wanted || (seen == histogram->total && seen > 0))
            return bucket_end(i) < histogram->max_ns ? bucket_end(i) : histogram->max_ns;
    }
    return 0;
}

/* The first two rows of 64 count single nanoseconds; each further row covers twice the range of the one before. */
static int bucket_of(uint64_t ns)
{
    if (ns < 2 * HF_HISTOGRAM_STEPS)
        return (int)ns;
    int row = 63 - __builtin_clzll(ns) - 6;
    return row * HF_HISTOGRAM_STEPS + (int)(ns >> row);
}

static uint64_t bucket_end(int bucket)
{
    if (bucket < 2 * HF_HISTOGRAM_STEPS)
        return (uint64_t)bucket;
    int row = bucket / HF_HISTOGRAM_STEPS - 1;
    uint64_t step = (uint64_t)(bucket - row * HF_HISTOGRAM_STEPS);
    return ((step + 1) << row) - 1;
}
