#include "store/recovery_components.h"

#include "core/auto.h"
#include "store/rows.h"

#include <stdio.h>
#include <string.h>

#define INSERT_COLUMNS 4
#define PORTION_ROWS   1000

struct portion {
    const struct hf_value *params;
    int count;
};

struct list {
    hf_recovery_component_row_fn *each;
    void *context;
};

/* One row kept beyond the callback. */
struct kept {
    struct hf_arena *arena;
    struct hf_recovery_component_row *out;
    bool found;
};

struct names {
    struct hf_arena *arena;
    const char **names;
    int count;
};

struct kept_waiting {
    struct hf_recovery_waiting *out;
    bool found;
};

struct overdue {
    hf_recovery_overdue_fn *each;
    void *context;
};

static bool insert_portion(struct hf_session *session, void *context, struct hf_error *err);
static bool read_row(void *context, const struct hf_value *values, int count);
static bool keep_row(void *context, const struct hf_recovery_component_row *row);
static bool keep_name(void *context, const struct hf_value *values, int count);
static bool read_count(void *context, const struct hf_value *values, int count);
static bool read_waiting(void *context, const struct hf_value *values, int count);
static bool read_overdue(void *context, const struct hf_value *values, int count);

bool hf_recovery_components_insert(struct hf_session *session, int64_t system_id, const char *recovery,
                                   const struct hf_recovery_component_row *rows, int count, struct hf_error *err)
{
    HF_AUTO(free) struct hf_value *params = hf_alloc(PORTION_ROWS * INSERT_COLUMNS * sizeof(*params));
    for (int start = 0; start < count; start += PORTION_ROWS) {
        struct portion portion = {params, count - start < PORTION_ROWS ? count - start : PORTION_ROWS};
        struct hf_value *next = params;
        for (int i = start; i < start + portion.count; i++) {
            *next++ = HF_INT(system_id);
            *next++ = HF_TEXT(recovery);
            *next++ = HF_TEXT(rows[i].component);
            *next++ = HF_INT(rows[i].wave);
        }
        if (!hf_session_transaction(session, insert_portion, &portion, err))
            return false;
    }
    return true;
}

static bool insert_portion(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct portion *portion = context;
    return hf_session_exec_many(session, HF_STMT_RECOVERY_COMPONENTS_INSERT, portion->params, INSERT_COLUMNS,
                                portion->count, NULL, err);
}

bool hf_recovery_components_list(struct hf_session *session, int64_t system_id, const char *recovery,
                                 hf_recovery_component_row_fn *each, void *context, struct hf_error *err)
{
    struct list list = {each, context};
    return hf_session_run(session, HF_STMT_RECOVERY_COMPONENTS_LIST, read_row, &list, NULL, err, HF_INT(system_id),
                          HF_TEXT(recovery));
}

bool hf_recovery_components_get(struct hf_session *session, int64_t system_id, const char *recovery,
                                const char *component, struct hf_arena *arena, struct hf_recovery_component_row *out,
                                bool *found_out, struct hf_error *err)
{
    struct kept kept = {arena, out, false};
    struct list list = {keep_row, &kept};
    if (!hf_session_run(session, HF_STMT_RECOVERY_COMPONENT_GET, read_row, &list, NULL, err, HF_INT(system_id),
                        HF_TEXT(recovery), HF_TEXT(component)))
        return false;
    *found_out = kept.found;
    return true;
}

static bool read_row(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct list *list = context;
    struct hf_columns columns = {values};
    struct hf_recovery_component_row row = {0};
    row.component = hf_columns_text(&columns);
    row.wave = hf_columns_int(&columns);
    row.status = hf_columns_text(&columns);
    row.detail = hf_columns_text(&columns);
    row.duration_ms = hf_columns_optional_int(&columns);
    row.reported_at_ms = hf_columns_int(&columns);
    return list->each(list->context, &row);
}

static bool keep_row(void *context, const struct hf_recovery_component_row *row)
{
    struct kept *kept = context;
    *kept->out = *row;
    kept->out->component = hf_arena_strdup(kept->arena, row->component);
    kept->out->status = hf_arena_strdup(kept->arena, row->status);
    kept->out->detail = hf_arena_strdup(kept->arena, row->detail);
    kept->found = true;
    return false;
}

bool hf_recovery_components_report(struct hf_session *session, int64_t system_id, const char *recovery,
                                   const struct hf_recovery_component_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_RECOVERY_COMPONENT_REPORT, NULL, NULL, NULL, err, HF_INT(system_id),
                          HF_TEXT(recovery), HF_TEXT(row->component), HF_TEXT(row->status), hf_text_or(row->detail, ""),
                          hf_optional_int(row->duration_ms), HF_INT(row->reported_at_ms));
}

bool hf_recovery_components_names(struct hf_session *session, int64_t system_id, const char *recovery, bool failed,
                                  int64_t limit, struct hf_arena *arena, const char **names_out, int *count_out,
                                  struct hf_error *err)
{
    struct names names = {arena, names_out, 0};
    if (!hf_session_run(session, failed ? HF_STMT_RECOVERY_COMPONENTS_FAILED : HF_STMT_RECOVERY_COMPONENTS_PENDING,
                        keep_name, &names, NULL, err, HF_INT(system_id), HF_TEXT(recovery), HF_INT(limit)))
        return false;
    *count_out = names.count;
    return true;
}

static bool keep_name(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct names *names = context;
    names->names[names->count++] = hf_arena_strdup(names->arena, hf_value_text(&values[0]));
    return true;
}

bool hf_recovery_components_count(struct hf_session *session, int64_t system_id, const char *recovery,
                                  struct hf_recovery_component_counts *out, struct hf_error *err)
{
    struct hf_recovery_component_counts counts = {0};
    if (!hf_session_run(session, HF_STMT_RECOVERY_COMPONENTS_COUNT, read_count, &counts, NULL, err, HF_INT(system_id),
                        HF_TEXT(recovery)))
        return false;
    *out = counts;
    return true;
}

static bool read_count(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct hf_recovery_component_counts *counts = context;
    const char *status = hf_value_text(&values[0]);
    int64_t number = hf_value_int(&values[1]);
    if (strcmp(status, "restored") == 0)
        counts->restored = number;
    else if (strcmp(status, "failed") == 0)
        counts->failed = number;
    else if (strcmp(status, "fresh") == 0)
        counts->fresh = number;
    else
        counts->pending = number;
    return true;
}

bool hf_recovery_components_trim(struct hf_session *session, int64_t system_id, int64_t before_ms, int64_t limit,
                                 int64_t *deleted_out, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_RECOVERY_COMPONENTS_TRIM, NULL, NULL, deleted_out, err, HF_INT(system_id),
                          HF_INT(before_ms), HF_INT(limit));
}

bool hf_recovery_waiting_get(struct hf_session *session, int64_t system_id, const char *recovery,
                             struct hf_recovery_waiting *out, bool *found_out, struct hf_error *err)
{
    struct kept_waiting kept = {out, false};
    if (!hf_session_run(session, HF_STMT_RECOVERY_WAITING_GET, read_waiting, &kept, NULL, err, HF_INT(system_id),
                        HF_TEXT(recovery)))
        return false;
    *found_out = kept.found;
    return true;
}

static bool read_waiting(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct kept_waiting *kept = context;
    snprintf(kept->out->status, sizeof(kept->out->status), "%s", hf_value_text(&values[0]));
    kept->out->started_at_ms = hf_value_int(&values[1]);
    kept->out->reporting_since_ms = hf_value_int(&values[2]);
    kept->found = true;
    return false;
}

bool hf_recovery_waiting_begin(struct hf_session *session, int64_t system_id, const char *recovery, int64_t since_ms,
                               struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_RECOVERY_WAITING_BEGIN, NULL, NULL, NULL, err, HF_INT(system_id),
                          HF_TEXT(recovery), HF_INT(since_ms));
}

bool hf_recovery_waiting_end(struct hf_session *session, int64_t system_id, const char *recovery, const char *status,
                             int64_t completed_at_ms, bool *ended_out, struct hf_error *err)
{
    int64_t affected = 0;
    if (!hf_session_run(session, HF_STMT_RECOVERY_WAITING_END, NULL, NULL, &affected, err, HF_INT(system_id),
                        HF_TEXT(recovery), HF_TEXT(status), HF_INT(completed_at_ms)))
        return false;
    *ended_out = affected == 1;
    return true;
}

bool hf_recovery_waiting_overdue(struct hf_session *session, int64_t before_ms, int64_t limit,
                                 hf_recovery_overdue_fn *each, void *context, struct hf_error *err)
{
    struct overdue overdue = {each, context};
    return hf_session_run(session, HF_STMT_RECOVERY_WAITING_OVERDUE, read_overdue, &overdue, NULL, err,
                          HF_INT(before_ms), HF_INT(limit));
}

static bool read_overdue(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct overdue *overdue = context;
    return overdue->each(overdue->context, hf_value_int(&values[0]), hf_value_text(&values[1]));
}
