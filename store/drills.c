#include "store/drills.h"

#include "store/rows.h"

struct drill_list {
    hf_drill_row_fn *each;
    void *context;
};

static bool read_drill(void *context, const struct hf_value *values, int count);

bool hf_drills_insert(struct hf_session *session, const struct hf_drill_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_DRILL_INSERT, NULL, NULL, NULL, err, HF_INT(row->system_id),
                          HF_TEXT(row->id), hf_text_or(row->snapshot, ""), HF_INT(row->sequence),
                          HF_INT(row->started_at_ms), HF_INT(row->duration_ms), HF_INT(row->components),
                          HF_INT(row->bytes), HF_TEXT(row->status), hf_text_or(row->detail, ""));
}

bool hf_drills_list(struct hf_session *session, int64_t system_id, int64_t before_started_at_ms, const char *before_id,
                    int64_t limit, hf_drill_row_fn *each, void *context, struct hf_error *err)
{
    struct drill_list list = {each, context};
    return hf_session_run(session, HF_STMT_DRILLS_LIST, read_drill, &list, NULL, err, HF_INT(system_id),
                          HF_INT(before_started_at_ms), HF_TEXT(before_id), HF_INT(limit));
}

bool hf_drills_newest(struct hf_session *session, const char *status, hf_drill_row_fn *each, void *context,
                      struct hf_error *err)
{
    struct drill_list list = {each, context};
    return hf_session_run(session, HF_STMT_DRILLS_NEWEST, read_drill, &list, NULL, err, HF_TEXT(status));
}

bool hf_drills_trim(struct hf_session *session, int64_t system_id, int64_t before_ms, int64_t limit,
                    int64_t *deleted_out, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_DRILLS_TRIM, NULL, NULL, deleted_out, err, HF_INT(system_id),
                          HF_INT(before_ms), HF_INT(limit));
}

static bool read_drill(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct drill_list *list = context;
    struct hf_columns columns = {values};
    struct hf_drill_row row = {0};
    row.system_id = hf_columns_int(&columns);
    row.id = hf_columns_text(&columns);
    row.snapshot = hf_columns_text(&columns);
    row.sequence = hf_columns_int(&columns);
    row.started_at_ms = hf_columns_int(&columns);
    row.duration_ms = hf_columns_int(&columns);
    row.components = hf_columns_int(&columns);
    row.bytes = hf_columns_int(&columns);
    row.status = hf_columns_text(&columns);
    row.detail = hf_columns_text(&columns);
    return list->each(list->context, &row);
}
