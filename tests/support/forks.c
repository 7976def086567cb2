#include "tests/support/forks.h"

#include <check.h>
#include <string.h>

struct hf_past_moment hf_test_now(void)
{
    return (struct hf_past_moment){.kind = HF_PAST_NOW};
}

struct hf_fork hf_test_fork(struct hf_test_service *service, const char *from, const char *name,
                            struct hf_past_moment moment)
{
    const struct hf_fork_request request = {.name = name, .from = from, .moment = moment};
    struct hf_fork fork;
    struct hf_error err;
    ck_assert_msg(hf_fork_make(service->engine, &request, &service->arena, &fork, &err), "%s", err.text);
    return fork;
}

struct hf_fork hf_test_fork_now(struct hf_test_service *service, const char *name)
{
    return hf_test_fork(service, HF_TEST_NAME, name, hf_test_now());
}

void hf_test_put_in(struct hf_test_service *service, const char *system, const char *component, const char *text)
{
    struct hf_save_item item = {.component = component,
                                .body = hf_blob_copy(text, strlen(text)),
                                .content_type = "application/json"};
    struct hf_write write = {.system = system, .state_epoch = -1, .items = &item, .item_count = 1};
    struct hf_error err;
    hf_hash_of(text, strlen(text), &item.hash);
    ck_assert_msg(hf_committer_write(service->engine->committer, &write, &err), "%s", err.text);
    hf_blob_unref(item.body);
}

const char *hf_test_text_of(struct hf_test_service *service, const char *system, const char *component)
{
    const struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state state = {0};
    struct hf_error err;
    if (!hf_state_read(service->engine, system, component, &latest, &state, &err)) {
        ck_assert_msg(err.code == HF_NOT_FOUND, "%s", err.text);
        return NULL;
    }
    char *text = hf_arena_strndup(&service->arena, (const char *)state.body->data, state.body->bytes);
    hf_blob_unref(state.body);
    return text;
}

struct hf_snapshot_row hf_test_full_of(struct hf_test_service *service, const char *system)
{
    const struct hf_snapshot_request request = {.system = system,
                                                .full = true,
                                                .trigger = "manual",
                                                .even_unchanged = true};
    struct hf_snapshot_row row;
    bool unchanged;
    struct hf_error err;
    ck_assert_msg(hf_snapshot_take(service->engine, &request, &service->arena, &row, &unchanged, &err), "%s", err.text);
    return row;
}

bool hf_test_is_known(struct hf_test_service *service, const char *system)
{
    struct hf_system_info info;
    return hf_catalog_read_system(service->engine->catalog, system, &info);
}
