#include "store/systems.h"

#include "store/rows.h"
#include "store/shared.h"

/* Rows deleted by one statement: bounds the length of a call. */
#define DELETED_AT_ONCE 5000

struct list {
    hf_system_row_fn *each;
    void *context;
};

struct outcome {
    int64_t sequence;
    int64_t batch_id;
    bool found;
};

static bool read_system(void *context, const struct hf_value *values, int count);
static bool read_outcome(void *context, const struct hf_value *values, int count);
static bool delete_all(struct hf_session *session, void *context, struct hf_error *err);

bool hf_systems_list(struct hf_session *session, hf_system_row_fn *each, void *context, struct hf_error *err)
{
    struct list list = {each, context};
    return hf_session_exec(session, HF_STMT_SYSTEMS_LIST, NULL, 0, read_system, &list, NULL, err);
}

bool hf_systems_get(struct hf_session *session, int64_t system_id, hf_system_row_fn *each, void *context,
                    struct hf_error *err)
{
    struct list list = {each, context};
    return hf_session_run(session, HF_STMT_SYSTEM_GET, read_system, &list, NULL, err, HF_INT(system_id));
}

static bool read_system(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct list *list = context;
    struct hf_columns columns = {values};
    struct hf_system_row row = {0};
    row.id = hf_columns_int(&columns);
    row.name = hf_columns_text(&columns);
    row.description = hf_columns_text(&columns);
    row.sequence = hf_columns_int(&columns);
    row.epoch = hf_columns_int(&columns);
    row.folded_sequence = hf_columns_int(&columns);
    row.batch_id = hf_columns_int(&columns);
    row.backup_interval_ms = hf_columns_optional_int(&columns);
    row.incremental_interval_ms = hf_columns_optional_int(&columns);
    row.max_retention_hours = hf_columns_optional_int(&columns);
    row.created_at_ms = hf_columns_int(&columns);
    row.committed_at_ms = hf_columns_int(&columns);
    return list->each(list->context, &row);
}

bool hf_systems_insert(struct hf_session *session, const struct hf_system_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_SYSTEM_INSERT, NULL, NULL, NULL, err, HF_INT(row->id), HF_TEXT(row->name),
                          hf_text_or(row->description, ""), HF_INT(row->sequence), HF_INT(row->epoch),
                          HF_INT(row->folded_sequence), HF_INT(row->batch_id), hf_optional_int(row->backup_interval_ms),
                          hf_optional_int(row->incremental_interval_ms), hf_optional_int(row->max_retention_hours),
                          HF_INT(row->created_at_ms), HF_INT(row->committed_at_ms));
}

bool hf_systems_advance(struct hf_session *session, int64_t system_id, int64_t old_sequence, int64_t new_sequence,
                        int64_t epoch, int64_t batch_id, int64_t committed_at_ms, bool *moved_out, struct hf_error *err)
{
    int64_t affected = 0;
    if (!hf_session_run(session, HF_STMT_SYSTEM_ADVANCE, NULL, NULL, &affected, err, HF_INT(system_id),
                        HF_INT(old_sequence), HF_INT(new_sequence), HF_INT(epoch), HF_INT(batch_id),
                        HF_INT(committed_at_ms)))
        return false;
    *moved_out = affected == 1;
    return true;
}

bool hf_systems_outcome(struct hf_session *session, int64_t system_id, int64_t *sequence_out, int64_t *batch_id_out,
                        bool *found_out, struct hf_error *err)
{
    struct outcome outcome = {0};
    if (!hf_session_run(session, HF_STMT_SYSTEM_OUTCOME, read_outcome, &outcome, NULL, err, HF_INT(system_id)))
        return false;
    *sequence_out = outcome.sequence;
    *batch_id_out = outcome.batch_id;
    *found_out = outcome.found;
    return true;
}

static bool read_outcome(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct outcome *outcome = context;
    *outcome = (struct outcome){hf_value_int(&values[0]), hf_value_int(&values[2]), true};
    return true;
}

bool hf_systems_set_settings(struct hf_session *session, const struct hf_system_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_SYSTEM_SET_SETTINGS, NULL, NULL, NULL, err, HF_INT(row->id),
                          hf_text_or(row->description, ""), hf_optional_int(row->backup_interval_ms),
                          hf_optional_int(row->incremental_interval_ms), hf_optional_int(row->max_retention_hours));
}

bool hf_systems_set_folded(struct hf_session *session, int64_t system_id, int64_t folded_sequence, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_SYSTEM_SET_FOLDED, NULL, NULL, NULL, err, HF_INT(system_id),
                          HF_INT(folded_sequence));
}

bool hf_systems_reveal(struct hf_session *session, const struct hf_system_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_SYSTEM_REVEAL, NULL, NULL, NULL, err, HF_INT(row->id), HF_TEXT(row->name),
                          hf_text_or(row->description, ""), HF_INT(row->sequence), HF_INT(row->batch_id),
                          HF_INT(row->committed_at_ms));
}

bool hf_systems_delete(struct hf_session *session, int64_t system_id, struct hf_error *err)
{
    return hf_session_transaction(session, delete_all, &system_id, err);
}

static bool delete_all(struct hf_session *session, void *context, struct hf_error *err)
{
    static const enum hf_statement by_pieces[] = {
        HF_STMT_SYSTEM_DELETE_CHUNKS,    HF_STMT_SYSTEM_DELETE_STATES,     HF_STMT_SYSTEM_DELETE_COMPONENTS,
        HF_STMT_SYSTEM_DELETE_SNAPSHOTS, HF_STMT_SYSTEM_DELETE_RECOVERIES, HF_STMT_SYSTEM_DELETE_VALIDATIONS,
        HF_STMT_SYSTEM_DELETE_EVENTS,    HF_STMT_SYSTEM_DELETE_KEYS,       HF_STMT_SYSTEM_DELETE_RECOVERY_COMPONENTS,
        HF_STMT_SYSTEM_DELETE_DRILLS,
    };
    int64_t system_id = *(const int64_t *)context;
    if (!hf_shared_give_all(session, system_id, err))
        return false;
    for (size_t i = 0; i < sizeof(by_pieces) / sizeof(by_pieces[0]); i++) {
        int64_t affected = 0;
        do {
            if (!hf_session_run(session, by_pieces[i], NULL, NULL, &affected, err, HF_INT(system_id),
                                HF_INT(DELETED_AT_ONCE)))
                return false;
        } while (affected > 0);
    }
    return hf_session_run(session, HF_STMT_SYSTEM_DELETE, NULL, NULL, NULL, err, HF_INT(system_id));
}
