#include "store/journal.h"

#include "core/auto.h"
#include "store/rows.h"

#define EVENT_COLUMNS 6

struct recovery_list {
    hf_recovery_row_fn *each;
    void *context;
};

/* One row kept beyond the callback. */
struct kept_recovery {
    struct hf_arena *arena;
    struct hf_recovery_row *out;
    bool found;
};

struct validation_list {
    hf_validation_row_fn *each;
    void *context;
};

struct event_list {
    hf_event_row_fn *each;
    void *context;
};

struct events {
    const struct hf_value *params;
    int count;
};

struct kept_key {
    struct hf_arena *arena;
    struct hf_hash body_hash;
    const char *answer;
    int64_t created_at_ms;
    bool found;
};

static bool read_recovery(void *context, const struct hf_value *values, int count);
static bool keep_recovery(void *context, const struct hf_recovery_row *row);
static bool read_validation(void *context, const struct hf_value *values, int count);
static bool insert_events(struct hf_session *session, void *context, struct hf_error *err);
static hf_row_fn read_event;
static hf_row_fn read_newest;
static bool read_key(void *context, const struct hf_value *values, int count);

bool hf_recoveries_insert(struct hf_session *session, const struct hf_recovery_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_RECOVERY_INSERT, NULL, NULL, NULL, err, HF_INT(row->system_id),
                          HF_TEXT(row->id), HF_TEXT(row->source), hf_text_or(row->snapshot, ""), HF_INT(row->at_ms),
                          HF_TEXT(row->status), hf_text_or(row->reason, ""), HF_INT(row->epoch),
                          HF_INT(row->sequence_before), HF_INT(row->sequence_after), HF_INT(row->data_loss_ms),
                          HF_INT(row->data_loss_versions), HF_INT(row->data_loss_bytes),
                          HF_INT(row->data_loss_components), HF_INT(row->started_at_ms), HF_INT(row->completed_at_ms),
                          hf_text_or(row->detail, "{}"));
}

bool hf_recoveries_get(struct hf_session *session, int64_t system_id, const char *id, struct hf_arena *arena,
                       struct hf_recovery_row *out, bool *found_out, struct hf_error *err)
{
    struct kept_recovery kept = {arena, out, false};
    struct recovery_list list = {keep_recovery, &kept};
    if (!hf_session_run(session, HF_STMT_RECOVERY_GET, read_recovery, &list, NULL, err, HF_INT(system_id), HF_TEXT(id)))
        return false;
    *found_out = kept.found;
    return true;
}

bool hf_recoveries_list(struct hf_session *session, int64_t system_id, int64_t before_started_at_ms,
                        const char *before_id, int64_t limit, hf_recovery_row_fn *each, void *context,
                        struct hf_error *err)
{
    struct recovery_list list = {each, context};
    return hf_session_run(session, HF_STMT_RECOVERIES_LIST, read_recovery, &list, NULL, err, HF_INT(system_id),
                          HF_INT(before_started_at_ms), HF_TEXT(before_id), HF_INT(limit));
}

static bool read_recovery(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct recovery_list *list = context;
    struct hf_columns columns = {values};
    struct hf_recovery_row row = {0};
    row.system_id = hf_columns_int(&columns);
    row.id = hf_columns_text(&columns);
    row.source = hf_columns_text(&columns);
    row.snapshot = hf_columns_text(&columns);
    row.at_ms = hf_columns_int(&columns);
    row.status = hf_columns_text(&columns);
    row.reason = hf_columns_text(&columns);
    row.epoch = hf_columns_int(&columns);
    row.sequence_before = hf_columns_int(&columns);
    row.sequence_after = hf_columns_int(&columns);
    row.data_loss_ms = hf_columns_int(&columns);
    row.data_loss_versions = hf_columns_int(&columns);
    row.data_loss_bytes = hf_columns_int(&columns);
    row.data_loss_components = hf_columns_int(&columns);
    row.started_at_ms = hf_columns_int(&columns);
    row.completed_at_ms = hf_columns_int(&columns);
    row.detail = hf_columns_text(&columns);
    return list->each(list->context, &row);
}

static bool keep_recovery(void *context, const struct hf_recovery_row *row)
{
    struct kept_recovery *kept = context;
    struct hf_recovery_row *out = kept->out;
    *out = *row;
    out->id = hf_arena_strdup(kept->arena, row->id);
    out->source = hf_arena_strdup(kept->arena, row->source);
    out->snapshot = hf_arena_strdup(kept->arena, row->snapshot);
    out->status = hf_arena_strdup(kept->arena, row->status);
    out->reason = hf_arena_strdup(kept->arena, row->reason);
    out->detail = hf_arena_strdup(kept->arena, row->detail);
    kept->found = true;
    return false;
}

bool hf_recoveries_update(struct hf_session *session, const struct hf_recovery_row *row, const char *from_status,
                          bool *updated_out, struct hf_error *err)
{
    int64_t affected = 0;
    if (!hf_session_run(session, HF_STMT_RECOVERY_UPDATE, NULL, NULL, &affected, err, HF_INT(row->system_id),
                        HF_TEXT(row->id), hf_text_or(row->snapshot, ""), HF_TEXT(row->status),
                        hf_text_or(row->reason, ""), HF_INT(row->epoch), HF_INT(row->sequence_before),
                        HF_INT(row->sequence_after), HF_INT(row->data_loss_ms), HF_INT(row->data_loss_versions),
                        HF_INT(row->data_loss_bytes), HF_INT(row->data_loss_components), HF_INT(row->started_at_ms),
                        HF_INT(row->completed_at_ms), hf_text_or(row->detail, "{}"), HF_TEXT(from_status)))
        return false;
    *updated_out = affected == 1;
    return true;
}

bool hf_recoveries_trim(struct hf_session *session, int64_t system_id, int64_t before_ms, int64_t limit,
                        int64_t *deleted_out, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_RECOVERIES_TRIM, NULL, NULL, deleted_out, err, HF_INT(system_id),
                          HF_INT(before_ms), HF_INT(limit));
}

bool hf_validations_insert(struct hf_session *session, const struct hf_validation_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_VALIDATION_INSERT, NULL, NULL, NULL, err, HF_INT(row->system_id),
                          HF_TEXT(row->snapshot), HF_TEXT(row->check_name), HF_TEXT(row->status),
                          hf_text_or(row->detail, ""), HF_REAL(row->quality_score), HF_INT(row->checked_at_ms),
                          hf_text_or(row->data, "{}"));
}

bool hf_validations_list(struct hf_session *session, int64_t system_id, const char *snapshot,
                         hf_validation_row_fn *each, void *context, struct hf_error *err)
{
    struct validation_list list = {each, context};
    return hf_session_run(session, HF_STMT_VALIDATIONS_LIST, read_validation, &list, NULL, err, HF_INT(system_id),
                          HF_TEXT(snapshot));
}

bool hf_validations_forget(struct hf_session *session, int64_t system_id, const char *snapshot, int64_t runs_kept,
                           struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_VALIDATIONS_FORGET, NULL, NULL, NULL, err, HF_INT(system_id),
                          HF_TEXT(snapshot), HF_INT(runs_kept));
}

bool hf_validations_trim(struct hf_session *session, int64_t system_id, int64_t before_ms, int64_t limit,
                         int64_t *deleted_out, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_VALIDATIONS_TRIM, NULL, NULL, deleted_out, err, HF_INT(system_id),
                          HF_INT(before_ms), HF_INT(limit));
}

static bool read_validation(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct validation_list *list = context;
    struct hf_columns columns = {values};
    struct hf_validation_row row = {0};
    row.system_id = hf_columns_int(&columns);
    row.snapshot = hf_columns_text(&columns);
    row.check_name = hf_columns_text(&columns);
    row.status = hf_columns_text(&columns);
    row.detail = hf_columns_text(&columns);
    row.quality_score = hf_columns_optional_real(&columns);
    row.checked_at_ms = hf_columns_int(&columns);
    row.data = hf_columns_text(&columns);
    return list->each(list->context, &row);
}

bool hf_events_insert(struct hf_session *session, const struct hf_event_row *rows, int count, struct hf_error *err)
{
    HF_AUTO(free) struct hf_value *params = hf_alloc((size_t)count * EVENT_COLUMNS * sizeof(*params) + 1);
    struct hf_value *next = params;
    for (int i = 0; i < count; i++) {
        *next++ = HF_INT(rows[i].system_id);
        *next++ = HF_INT(rows[i].at_ms);
        *next++ = HF_TEXT(rows[i].severity);
        *next++ = HF_TEXT(rows[i].type);
        *next++ = hf_text_or(rows[i].text, "");
        *next++ = hf_text_or(rows[i].data, "{}");
    }
    struct events events = {params, count};
    return hf_session_transaction(session, insert_events, &events, err);
}

static bool insert_events(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct events *events = context;
    return hf_session_exec_many(session, HF_STMT_EVENT_INSERT, events->params, EVENT_COLUMNS, events->count, NULL, err);
}

bool hf_events_list(struct hf_session *session, int64_t system_id, const char *severity, int64_t after, int64_t limit,
                    hf_event_row_fn *each, void *context, struct hf_error *err)
{
    struct event_list list = {each, context};
    return hf_session_run(session, HF_STMT_EVENTS_LIST, read_event, &list, NULL, err, HF_INT(system_id),
                          HF_TEXT(severity), HF_INT(after), HF_INT(limit));
}

bool hf_events_list_newest(struct hf_session *session, const struct hf_events_wanted *wanted, hf_event_row_fn *each,
                           void *context, struct hf_error *err)
{
    struct event_list list = {each, context};
    return hf_session_run(session, HF_STMT_EVENTS_LIST_NEWEST, read_event, &list, NULL, err, HF_INT(wanted->system_id),
                          HF_TEXT(wanted->severity), HF_INT(wanted->after), HF_INT(wanted->before),
                          HF_INT(wanted->limit));
}

bool hf_events_newest(struct hf_session *session, int64_t *id_out, struct hf_error *err)
{
    int64_t id = 0;
    if (!hf_session_exec(session, HF_STMT_EVENTS_NEWEST, NULL, 0, read_newest, &id, NULL, err))
        return false;
    *id_out = id;
    return true;
}

static bool read_newest(void *context, const struct hf_value *values, int count)
{
    (void)count;
    *(int64_t *)context = hf_value_int(&values[0]);
    return true;
}

static bool read_event(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct event_list *list = context;
    struct hf_columns columns = {values};
    struct hf_event_row row = {0};
    row.id = hf_columns_int(&columns);
    row.system_id = hf_columns_int(&columns);
    row.at_ms = hf_columns_int(&columns);
    row.severity = hf_columns_text(&columns);
    row.type = hf_columns_text(&columns);
    row.text = hf_columns_text(&columns);
    row.data = hf_columns_text(&columns);
    return list->each(list->context, &row);
}

bool hf_events_trim(struct hf_session *session, int64_t before_ms, int64_t limit, int64_t *deleted_out,
                    struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_EVENTS_TRIM, NULL, NULL, deleted_out, err, HF_INT(before_ms), HF_INT(limit));
}

bool hf_keys_insert(struct hf_session *session, int64_t system_id, const char *key, const struct hf_hash *body_hash,
                    const char *answer, int64_t created_at_ms, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_KEY_INSERT, NULL, NULL, NULL, err, HF_INT(system_id), HF_TEXT(key),
                          HF_HASH(body_hash), HF_TEXT(answer), HF_INT(created_at_ms));
}

bool hf_keys_get(struct hf_session *session, int64_t system_id, const char *key, struct hf_arena *arena,
                 struct hf_hash *body_hash_out, const char **answer_out, int64_t *created_at_ms_out, bool *found_out,
                 struct hf_error *err)
{
    struct kept_key kept = {.arena = arena};
    if (!hf_session_run(session, HF_STMT_KEY_GET, read_key, &kept, NULL, err, HF_INT(system_id), HF_TEXT(key)))
        return false;
    *found_out = kept.found;
    if (kept.found) {
        *body_hash_out = kept.body_hash;
        *answer_out = kept.answer;
        *created_at_ms_out = kept.created_at_ms;
    }
    return true;
}

static bool read_key(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct kept_key *kept = context;
    struct hf_columns columns = {values};
    hf_columns_hash(&columns, &kept->body_hash);
    kept->answer = hf_arena_strdup(kept->arena, hf_columns_text(&columns));
    kept->created_at_ms = hf_columns_int(&columns);
    kept->found = true;
    return false;
}

bool hf_keys_trim(struct hf_session *session, int64_t before_ms, int64_t limit, int64_t *deleted_out,
                  struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_KEYS_TRIM, NULL, NULL, deleted_out, err, HF_INT(before_ms), HF_INT(limit));
}
