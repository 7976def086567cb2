/* What a registration requires of a state, and what its absence does to health. */
#include "engine/completeness.h"

#include "core/auto.h"
#include "engine/health.h"
#include "engine/validation.h"
#include "tests/support/engine.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct hf_test_service service;

static void check_lack(const char *state, const char *pointers, const char *expected)
{
    char lack[HF_LACK_BYTES];
    struct hf_blob *blob = hf_blob_copy(state, strlen(state));
    hf_completeness_judge(blob, pointers, lack);
    hf_blob_unref(blob);
    ck_assert_msg(strcmp(lack, expected) == 0, "%s in %s: \"%s\"", pointers, state, lack);
}

START_TEST(pointers_are_followed_as_rfc_6901_says)
{
    const char *state = "{\"q\":[1,{\"r\":null}],\"a/b\":1,\"m~n\":2,\"\":3}";
    check_lack(state, "[\"/q/0\",\"/q/1/r\",\"/a~1b\",\"/m~0n\",\"/\",\"\"]", "");
    check_lack(state, "[\"/q\",\"/q/2\"]", "has no /q/2");
    check_lack(state, "[\"/q/-\"]", "has no /q/-");
    check_lack(state, "[\"/a/b\"]", "has no /a/b");
    check_lack("7", "[\"/q\"]", "has no /q");
}
END_TEST

START_TEST(what_is_no_json_lacks_everything)
{
    char lack[HF_LACK_BYTES];
    struct hf_blob *blob = hf_blob_copy("{\"q\":", 5);
    hf_completeness_judge(blob, "[\"/q\"]", lack);
    hf_blob_unref(blob);
    ck_assert_ptr_eq(strstr(lack, "is not valid JSON"), lack);
}
END_TEST

static void require(const char *component, const char *pointers)
{
    struct hf_registration registration = {.kind = "agent",
                                           .depends_on = (const char *const[]){NULL},
                                           .depends_on_json = "[]",
                                           .required_pointers_json = pointers};
    bool created;
    const char *cycle = NULL;
    struct hf_error err;
    ck_assert_msg(hf_component_register(service.engine, HF_TEST_NAME, component, &registration, &created, &cycle,
                                        &service.arena, &err),
                  "%s", err.text);
}

static const char *lack_of(const char *component)
{
    struct hf_component_info info;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, component, &service.arena, &info));
    return info.lack ? info.lack : "";
}

static void snapshot_and_validate(void)
{
    struct hf_snapshot_row row = hf_test_full(&service);
    struct hf_validation verdict;
    struct hf_error err;
    ck_assert_msg(hf_validation_run(service.engine, HF_TEST_NAME, row.id, false, 0, &service.arena, &verdict, &err),
                  "%s", err.text);
    ck_assert_str_eq(verdict.status, "valid");
}

static int count_told(const char *type)
{
    return hf_test_count_events(&service, hf_test_system(&service).id, type);
}

static int64_t count_failed(void)
{
    struct hf_status status;
    ck_assert(hf_status_collect(service.engine, HF_TEST_NAME, &service.arena, &status));
    return status.failed;
}

START_TEST(an_incomplete_state_fails_its_component_until_a_complete_one_comes)
{
    hf_test_service_open(&service, NULL);
    require("agent", "[\"/q/0\"]");
    hf_test_put(&service, "agent", "{\"q\":[]}");
    hf_test_put(&service, "other", "{}");
    snapshot_and_validate();
    ck_assert_str_eq(lack_of("agent"), "has no /q/0");
    ck_assert_str_eq(lack_of("other"), "");
    ck_assert_int_eq(count_failed(), 1);
    hf_test_put(&service, "agent", "{\"q\":{}}"); /* still not */
    snapshot_and_validate();
    ck_assert_int_eq(count_failed(), 1);
    ck_assert_int_eq(count_told("component.invalid"), 1);
    ck_assert_int_eq(count_told("component.recovered"), 0);

    hf_test_put(&service, "agent", "{\"q\":[1]}");
    snapshot_and_validate();
    ck_assert_str_eq(lack_of("agent"), "");
    ck_assert_int_eq(count_failed(), 0);
    ck_assert_int_eq(count_told("component.invalid"), 1);
    ck_assert_int_eq(count_told("component.recovered"), 1);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(other_requirements_and_a_deletion_take_the_verdict_back)
{
    hf_test_service_open(&service, NULL);
    require("a", "[\"/q\"]");
    require("b", "[\"/q\"]");
    hf_test_put(&service, "a", "{}");
    hf_test_put(&service, "b", "{}");
    snapshot_and_validate();
    ck_assert_int_eq(count_failed(), 2);
    require("a", "[]");
    hf_test_delete(&service, "b");
    ck_assert_str_eq(lack_of("a"), "");
    ck_assert_str_eq(lack_of("b"), "");
    ck_assert_int_eq(count_failed(), 0);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(a_verdict_on_an_older_state_does_not_count)
{
    hf_test_service_open(&service, NULL);
    require("a", "[\"/q\"]");
    hf_test_put(&service, "a", "{}");
    hf_test_put(&service, "a", "{\"q\":1}");
    int64_t system_id = hf_test_system(&service).id;
    hf_completeness_record(service.engine, system_id, "a", 1, "[\"/q\"]", "has no /q");
    ck_assert_str_eq(lack_of("a"), "");
    hf_completeness_record(service.engine, system_id, "a", 2, "[\"/other\"]", "has no /other");
    ck_assert_str_eq(lack_of("a"), "");
    hf_test_service_close(&service);
}
END_TEST

START_TEST(an_incomplete_state_is_found_again_after_a_restart)
{
    hf_test_service_open(&service, NULL);
    require("a", "[\"/q\"]");
    hf_test_put(&service, "a", "{}");
    snapshot_and_validate();
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    for (int i = 0; i < 500 && !lack_of("a")[0]; i++)
        usleep(10000);
    ck_assert_str_eq(lack_of("a"), "has no /q");
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("completeness", pointers_are_followed_as_rfc_6901_says, what_is_no_json_lacks_everything,
             an_incomplete_state_fails_its_component_until_a_complete_one_comes,
             other_requirements_and_a_deletion_take_the_verdict_back, a_verdict_on_an_older_state_does_not_count,
             an_incomplete_state_is_found_again_after_a_restart);
