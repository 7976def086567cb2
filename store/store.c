#include "store/store.h"

#include "core/auto.h"
#include "store/engine.h"

#include <string.h>

bool hf_store_open(struct hf_store **out, const struct hf_store_options *options, bool *created_out,
                   struct hf_error *err)
{
    const struct hf_store_engine *engine = options->database_url ? &hf_postgres_engine : &hf_sqlite_engine;
    struct hf_store *store = NULL;
    bool created = false;
    if (!engine->store_open(&store, options, &created, err))
        return false;
    if (!engine->migrate(store, err)) {
        engine->store_close(store);
        return false;
    }
    if (created_out)
        *created_out = created;
    *out = store;
    return true;
}

void hf_store_close(struct hf_store *store)
{
    if (store)
        store->engine->store_close(store);
}

const char *hf_store_engine(const struct hf_store *store)
{
    return store->engine->name;
}

bool hf_session_open(struct hf_session **out, struct hf_store *store, enum hf_session_role role, struct hf_error *err)
{
    return store->engine->session_open(out, store, role, err);
}

void hf_session_close(struct hf_session *session)
{
    if (session)
        session->engine->session_close(session);
}

bool hf_session_reset(struct hf_session *session, struct hf_error *err)
{
    session->in_transaction = false;
    return session->engine->session_reset(session, err);
}

bool hf_session_is_broken(struct hf_session *session)
{
    return session->engine->session_is_broken(session);
}

bool hf_session_begin(struct hf_session *session, struct hf_error *err)
{
    HF_ASSERT(!session->in_transaction);
    if (!session->engine->begin(session, err))
        return false;
    session->in_transaction = true;
    return true;
}

bool hf_session_commit(struct hf_session *session, struct hf_error *err)
{
    HF_ASSERT(session->in_transaction);
    session->in_transaction = false;
    return session->engine->commit(session, err);
}

void hf_session_rollback(struct hf_session *session)
{
    session->in_transaction = false;
    session->engine->rollback(session);
}

bool hf_session_exec(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                     int param_count, hf_row_fn *each, void *context, int64_t *affected_out, struct hf_error *err)
{
    HF_ASSERT(statement < HF_STMT_COUNT && param_count == (int)strlen(hf_statements[statement].params));
    HF_ASSERT(!hf_statements[statement].many);
    return session->engine->exec(session, statement, params, param_count, each, context, affected_out, err);
}

bool hf_session_exec_many(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                          int columns, int row_count, int64_t *affected_out, struct hf_error *err)
{
    HF_ASSERT(statement < HF_STMT_COUNT && columns == (int)strlen(hf_statements[statement].params));
    HF_ASSERT(hf_statements[statement].many && session->in_transaction);
    if (row_count == 0) {
        if (affected_out)
            *affected_out = 0;
        return true;
    }
    return session->engine->exec_many(session, statement, params, columns, row_count, affected_out, err);
}

struct hf_value HF_TEXT(const char *text) {
    if (!text)
        return HF_NULL;
    return (struct hf_value){HF_VALUE_TEXT, strlen(text), {.data = text}};
}

int64_t
hf_value_int(const struct hf_value *value)
{
    if (value->type == HF_VALUE_REAL)
        return (int64_t)value->real;
    return value->type == HF_VALUE_INT ? value->integer : 0;
}

double hf_value_real(const struct hf_value *value)
{
    if (value->type == HF_VALUE_INT)
        return (double)value->integer;
    return value->type == HF_VALUE_REAL ? value->real : 0;
}

const char *hf_value_text(const struct hf_value *value)
{
    return value->type == HF_VALUE_TEXT ? value->data : "";
}

bool hf_value_hash(const struct hf_value *value, struct hf_hash *out)
{
    memset(out, 0, sizeof(*out));
    if (value->type == HF_VALUE_NULL)
        return true;
    if (value->type != HF_VALUE_BYTES || value->bytes != HF_HASH_BYTES)
        return false;
    memcpy(out->bytes, value->data, HF_HASH_BYTES);
    return true;
}
