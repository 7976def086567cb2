/* Latencies counted in buckets whose width grows with the value: any percentile within 1.6 %, in constant memory.
 * Not thread-safe. */
#ifndef HF_BENCH_HISTOGRAM_H
#define HF_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HF_HISTOGRAM_STEPS   64 /* buckets between a power of two and the next */
#define HF_HISTOGRAM_BUCKETS ((64 - 6 + 1) * HF_HISTOGRAM_STEPS)

struct hf_histogram {
    uint64_t counts[HF_HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t max_ns;
};

void hf_histogram_add(struct hf_histogram *histogram, uint64_t ns);

/* The value below which the given share (0..1) lies, rounded up to its bucket's end; 0 when empty. */
uint64_t hf_histogram_at(const struct hf_histogram *histogram, double share);

#endif
