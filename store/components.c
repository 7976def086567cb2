#include "store/components.h"

#include "core/auto.h"
#include "store/rows.h"

#define INSERT_COLUMNS 21
#define FOLD_COLUMNS   14

struct list {
    hf_component_row_fn *each;
    void *context;
};

struct suspects {
    hf_component_suspect_fn *each;
    void *context;
};

/* Rows of parameters for one statement, run in a transaction. */
struct many {
    enum hf_statement statement;
    const struct hf_value *params;
    int columns;
    int count;
};

static bool read_component(void *context, const struct hf_value *values, int count);
static bool read_suspect(void *context, const struct hf_value *values, int count);
static struct hf_value head_hash(const struct hf_component_row *row);
static bool run_many(struct hf_session *session, void *context, struct hf_error *err);

bool hf_components_list(struct hf_session *session, int64_t system_id, hf_component_row_fn *each, void *context,
                        struct hf_error *err)
{
    struct list list = {each, context};
    return hf_session_run(session, HF_STMT_COMPONENTS_LIST, read_component, &list, NULL, err, HF_INT(system_id));
}

static bool read_component(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct list *list = context;
    struct hf_columns columns = {values};
    struct hf_component_row row = {0};
    row.system_id = hf_columns_int(&columns);
    row.component_id = hf_columns_int(&columns);
    row.name = hf_columns_text(&columns);
    row.kind = hf_columns_text(&columns);
    row.depends_on = hf_columns_text(&columns);
    row.required_pointers = hf_columns_text(&columns);
    row.heartbeat_interval_ms = hf_columns_int(&columns);
    row.registered_at_ms = hf_columns_int(&columns);
    row.version = hf_columns_int(&columns);
    row.sequence = hf_columns_int(&columns);
    hf_columns_hash(&columns, &row.hash);
    row.bytes = hf_columns_int(&columns);
    row.content_type = hf_columns_text(&columns);
    row.committed_at_ms = hf_columns_int(&columns);
    row.deleted = hf_columns_int(&columns) != 0;
    row.health = hf_columns_optional_real(&columns);
    row.status = hf_columns_text(&columns);
    row.metrics = hf_columns_text(&columns);
    row.heartbeat_at_ms = hf_columns_int(&columns);
    row.last_activity_at_ms = hf_columns_int(&columns);
    row.created_at_ms = hf_columns_int(&columns);
    return list->each(list->context, &row);
}

bool hf_components_insert(struct hf_session *session, const struct hf_component_row *rows, int count,
                          struct hf_error *err)
{
    HF_AUTO(free) struct hf_value *params = hf_alloc((size_t)count * INSERT_COLUMNS * sizeof(*params) + 1);
    struct hf_value *next = params;
    for (int i = 0; i < count; i++) {
        const struct hf_component_row *row = &rows[i];
        *next++ = HF_INT(row->system_id);
        *next++ = HF_INT(row->component_id);
        *next++ = HF_TEXT(row->name);
        *next++ = hf_text_or(row->kind, "");
        *next++ = hf_text_or(row->depends_on, "[]");
        *next++ = hf_text_or(row->required_pointers, "[]");
        *next++ = HF_INT(row->heartbeat_interval_ms);
        *next++ = HF_INT(row->registered_at_ms);
        *next++ = HF_INT(row->version);
        *next++ = HF_INT(row->sequence);
        *next++ = head_hash(row);
        *next++ = HF_INT(row->bytes);
        *next++ = hf_text_or(row->content_type, "");
        *next++ = HF_INT(row->committed_at_ms);
        *next++ = HF_INT(row->deleted);
        *next++ = hf_optional_real(row->health);
        *next++ = hf_text_or(row->status, "");
        *next++ = hf_text_or(row->metrics, "{}");
        *next++ = HF_INT(row->heartbeat_at_ms);
        *next++ = HF_INT(row->last_activity_at_ms);
        *next++ = HF_INT(row->created_at_ms);
    }
    struct many many = {HF_STMT_COMPONENTS_INSERT, params, INSERT_COLUMNS, count};
    return hf_session_transaction(session, run_many, &many, err);
}

bool hf_components_fold(struct hf_session *session, const struct hf_component_row *rows, int count,
                        struct hf_error *err)
{
    HF_AUTO(free) struct hf_value *params = hf_alloc((size_t)count * FOLD_COLUMNS * sizeof(*params) + 1);
    struct hf_value *next = params;
    for (int i = 0; i < count; i++) {
        const struct hf_component_row *row = &rows[i];
        *next++ = HF_INT(row->system_id);
        *next++ = HF_INT(row->component_id);
        *next++ = HF_INT(row->version);
        *next++ = HF_INT(row->sequence);
        *next++ = head_hash(row);
        *next++ = HF_INT(row->bytes);
        *next++ = hf_text_or(row->content_type, "");
        *next++ = HF_INT(row->committed_at_ms);
        *next++ = HF_INT(row->deleted);
        *next++ = hf_optional_real(row->health);
        *next++ = hf_text_or(row->status, "");
        *next++ = hf_text_or(row->metrics, "{}");
        *next++ = HF_INT(row->heartbeat_at_ms);
        *next++ = HF_INT(row->last_activity_at_ms);
    }
    struct many many = {HF_STMT_COMPONENTS_FOLD, params, FOLD_COLUMNS, count};
    return hf_session_transaction(session, run_many, &many, err);
}

bool hf_components_register(struct hf_session *session, const struct hf_component_row *row, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_COMPONENT_REGISTER, NULL, NULL, NULL, err, HF_INT(row->system_id),
                          HF_INT(row->component_id), hf_text_or(row->kind, ""), hf_text_or(row->depends_on, "[]"),
                          hf_text_or(row->required_pointers, "[]"), HF_INT(row->heartbeat_interval_ms),
                          HF_INT(row->registered_at_ms));
}

bool hf_components_forget(struct hf_session *session, int64_t system_id, int64_t component_id, struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_COMPONENT_FORGET, NULL, NULL, NULL, err, HF_INT(system_id),
                          HF_INT(component_id));
}

bool hf_components_rename(struct hf_session *session, int64_t system_id, int64_t component_id, const char *name,
                          struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_COMPONENT_RENAME, NULL, NULL, NULL, err, HF_INT(system_id),
                          HF_INT(component_id), HF_TEXT(name));
}

bool hf_components_suspect(struct hf_session *session, int64_t system_id, int64_t after, int64_t up_to,
                           int64_t folded_sequence, hf_component_suspect_fn *each, void *context, struct hf_error *err)
{
    struct suspects suspects = {each, context};
    return hf_session_run(session, HF_STMT_COMPONENTS_DISAGREEING, read_suspect, &suspects, NULL, err,
                          HF_INT(system_id)) &&
           hf_session_run(session, HF_STMT_COMPONENTS_PASSED_OVER, read_suspect, &suspects, NULL, err,
                          HF_INT(system_id), HF_INT(after), HF_INT(up_to), HF_INT(folded_sequence));
}

static bool read_suspect(void *context, const struct hf_value *values, int count)
{
    (void)count;
    const struct suspects *suspects = context;
    return suspects->each(suspects->context, hf_value_int(&values[0]), hf_value_int(&values[1]));
}

static struct hf_value head_hash(const struct hf_component_row *row)
{
    return row->version == 0 ? HF_NULL : HF_HASH(&row->hash);
}

static bool run_many(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct many *many = context;
    return hf_session_exec_many(session, many->statement, many->params, many->columns, many->count, NULL, err);
}
