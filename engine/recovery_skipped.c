/* The snapshots that a recovery passed over because they proved damaged, and what that costs: known only when the
 * one that is used instead is known. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/json.h"
#include "core/log.h"

#include <string.h>

/* -1: not known. */
struct extra {
    int64_t ms, versions;
};

static struct hf_skipped_snapshot *add_skipped(struct hf_recovering *recovering, const char *snapshot,
                                               const char *reason);
static int64_t number_or_unknown(const json_t *object, const char *name);
static struct extra extra_of(const struct hf_recovering *recovering, const struct hf_skipped_snapshot *skipped);
static void add_number_or_null(struct hf_buf *out, const char *name, int64_t value);

void hf_recovery_skip(struct hf_recovering *recovering, const struct hf_snapshot_row *row, const char *reason)
{
    struct hf_skipped_snapshot *skipped = add_skipped(recovering, row->id, reason);
    /* The row of a file whose header could not be read says neither, and is dated when it was found. */
    skipped->sequence = row->sequence;
    skipped->cut_at_ms = row->sequence ? row->cut_at_ms : 0;
    hf_recovery_step(recovering, "passed over snapshot %s: %s", row->id, reason);
}

static struct hf_skipped_snapshot *add_skipped(struct hf_recovering *recovering, const char *snapshot,
                                               const char *reason)
{
    if (recovering->skipped_count == recovering->skipped_capacity) {
        recovering->skipped_capacity = recovering->skipped_capacity ? recovering->skipped_capacity * 2 : 16;
        recovering->skipped =
            hf_realloc(recovering->skipped, (size_t)recovering->skipped_capacity * sizeof(recovering->skipped[0]));
    }
    struct hf_skipped_snapshot *skipped = &recovering->skipped[recovering->skipped_count++];
    *skipped = (struct hf_skipped_snapshot){.snapshot = hf_arena_strdup(&recovering->arena, snapshot),
                                            .reason = hf_arena_strdup(&recovering->arena, reason)};
    return skipped;
}

void hf_recovery_take_over_skipped(struct hf_recovering *recovering, const json_t *list)
{
    size_t index;
    const json_t *entry;
    json_array_foreach(list, index, entry)
    {
        const char *snapshot = json_string_value(json_object_get(entry, "snapshot"));
        const char *reason = json_string_value(json_object_get(entry, "reason"));
        if (!snapshot || !reason)
            continue;
        struct hf_skipped_snapshot *skipped = add_skipped(recovering, snapshot, reason);
        skipped->planned = true;
        skipped->planned_ms = number_or_unknown(entry, "extraDataLossMs");
        skipped->planned_versions = number_or_unknown(entry, "extraVersions");
    }
}

static int64_t number_or_unknown(const json_t *object, const char *name)
{
    const json_t *number = json_object_get(object, name);
    return json_is_integer(number) ? json_integer_value(number) : -1;
}

/* A plan names the snapshot it uses, so what it said holds when it is applied. */
static struct extra extra_of(const struct hf_recovering *recovering, const struct hf_skipped_snapshot *skipped)
{
    if (skipped->planned)
        return (struct extra){skipped->planned_ms, skipped->planned_versions};
    struct extra extra = {-1, -1};
    if (recovering->has_plan && skipped->cut_at_ms >= recovering->cut.at_ms)
        extra.ms = skipped->cut_at_ms - recovering->cut.at_ms;
    if (recovering->has_plan && skipped->sequence >= recovering->cut.sequence)
        extra.versions = skipped->sequence - recovering->cut.sequence;
    return extra;
}

void hf_recovery_write_skipped(const struct hf_recovering *recovering, struct hf_buf *out)
{
    for (int i = 0; i < recovering->skipped_count; i++) {
        const struct hf_skipped_snapshot *skipped = &recovering->skipped[i];
        struct extra extra = extra_of(recovering, skipped);
        hf_buf_add_text(out, i ? ",{\"snapshot\":" : "{\"snapshot\":");
        hf_buf_add_json_string(out, skipped->snapshot, strlen(skipped->snapshot));
        hf_buf_add_text(out, ",\"reason\":");
        hf_buf_add_json_string(out, skipped->reason, strlen(skipped->reason));
        add_number_or_null(out, "extraDataLossMs", extra.ms);
        add_number_or_null(out, "extraVersions", extra.versions);
        hf_buf_add_char(out, '}');
    }
}

static void add_number_or_null(struct hf_buf *out, const char *name, int64_t value)
{
    if (value < 0)
        hf_buf_add_format(out, ",\"%s\":null", name);
    else
        hf_buf_add_format(out, ",\"%s\":%lld", name, (long long)value);
}

int64_t hf_recovery_skipped_ms(const struct hf_recovering *recovering)
{
    int64_t most_ms = -1;
    for (int i = 0; i < recovering->skipped_count; i++) {
        struct extra extra = extra_of(recovering, &recovering->skipped[i]);
        if (extra.ms > most_ms)
            most_ms = extra.ms;
    }
    return most_ms;
}

void hf_recovery_log_skipped(const struct hf_recovering *recovering)
{
    for (int i = 0; i < recovering->skipped_count; i++) {
        const struct hf_skipped_snapshot *skipped = &recovering->skipped[i];
        struct extra extra = extra_of(recovering, skipped);
        hf_log(HF_LOG_WARNING, "snapshot_passed_over", skipped->reason, HF_LOG_TEXT("system", recovering->system.name),
               HF_LOG_TEXT("recovery", recovering->id), HF_LOG_TEXT("snapshot", skipped->snapshot),
               HF_LOG_TEXT("used", recovering->row.snapshot), HF_LOG_NUMBER("extraDataLossMs", extra.ms),
               HF_LOG_NUMBER("extraVersions", extra.versions));
    }
}
