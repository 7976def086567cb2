/* A client system starts again: its components report over HTTP, people read the report. On SQLite and PostgreSQL. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "core/buf.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM "/v1/systems/shop"

static struct hf_api_test t;

static void put(const char *component, const char *text)
{
    hf_api_put_state(&t, SYSTEM, component, text);
}

static void start(int postgres, const char *timeout)
{
    const char *const environment[] = {timeout, NULL};
    const struct hf_test_server_options options = {.postgres = postgres, .environment = environment};
    hf_api_start(&t, &options);
    put("base", "{\"n\":1}");
    put("agent", "{\"n\":2}");
    put("judge", "{\"n\":3}");
    hf_api_call(&t, 200, "PUT", SYSTEM "/components/agent", "{\"kind\":\"agent\",\"dependsOn\":[\"base\"]}");
}

static char *recover(const char *body)
{
    hf_api_call(&t, 201, "POST", SYSTEM "/recoveries", body);
    return hf_format(SYSTEM "/recoveries/%s", hf_json_str(t.json, "id"));
}

static json_t *report(int status, const char *recovery, const char *component, const char *body)
{
    HF_AUTO(free) char *path = hf_format("%s/components/%s", recovery, component);
    return hf_api_call(&t, status, "PUT", path, body);
}

static const json_t *part(int wave, int index)
{
    return json_array_get(json_array_get(json_object_get(t.json, "waves"), (size_t)wave), (size_t)index);
}

static long long progress(const char *name)
{
    return hf_json_int(json_object_get(t.json, "progress"), name);
}

/* Every digit becomes #, so that times and ids do not matter. */
static char *masked(const char *text)
{
    char *copy = hf_strdup(text);
    for (char *c = copy; *c; c++) {
        if (isdigit((unsigned char)*c))
            *c = '#';
    }
    return copy;
}

static void expect_lines(const char *const lines[], size_t count)
{
    HF_AUTO(free) char *text = masked(t.answer.body);
    char *rest = text;
    for (size_t i = 0; i < count; i++) {
        char *line = strsep(&rest, "\n");
        ck_assert_msg(line != NULL, "line %zu is missing:\n%s", i + 1, t.answer.body);
        const char *wanted = lines[i];
        size_t bytes = strlen(wanted);
        bool begins = bytes > 0 && wanted[bytes - 1] == '*'; /* what follows differs */
        ck_assert_msg(begins ? strncmp(line, wanted, bytes - 1) == 0 : strcmp(line, wanted) == 0,
                      "line %zu is \"%s\", not \"%s\" in\n%s", i + 1, line, wanted, t.answer.body);
    }
    ck_assert_msg(rest && !*rest, "more lines than expected:\n%s", t.answer.body);
}

START_TEST(components_come_up_wave_by_wave)
{
    start(_i, NULL);
    HF_AUTO(free) char *recovery = recover("{\"source\":\"head\",\"reason\":\"power was back\"}");
    ck_assert_str_eq(hf_json_str(t.json, "status"), "pending");
    ck_assert_int_eq(hf_json_int(t.json, "currentWave"), 0);
    ck_assert_int_eq(progress("pending"), 3);
    report(200, recovery, "base", "{\"status\":\"restored\",\"durationMs\":1200}");
    ck_assert_str_eq(hf_json_str(t.json, "recoveryStatus"), "pending");
    ck_assert_int_eq(hf_json_int(t.json, "wave"), 0);
    hf_api_call(&t, 200, "GET", recovery, NULL);
    ck_assert_int_eq(hf_json_int(t.json, "currentWave"), 0); /* judge belongs to it too */
    report(200, recovery, "judge", "{\"status\":\"fresh\",\"detail\":\"no disk\"}");
    hf_api_call(&t, 200, "GET", recovery, NULL);
    ck_assert_int_eq(hf_json_int(t.json, "currentWave"), 1);
    ck_assert_int_eq(progress("restored"), 1);
    ck_assert_int_eq(progress("fresh"), 1);
    ck_assert_int_eq(progress("pending"), 1);
    ck_assert_str_eq(hf_json_str(part(0, 0), "component"), "base");
    ck_assert_str_eq(hf_json_str(part(0, 0), "status"), "restored");
    ck_assert_int_eq(hf_json_int(part(0, 0), "durationMs"), 1200);
    ck_assert_str_eq(hf_json_str(part(0, 1), "detail"), "no disk");
    ck_assert(json_is_null(json_object_get(part(1, 0), "reportedAt")));
    const json_t *times = json_object_get(t.json, "waveTimes");
    ck_assert(json_is_string(json_object_get(json_array_get(times, 0), "completedAt")));
    ck_assert(json_is_string(json_object_get(json_array_get(times, 1), "startedAt")));
    ck_assert(json_is_null(json_object_get(json_array_get(times, 1), "completedAt")));
    report(200, recovery, "agent", "{\"status\":\"restored\"}");
    ck_assert_str_eq(hf_json_str(t.json, "recoveryStatus"), "completed");
    hf_api_call(&t, 200, "GET", recovery, NULL);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "completed");
    ck_assert(json_is_null(json_object_get(t.json, "currentWave")));
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "failed")), 0);
    hf_api_call(&t, 200, "GET", SYSTEM "/recoveries", NULL);
    const json_t *listed = json_array_get(json_object_get(t.json, "recoveries"), 0);
    ck_assert_int_eq(hf_json_int(json_object_get(listed, "progress"), "restored"), 2);
    hf_api_stop(&t);
}
END_TEST

START_TEST(reports_that_make_no_sense_are_refused)
{
    static const char *const bodies[] = {"{}",
                                         "{\"status\":\"pending\"}",
                                         "{\"status\":\"restored\",\"durationMs\":-1}",
                                         "{\"status\":\"restored\",\"duration\":1}",
                                         "{\"status\":1}",
                                         "[]"};
    start(_i, NULL);
    HF_AUTO(free) char *recovery = recover("{\"source\":\"head\"}");
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        report(400, recovery, "base", bodies[i]);
    char detail[1200];
    memset(detail, 'x', sizeof(detail) - 1);
    detail[sizeof(detail) - 1] = '\0';
    HF_AUTO(free) char *wordy = hf_format("{\"status\":\"failed\",\"detail\":\"%s\"}", detail);
    report(400, recovery, "base", wordy);
    report(404, recovery, "stranger", "{\"status\":\"restored\"}");
    report(404, SYSTEM "/recoveries/rec-none", "base", "{\"status\":\"restored\"}");
    report(404, "/v1/systems/none/recoveries/rec-none", "base", "{\"status\":\"restored\"}");
    hf_api_call(&t, 200, "GET", recovery, NULL);
    ck_assert_int_eq(progress("pending"), 3);
    HF_AUTO(free) char *plan = recover("{\"source\":\"head\",\"dryRun\":true}");
    report(409, plan, "base", "{\"status\":\"restored\"}");
    hf_api_problem(&t, "conflict");
    hf_api_stop(&t);
}
END_TEST

START_TEST(the_report_of_a_start_reads_for_people)
{
    start(_i, NULL);
    HF_AUTO(free) char *recovery = recover("{\"source\":\"head\",\"reason\":\"power\\u001b[2J\\nVERDICT: fine\"}");
    report(200, recovery, "base", "{\"status\":\"restored\",\"durationMs\":1200}");
    report(200, recovery, "judge", "{\"status\":\"failed\",\"detail\":\"out of memory\"}");
    report(200, recovery, "agent", "{\"status\":\"fresh\"}");
    HF_AUTO(free) char *text = hf_format("%s?format=text", recovery);
    hf_api_call(&t, 200, "GET", text, NULL);
    HF_AUTO(free) char *id = masked(strrchr(recovery, '/') + 1);
    HF_AUTO(free) char *title = hf_format("RECOVERY REPORT: %s", id);
    const char *const lines[] = {
        title,
        "   System:              shop",
        "   Status:              FAILED",
        "   What:                start of the client system from the present",
        "   Extent:              the whole system",
        "   Reason:              power?[#J?VERDICT: fine",
        "   Started:             ####-##-##T##:##:##.###Z",
        "   Ended:               ####-##-##T##:##:##.###Z",
        "   Took:                *",
        "   Epoch:               #, unchanged",
        "   Sequence:            # before, # after",
        "   Data Loss:           nothing",
        "",
        "STEPS:",
        "   ####-##-##T##:##:##.###Z  *",
        "   ####-##-##T##:##:##.###Z  *",
        "",
        "WAVES:",
        "   Wave #: # components, done after *",
        "      base                         restored   version #, took #### ms",
        "      judge                        failed     version #: out of memory",
        "   Wave #: # component, done after *",
        "      agent                        fresh      version #",
        "",
        "WARNING: Components that failed: judge",
        "WARNING: # of the components started fresh, without their states",
        "VERDICT: not all components came up. Mend those named above, then: curl -X POST --json "
        "'{\"source\":\"head\"}' $U/v#/systems/shop/recoveries",
    };
    expect_lines(lines, sizeof(lines) / sizeof(lines[0]));
    const char *const accept[] = {"Accept: text/plain", NULL};
    hf_api_send(&t, 200, "GET", recovery, accept, NULL, 0);
    ck_assert_int_eq(strncmp(t.answer.body, "RECOVERY REPORT: ", 17), 0);
    hf_api_stop(&t);
}
END_TEST

START_TEST(the_report_of_a_restore_tells_what_it_cost)
{
    start(_i, NULL);
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}");
    put("agent", "{\"n\":22}");
    put("agent", "{\"n\":222}");
    put("later", "1");
    HF_AUTO(free)
    char *recovery = recover("{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"reason\":\"bad reward\"}");
    ck_assert_int_eq(hf_json_int(part(1, 0), "version"), 3);
    ck_assert_int_eq(hf_json_int(part(1, 0), "sourceVersion"), 1);
    ck_assert_int_eq(hf_json_int(part(1, 0), "restoredVersion"), 4);
    HF_AUTO(free) char *text = hf_format("%s?format=text", recovery);
    hf_api_call(&t, 200, "GET", text, NULL);
    const char *const lines[] = {
        "RECOVERY REPORT: *",
        "   System:              shop",
        "   Status:              APPLIED",
        "   What:                restore of a snapshot",
        "   Source:              full-*",
        "   Cut:                 ####-##-##T##:##:##.###Z, sequence #",
        "   Extent:              the whole system",
        "   Reason:              bad reward",
        "   Started:             ####-##-##T##:##:##.###Z",
        "   Ended:               ####-##-##T##:##:##.###Z",
        "   Took:                *",
        "   Epoch:               # before, # after",
        "   Sequence:            # before, # after",
        "   Data Loss:           *",
        "",
        "REMOVED, BECAUSE THEY CAME LATER: later",
    };
    char *end = strstr(t.answer.body, "\n\nSTEPS:");
    ck_assert_ptr_nonnull(end);
    ck_assert_ptr_nonnull(strstr(t.answer.body, ": 3 versions in 2 components, 10 bytes\n"));
    ck_assert_ptr_nonnull(strstr(t.answer.body, "   Epoch:               1 before, 2 after\n"));
    ck_assert_ptr_nonnull(strstr(t.answer.body, " pending    version 4, as 1 was, 2 lost\n"));
    ck_assert_ptr_nonnull(
        strstr(t.answer.body, "\nVERDICT: the system is back at that state; writers must send State-Epoch 2.\n"));
    end[1] = '\0';
    expect_lines(lines, sizeof(lines) / sizeof(lines[0]));
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_plan_and_the_restore_from_it_have_times_of_their_own)
{
    start(_i, NULL);
    hf_api_call(&t, 201, "POST", SYSTEM "/snapshots", "{}");
    put("agent", "{\"n\":22}");
    HF_AUTO(free) char *plan = recover("{\"source\":\"snapshot\",\"snapshot\":\"latest\",\"dryRun\":true}");
    HF_AUTO(free) char *planned_at = hf_strdup(hf_json_str(t.json, "plannedAt"));
    ck_assert(json_is_null(json_object_get(t.json, "startedAt")));
    HF_AUTO(free) char *text = hf_format("%s?format=text", plan), *apply = hf_format("%s/apply", plan);
    HF_AUTO(free) char *line = hf_format("   Planned:             %s\n", planned_at);
    hf_api_call(&t, 200, "GET", text, NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, line));
    ck_assert_ptr_nonnull(
        strstr(t.answer.body, "   Started:             not begun\n   Ended:               not begun\n"));
    usleep(20000);
    hf_api_call(&t, 200, "POST", apply, "{}");
    ck_assert_str_eq(hf_json_str(t.json, "plannedAt"), planned_at);
    ck_assert_int_gt(strcmp(hf_json_str(t.json, "startedAt"), planned_at), 0);
    HF_AUTO(free) char *started = hf_format("   Started:             %s\n", hf_json_str(t.json, "startedAt"));
    hf_api_call(&t, 200, "GET", text, NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, line));
    ck_assert_ptr_nonnull(strstr(t.answer.body, started));
    hf_api_stop(&t);
}
END_TEST

START_TEST(who_is_silent_is_named_after_the_time)
{
    start(_i, "PERSISTENCE_RECOVERY_TIMEOUT=6000");
    HF_AUTO(free) char *recovery = recover("{\"source\":\"head\"}");
    report(200, recovery, "base", "{\"status\":\"restored\"}");
    hf_api_call(&t, 200, "GET", recovery, NULL);
    for (int naps = 0; strcmp(hf_json_str(t.json, "status"), "pending") == 0; hf_api_nap(&naps))
        hf_api_call(&t, 200, "GET", recovery, NULL);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "failed");
    ck_assert_int_eq(json_array_size(json_object_get(t.json, "silent")), 2);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(t.json, "silent"), 0)), "judge");
    report(409, recovery, "judge", "{\"status\":\"restored\"}");
    hf_api_problem(&t, "conflict");
    hf_api_stop(&t);
}
END_TEST

/* A plan names every component: a page of many would hold megabytes. */
START_TEST(a_page_of_large_plans_ends_early)
{
    enum { COMPONENTS = 2500, PLANS = 5 };
    hf_api_start(&t, &(struct hf_test_server_options){.postgres = _i});
    HF_AUTO(buf) struct hf_buf batch;
    hf_buf_init(&batch, 1 << 20);
    for (int i = 0; i < COMPONENTS; i++)
        hf_buf_add_format(&batch, "%s{\"component\":\"component-with-a-name-%d\",\"state\":%d}",
                          i ? "," : "{\"states\":[", i, i);
    hf_buf_add_text(&batch, "]}");
    hf_api_call(&t, 200, "POST", SYSTEM "/states", batch.data);
    for (int i = 0; i < PLANS; i++)
        free(recover("{\"source\":\"head\",\"dryRun\":true}"));

    int seen = 0, pages = 0;
    HF_AUTO(free) char *path = hf_strdup(SYSTEM "/recoveries");
    for (const char *cursor = ""; cursor; pages++) {
        hf_api_call(&t, 200, "GET", path, NULL);
        size_t count = json_array_size(json_object_get(t.json, "recoveries"));
        ck_assert(count > 0 && count < PLANS);
        seen += (int)count;
        cursor = json_string_value(json_object_get(t.json, "nextCursor"));
        free(path);
        path = hf_format(SYSTEM "/recoveries?cursor=%s", cursor ? cursor : "");
    }
    ck_assert_int_eq(seen, PLANS);
    ck_assert_int_gt(pages, 1);
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_plan_and_the_restore_from_it_have_times_of_their_own,
                                  a_page_of_large_plans_ends_early,
                                  components_come_up_wave_by_wave,
                                  reports_that_make_no_sense_are_refused,
                                  the_report_of_a_start_reads_for_people,
                                  the_report_of_a_restore_tells_what_it_cost,
                                  who_is_silent_is_named_after_the_time};
    return hf_api_run_on_both("hydrations", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
