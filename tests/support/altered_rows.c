#include "tests/support/altered_rows.h"

#include "tests/support/stores.h"

#include <check.h>
#include <string.h>

void hf_test_alter(struct hf_test_service *service, const char *sql)
{
    const struct hf_test_store database = {.engine = HF_TEST_SQLITE, .directory = service->directory};
    hf_test_store_alter(&database, sql);
}

char *hf_test_flip_content(struct hf_test_service *service, const char *table, int64_t sequence)
{
    return hf_arena_format(&service->arena,
                           "UPDATE %s SET content = substr(content, 1, length(content) / 2) || x'58' ||"
                           " substr(content, length(content) / 2 + 2) WHERE sequence = %lld;"
                           " UPDATE %s SET content = CAST(content AS BLOB)",
                           table, (long long)sequence, table);
}

int64_t hf_test_sequence_of(struct hf_test_service *service, const char *component)
{
    struct hf_head head;
    ck_assert(hf_catalog_read_head(service->engine->catalog, HF_TEST_NAME, component, &head, NULL, NULL));
    return head.sequence;
}

enum hf_row_condition hf_test_row_condition(struct hf_test_service *service, int64_t sequence, const char *component,
                                            int64_t version, const char *text)
{
    struct hf_component_info info;
    struct hf_session *session;
    struct hf_blob *blob = NULL;
    struct hf_error err;
    enum hf_row_condition condition;
    ck_assert(hf_catalog_read_component(service->engine->catalog, HF_TEST_NAME, component, &service->arena, &info));
    struct hf_state_row expected = {.system_id = hf_test_system(service).id,
                                    .sequence = sequence,
                                    .component_id = info.component_id,
                                    .version = version};
    hf_hash_of(text, strlen(text), &expected.hash);
    HF_TEST_OK(hf_sessions_take(service->engine->sessions, &session, &err));
    HF_TEST_OK(hf_states_examine(session, &expected, &condition, &blob, &err));
    hf_sessions_give(service->engine->sessions, session);
    hf_blob_unref(blob);
    return condition;
}

const char *hf_test_get_version(struct hf_test_service *service, const char *component, int64_t version,
                                enum hf_code *code_out)
{
    const struct hf_moment moment = {.kind = HF_MOMENT_VERSION, .version = version};
    struct hf_state state = {0};
    struct hf_error err = {0};
    bool ok = hf_state_read(service->engine, HF_TEST_NAME, component, &moment, &state, &err);
    *code_out = ok ? HF_OK : err.code;
    if (!ok)
        return NULL;
    ck_assert_int_eq(state.head.version, version);
    ck_assert_int_eq(state.head.bytes, (int64_t)state.body->bytes);
    const char *text = hf_arena_strndup(&service->arena, (const char *)state.body->data, state.body->bytes);
    hf_blob_unref(state.body);
    return text;
}
