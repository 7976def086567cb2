#include "store/snapshots.h"

#include "store/rows.h"

struct list {
    hf_snapshot_row_fn *each;
    void *context;
};

/* One row kept beyond the callback. */
struct kept {
    struct hf_arena *arena;
    struct hf_snapshot_row *out;
    bool found;
};

static bool read_snapshot(void *context, const struct hf_value *values, int count);
static bool keep_snapshot(void *context, const struct hf_snapshot_row *row);

bool hf_snapshots_insert(struct hf_session *session, const struct hf_snapshot_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_SNAPSHOT_INSERT, NULL, NULL, NULL, err, HF_INT(row->system_id),
                          HF_TEXT(row->id), HF_TEXT(row->kind), HF_TEXT(row->trigger), hf_text_or(row->label, ""),
                          hf_text_or(row->reason, ""), hf_text_or(row->generation, ""), hf_text_or(row->parent, ""),
                          HF_INT(row->sequence), HF_INT(row->epoch), HF_HASH(&row->root_hash), HF_INT(row->components),
                          HF_INT(row->changed), HF_INT(row->deleted), HF_INT(row->state_bytes), HF_INT(row->file_bytes),
                          hf_text_or(row->file, ""), HF_INT(row->cut_at_ms), HF_INT(row->completed_at_ms),
                          HF_INT(row->duration_ms), HF_TEXT(row->state), hf_text_or(row->validation_status, "pending"),
                          HF_INT(row->validated_at_ms), hf_optional_real(row->quality_score), HF_INT(row->pinned));
}

bool hf_snapshots_get(struct hf_session *session, int64_t system_id, const char *id, struct hf_arena *arena,
                      struct hf_snapshot_row *out, bool *found_out, struct hf_error *err)
{
    struct kept kept = {arena, out, false};
    struct list list = {keep_snapshot, &kept};
    if (!hf_session_run(session, HF_STMT_SNAPSHOT_GET, read_snapshot, &list, NULL, err, HF_INT(system_id), HF_TEXT(id)))
        return false;
    *found_out = kept.found;
    return true;
}

bool hf_snapshots_list(struct hf_session *session, int64_t system_id, const char *kind, int64_t before_cut_at_ms,
                       const char *before_id, int64_t limit, hf_snapshot_row_fn *each, void *context,
                       struct hf_error *err)
{
    struct list list = {each, context};
    return hf_session_run(session, HF_STMT_SNAPSHOTS_LIST, read_snapshot, &list, NULL, err, HF_INT(system_id),
                          HF_TEXT(kind), HF_INT(before_cut_at_ms), HF_TEXT(before_id), HF_INT(limit));
}

bool hf_snapshots_latest(struct hf_session *session, int64_t system_id, const char *kind, struct hf_arena *arena,
                         struct hf_snapshot_row *out, bool *found_out, struct hf_error *err)
{
    struct kept kept = {arena, out, false};
    struct list list = {keep_snapshot, &kept};
    if (!hf_session_run(session, HF_STMT_SNAPSHOT_LATEST, read_snapshot, &list, NULL, err, HF_INT(system_id),
                        HF_TEXT(kind)))
        return false;
    *found_out = kept.found;
    return true;
}

static bool read_snapshot(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct list *list = context;
    struct hf_columns columns = {values};
    struct hf_snapshot_row row = {0};
    row.system_id = hf_columns_int(&columns);
    row.id = hf_columns_text(&columns);
    row.kind = hf_columns_text(&columns);
    row.trigger = hf_columns_text(&columns);
    row.label = hf_columns_text(&columns);
    row.reason = hf_columns_text(&columns);
    row.generation = hf_columns_text(&columns);
    row.parent = hf_columns_text(&columns);
    row.sequence = hf_columns_int(&columns);
    row.epoch = hf_columns_int(&columns);
    hf_columns_hash(&columns, &row.root_hash);
    row.components = hf_columns_int(&columns);
    row.changed = hf_columns_int(&columns);
    row.deleted = hf_columns_int(&columns);
    row.state_bytes = hf_columns_int(&columns);
    row.file_bytes = hf_columns_int(&columns);
    row.file = hf_columns_text(&columns);
    row.cut_at_ms = hf_columns_int(&columns);
    row.completed_at_ms = hf_columns_int(&columns);
    row.duration_ms = hf_columns_int(&columns);
    row.state = hf_columns_text(&columns);
    row.validation_status = hf_columns_text(&columns);
    row.validated_at_ms = hf_columns_int(&columns);
    row.quality_score = hf_columns_optional_real(&columns);
    row.pinned = hf_columns_int(&columns) != 0;
    return list->each(list->context, &row);
}

static bool keep_snapshot(void *context, const struct hf_snapshot_row *row)
{
    struct kept *kept = context;
    struct hf_snapshot_row *out = kept->out;
    *out = *row;
    out->id = hf_arena_strdup(kept->arena, row->id);
    out->kind = hf_arena_strdup(kept->arena, row->kind);
    out->trigger = hf_arena_strdup(kept->arena, row->trigger);
    out->label = hf_arena_strdup(kept->arena, row->label);
    out->reason = hf_arena_strdup(kept->arena, row->reason);
    out->generation = hf_arena_strdup(kept->arena, row->generation);
    out->parent = hf_arena_strdup(kept->arena, row->parent);
    out->file = hf_arena_strdup(kept->arena, row->file);
    out->state = hf_arena_strdup(kept->arena, row->state);
    out->validation_status = hf_arena_strdup(kept->arena, row->validation_status);
    kept->found = true;
    return false;
}

bool hf_snapshots_update(struct hf_session *session, int64_t system_id, const char *id, const char *label, bool pinned,
                         struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_SNAPSHOT_UPDATE, NULL, NULL, NULL, err, HF_INT(system_id), HF_TEXT(id),
                          hf_text_or(label, ""), HF_INT(pinned));
}

bool hf_snapshots_set_state(struct hf_session *session, int64_t system_id, const char *id, const char *state,
                            const char *validation_status, int64_t validated_at_ms, double quality_score,
                            struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_SNAPSHOT_SET_STATE, NULL, NULL, NULL, err, HF_INT(system_id), HF_TEXT(id),
                          HF_TEXT(state), HF_TEXT(validation_status), HF_INT(validated_at_ms),
                          hf_optional_real(quality_score));
}

bool hf_snapshots_delete(struct hf_session *session, int64_t system_id, const char *id, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_SNAPSHOT_DELETE, NULL, NULL, NULL, err, HF_INT(system_id), HF_TEXT(id));
}
