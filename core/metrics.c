#include "core/metrics.h"

#include "core/auto.h"

#include <math.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#define BUCKET_COUNT 14
#define VALUES_MAX   256                  /* label values of one metric, "other" not counted */
#define SLOT_COUNT   (2 * VALUES_MAX)     /* a power of two, so that lookups stay short when all values are taken */
#define SECONDS_MAX  UINT64_C(1000000000) /* an observation above counts as this much in the sum */
#define OTHER        "other"

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

struct metric_row {
    const char *name;
    enum kind kind;
    const char *help;
    const char *label; /* NULL: none */
};

static const struct metric_row rows[HF_METRIC_COUNT] = {
#define X(id, kind, name, help, label) [id] = {name, KIND_##kind, help, label},
    HF_METRIC_TABLE(X)
#undef X
};

static const char *const kind_names[] = {"counter", "gauge", "histogram"};
static const double bucket_seconds[BUCKET_COUNT] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                    0.1,    0.25,  0.5,    1,     2.5,  5,     10};

/* Values that are there at 0 from the start: an alert on what a counter grew by sees the first one too. */
static const struct {
    enum hf_metric metric;
    const char *value;
} known_values[] = {
    {HF_M_SNAPSHOTS, "full"},      {HF_M_SNAPSHOTS, "incremental"}, {HF_M_RECOVERIES, "planned"},
    {HF_M_RECOVERIES, "applied"},  {HF_M_RECOVERIES, "failed"},     {HF_M_RECOVERIES, "fresh"},
    {HF_M_VALIDATIONS, "valid"},   {HF_M_VALIDATIONS, "damaged"},   {HF_M_EVENTS, "info"},
    {HF_M_EVENTS, "warning"},      {HF_M_EVENTS, "error"},          {HF_M_VALIDATIONS, "healed"},
    {HF_M_HEALED, "content"},      {HF_M_HEALED, "file"},           {HF_M_HEALED, "state"},
    {HF_M_HEALED, "mirror"},       {HF_M_DRILLS, "passed"},         {HF_M_DRILLS, "failed"},
    {HF_M_DRILLS, "inconclusive"}, {HF_M_DRILLS, "skipped"},        {HF_M_RECOVERIES, "completed"},
};

/* A cache line each: threads that count different things do not slow one another down. */
struct plain_cell {
    alignas(64) _Atomic int64_t count;
    _Atomic uint64_t gauge_bits; /* of a double */
};

struct histogram_cell {
    alignas(64) _Atomic int64_t buckets[BUCKET_COUNT + 1]; /* not cumulative; the last is +Inf */
    _Atomic int64_t sum_ns;
};

/* Open addressing: a slot's value is set once and never changes, so reading takes no lock. */
struct label_slot {
    _Atomic(const char *) value; /* interned; NULL: free */
    _Atomic int64_t count;
};

struct label_cell {
    struct label_slot slots[SLOT_COUNT];
    _Atomic int64_t other;
    int values; /* under label_mutex */
};

static struct plain_cell plain[HF_METRIC_COUNT];
static struct histogram_cell histograms[HF_METRIC_COUNT];
static _Atomic(struct label_cell *) labelled[HF_METRIC_COUNT];

/* Protects the making of label cells and the filling of free slots; counting and writing need no lock. */
static pthread_mutex_t label_mutex = PTHREAD_MUTEX_INITIALIZER;

static const struct metric_row *row_of(enum hf_metric metric);
static double double_of(uint64_t bits);
static uint64_t bits_of(double value);
static _Atomic int64_t *counter_of(enum hf_metric metric, const char *value);
static _Atomic int64_t *insert_value(enum hf_metric metric, const char *value);
static struct label_slot *slot_of(struct label_cell *cell, const char *value);
static void write_row(struct hf_buf *out, enum hf_metric metric);
static void write_histogram(struct hf_buf *out, enum hf_metric metric);
static void write_labelled(struct hf_buf *out, enum hf_metric metric);
static void write_labels(struct hf_buf *out, const char *label, const char *value);
static void write_label(struct hf_buf *out, const char *name, size_t name_bytes, const char *value, size_t bytes);
static void write_double(struct hf_buf *out, double value);
static void write_int(struct hf_buf *out, int64_t value);

void hf_metric_add(enum hf_metric metric, int64_t amount)
{
    const struct metric_row *row = row_of(metric);
    HF_ASSERT(row->kind != KIND_HISTOGRAM && !row->label);
    if (row->kind == KIND_COUNTER) {
        atomic_fetch_add_explicit(&plain[metric].count, amount, memory_order_relaxed);
        return;
    }
    _Atomic uint64_t *cell = &plain[metric].gauge_bits;
    uint64_t seen = atomic_load_explicit(cell, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(cell, &seen, bits_of(double_of(seen) + (double)amount),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void hf_metric_set(enum hf_metric metric, double value)
{
    HF_ASSERT(row_of(metric)->kind == KIND_GAUGE && !row_of(metric)->label);
    atomic_store_explicit(&plain[metric].gauge_bits, bits_of(value), memory_order_relaxed);
}

void hf_metric_observe(enum hf_metric metric, double seconds)
{
    HF_ASSERT(row_of(metric)->kind == KIND_HISTOGRAM);
    if (!(seconds > 0)) /* a clock that stepped back, or no number at all */
        seconds = 0;
    int bucket = 0;
    while (bucket < BUCKET_COUNT && seconds > bucket_seconds[bucket])
        bucket++;
    double counted = seconds < (double)SECONDS_MAX ? seconds : (double)SECONDS_MAX;
    atomic_fetch_add_explicit(&histograms[metric].buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histograms[metric].sum_ns, (int64_t)(counted * 1e9), memory_order_relaxed);
}

void hf_metric_add_labelled(enum hf_metric metric, const char *value, int64_t amount)
{
    const struct metric_row *row = row_of(metric);
    HF_ASSERT(row->kind == KIND_COUNTER && row->label);
    atomic_fetch_add_explicit(counter_of(metric, value), amount, memory_order_relaxed);
}

void hf_metric_set_labelled(enum hf_metric metric, const char *value, int64_t number)
{
    const struct metric_row *row = row_of(metric);
    HF_ASSERT(row->kind == KIND_GAUGE && row->label);
    atomic_store_explicit(counter_of(metric, value), number, memory_order_relaxed);
}

double hf_metric_get(enum hf_metric metric)
{
    const struct metric_row *row = row_of(metric);
    HF_ASSERT(row->kind != KIND_HISTOGRAM && !row->label);
    if (row->kind == KIND_GAUGE)
        return double_of(atomic_load_explicit(&plain[metric].gauge_bits, memory_order_relaxed));
    return (double)atomic_load_explicit(&plain[metric].count, memory_order_relaxed);
}

void hf_metrics_write(struct hf_buf *out)
{
    for (size_t i = 0; i < sizeof(known_values) / sizeof(known_values[0]); i++)
        counter_of(known_values[i].metric, known_values[i].value);
    for (int i = 0; i < HF_METRIC_COUNT; i++) {
        const struct metric_row *row = &rows[i];
        hf_buf_add_format(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, kind_names[row->kind]);
        write_row(out, (enum hf_metric)i);
    }
}

static const struct metric_row *row_of(enum hf_metric metric)
{
    HF_ASSERT((unsigned)metric < HF_METRIC_COUNT);
    return &rows[metric];
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static _Atomic int64_t *counter_of(enum hf_metric metric, const char *value)
{
    struct label_cell *cell = atomic_load_explicit(&labelled[metric], memory_order_acquire);
    if (cell) {
        /* Found free, the slot may since have been filled by another thread, with another value. */
        struct label_slot *slot = slot_of(cell, value);
        const char *found = atomic_load_explicit(&slot->value, memory_order_acquire);
        if (found && strcmp(found, value) == 0)
            return &slot->count;
    }
    return insert_value(metric, value);
}

/* The counter of a value not seen before; "other" when the metric has as many as it may. */
static _Atomic int64_t *insert_value(enum hf_metric metric, const char *value)
{
    pthread_mutex_lock(&label_mutex);
    struct label_cell *cell = atomic_load_explicit(&labelled[metric], memory_order_relaxed);
    if (!cell) {
        cell = hf_alloc(sizeof(*cell));
        atomic_store_explicit(&labelled[metric], cell, memory_order_release);
    }
    struct label_slot *slot = slot_of(cell, value);
    _Atomic int64_t *counter = &slot->count;
    if (!atomic_load_explicit(&slot->value, memory_order_relaxed)) {
        if (cell->values < VALUES_MAX) {
            cell->values++;
            if (rows[metric].kind == KIND_GAUGE) /* nobody may read it as 0 before it is set */
                atomic_store_explicit(counter, -1, memory_order_relaxed);
            atomic_store_explicit(&slot->value, hf_strdup(value), memory_order_release);
        } else {
            counter = &cell->other;
        }
    }
    pthread_mutex_unlock(&label_mutex);
    return counter;
}

/* The slot that holds value, or the free one where it belongs. The table is never more than half full. */
static struct label_slot *slot_of(struct label_cell *cell, const char *value)
{
    uint32_t hash = UINT32_C(2166136261); /* FNV-1a */
    for (const char *c = value; *c; c++)
        hash = (hash ^ (unsigned char)*c) * UINT32_C(16777619);
    for (uint32_t i = hash;; i++) {
        struct label_slot *slot = &cell->slots[i % SLOT_COUNT];
        const char *found = atomic_load_explicit(&slot->value, memory_order_acquire);
        if (!found || strcmp(found, value) == 0)
            return slot;
    }
}

static void write_row(struct hf_buf *out, enum hf_metric metric)
{
    const struct metric_row *row = &rows[metric];
    if (row->kind == KIND_HISTOGRAM) {
        write_histogram(out, metric);
    } else if (row->label) {
        write_labelled(out, metric);
    } else {
        hf_buf_add_text(out, row->name);
        hf_buf_add_char(out, ' ');
        if (row->kind == KIND_GAUGE)
            write_double(out, hf_metric_get(metric));
        else
            write_int(out, atomic_load_explicit(&plain[metric].count, memory_order_relaxed));
        hf_buf_add_char(out, '\n');
    }
}

/* The count is the sum of the buckets as read here, so that it always equals the +Inf bucket. */
static void write_histogram(struct hf_buf *out, enum hf_metric metric)
{
    struct histogram_cell *cell = &histograms[metric];
    const char *name = rows[metric].name;
    int64_t count = 0;
    for (int i = 0; i <= BUCKET_COUNT; i++) {
        count += atomic_load_explicit(&cell->buckets[i], memory_order_relaxed);
        hf_buf_add_format(out, "%s_bucket{le=\"", name);
        write_double(out, i < BUCKET_COUNT ? bucket_seconds[i] : (double)INFINITY);
        hf_buf_add_text(out, "\"} ");
        write_int(out, count);
        hf_buf_add_char(out, '\n');
    }
    hf_buf_add_format(out, "%s_sum ", name);
    write_double(out, (double)atomic_load_explicit(&cell->sum_ns, memory_order_relaxed) / 1e9);
    hf_buf_add_format(out, "\n%s_count %lld\n", name, (long long)count);
}

static void write_labelled(struct hf_buf *out, enum hf_metric metric)
{
    struct label_cell *cell = atomic_load_explicit(&labelled[metric], memory_order_acquire);
    for (int i = 0; cell && i <= SLOT_COUNT; i++) {
        bool is_other = i == SLOT_COUNT;
        const char *value = is_other ? OTHER : atomic_load_explicit(&cell->slots[i].value, memory_order_acquire);
        int64_t count = atomic_load_explicit(is_other ? &cell->other : &cell->slots[i].count, memory_order_relaxed);
        if (!value || (is_other && count == 0) || (rows[metric].kind == KIND_GAUGE && count < 0))
            continue;
        hf_buf_add_text(out, rows[metric].name);
        write_labels(out, rows[metric].label, value);
        write_int(out, count);
        hf_buf_add_char(out, '\n');
    }
}

/* A label "a_b" with a value "x|y" is two labels; a value without the bar stands for both. */
static void write_labels(struct hf_buf *out, const char *label, const char *value)
{
    const char *label_split = strchr(label, '_');
    const char *value_split = strchr(value, '|');
    hf_buf_add_char(out, '{');
    if (label_split) {
        size_t first_bytes = value_split ? (size_t)(value_split - value) : strlen(value);
        const char *second = value_split ? value_split + 1 : value;
        write_label(out, label, (size_t)(label_split - label), value, first_bytes);
        hf_buf_add_char(out, ',');
        write_label(out, label_split + 1, strlen(label_split + 1), second, strlen(second));
    } else {
        write_label(out, label, strlen(label), value, strlen(value));
    }
    hf_buf_add_text(out, "} ");
}

static void write_label(struct hf_buf *out, const char *name, size_t name_bytes, const char *value, size_t bytes)
{
    hf_buf_add(out, name, name_bytes);
    hf_buf_add_text(out, "=\"");
    for (size_t i = 0; i < bytes; i++) {
        if (value[i] == '\\' || value[i] == '"' || value[i] == '\n')
            hf_buf_add_char(out, '\\');
        hf_buf_add_char(out, value[i] == '\n' ? 'n' : value[i]);
    }
    hf_buf_add_char(out, '"');
}

static void write_double(struct hf_buf *out, double value)
{
    if (isinf(value))
        hf_buf_add_text(out, value > 0 ? "+Inf" : "-Inf");
    else if (isnan(value))
        hf_buf_add_text(out, "NaN");
    else
        hf_buf_add_format(out, "%.15g", value);
}

static void write_int(struct hf_buf *out, int64_t value)
{
    hf_buf_add_format(out, "%lld", (long long)value);
}
