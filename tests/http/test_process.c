/* The process: commands, start, stop, status for people, readiness. */
#include "tests/support/api.h"

#include "core/auto.h"
#include "tests/support/postgres.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define STATE "/v1/systems/default/components/a/state"

static char *run(int expected, const char *const arguments[], char **errors)
{
    int exit_code;
    char *output = hf_test_server_run(arguments, &exit_code, errors);
    ck_assert_msg(exit_code == expected, "exit code %d: %s", exit_code, output);
    return output;
}

START_TEST(the_commands_print_what_they_promise)
{
    HF_AUTO(free) char *help = run(0, (const char *const[]){"--help", NULL}, NULL);
    ck_assert(strstr(help, "PERSISTENCE_DATA_DIRECTORY") && strstr(help, "token create"));
    HF_AUTO(free) char *version = run(0, (const char *const[]){"--version", NULL}, NULL);
    ck_assert_int_eq(strncmp(version, "holdfast-server ", 16), 0);
    HF_AUTO(free) char *markdown = run(0, (const char *const[]){"config", "--markdown", NULL}, NULL);
    ck_assert_ptr_nonnull(strstr(markdown, "PERSISTENCE_BACKUP_INTERVAL"));
    HF_AUTO(free) char *example = run(0, (const char *const[]){"config", "--example", NULL}, NULL);
    json_t *parsed = json_loads(example, 0, NULL);
    ck_assert_msg(json_is_object(parsed), "%s", example);
    json_decref(parsed);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    static const char *const commands[][6] = {
        {"sreve"}, {"--lisen", "127.0.0.1:0"}, {"--backup-interval", "soon"},          {"config"},
        {"token"}, {"token", "create"},        {"token", "create", "--rle", "viewer"},
    };
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        char *errors = NULL;
        HF_AUTO(free) char *output = run(2, commands[i], &errors);
        ck_assert_msg(*errors != '\0', "%s says nothing", commands[i][0]);
        ck_assert_str_eq(output, "");
        free(errors);
    }
    char *errors = NULL;
    free(run(1, (const char *const[]){"token", "create", "--role", "king", "--tokens-file", "/nonexistent/t", NULL},
             &errors));
    ck_assert_str_ne(errors, "");
    free(errors);
}
END_TEST

static void stop_and_start(bool postgres)
{
    const struct hf_test_server_options options = {.postgres = postgres};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    hf_api_call(&t, 201, "PUT", STATE, "{\"n\":1}");
    ck_assert_int_eq(hf_test_server_stop(t.server), 0);
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    ck_assert_str_eq(t.answer.body, "{\"n\":1}");
    hf_api_call(&t, 200, "GET", "/v1/systems/default/snapshots/latest", NULL);
    ck_assert_str_eq(hf_json_str(t.json, "trigger"), "shutdown");
    ck_assert_str_eq(hf_json_str(t.json, "kind"), "full");
    hf_api_stop(&t);
}

START_TEST(an_ordered_stop_takes_a_full_snapshot_and_loses_nothing)
{
    stop_and_start(_i != 0);
}
END_TEST

START_TEST(what_was_acknowledged_survives_a_kill)
{
    const struct hf_test_server_options options = {.postgres = _i != 0};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    for (int i = 1; i <= 50; i++) {
        char state[16];
        snprintf(state, sizeof(state), "%d", i);
        hf_api_call(&t, i == 1 ? 201 : 200, "PUT", STATE, state);
    }
    hf_test_server_kill(t.server);
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    ck_assert_str_eq(t.answer.body, "50");
    ck_assert_str_eq(hf_api_header(&t, "State-Version"), "50");
    hf_api_stop(&t);
}
END_TEST

START_TEST(one_data_directory_has_one_server)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    HF_AUTO(free) char *data = hf_format("%s/data", hf_test_server_directory(t.server));
    const char *const arguments[] = {"--listen", "127.0.0.1:0", "--data-directory", data, NULL};
    char *errors = NULL;
    free(run(1, arguments, &errors));
    ck_assert_ptr_nonnull(strstr(errors, data));
    free(errors);
    hf_api_call(&t, 201, "PUT", STATE, "1");
    hf_api_stop(&t);
}
END_TEST

/* The server is known to stop when an open connection is told so. */
static void await_stopping(struct hf_api_test *t)
{
    for (int naps = 0;; hf_api_nap(&naps)) {
        struct hf_answer answer;
        bool answered = hf_client_call(t->client, "GET", "/readyz", NULL, NULL, &answer);
        bool stopping = answered && answer.status == 503;
        if (stopping)
            ck_assert_msg(strstr(answer.body, "stopping"), "%s", answer.body);
        hf_answer_done(&answer);
        if (stopping || !answered)
            return;
    }
}

START_TEST(a_second_signal_ends_a_stop_that_takes_long)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_call(&t, 201, "PUT", STATE, "1");
    int fd = hf_raw_connect(hf_test_server_port(t.server)); /* an upload that does not end: the stop waits for it */
    hf_raw_send_text(fd, "PUT " STATE " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{");
    bool held = false;
    for (int naps = 0; !held; hf_api_nap(&naps)) {
        hf_api_call(&t, 200, "GET", "/metrics", NULL);
        held = strstr(t.answer.body, "\nholdfast_inflight_bytes 0\n") == NULL;
    }
    ck_assert_int_eq(kill(hf_test_server_pid(t.server), SIGTERM), 0);
    await_stopping(&t);
    ck_assert_int_eq(hf_test_server_stop(t.server), 130);
    close(fd);
    hf_test_server_start_again(t.server);
    hf_api_reconnect(&t);
    hf_api_call(&t, 200, "GET", STATE, NULL);
    ck_assert_str_eq(t.answer.body, "1");
    hf_api_stop(&t);
}
END_TEST

START_TEST(readiness_names_its_checks)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_call(&t, 200, "GET", "/readyz", NULL);
    ck_assert_str_eq(t.answer.body, "ok\n");
    hf_api_call(&t, 200, "GET", "/readyz?verbose&exclude=database", NULL);
    ck_assert_str_eq(t.answer.body, "[+]startup ok\n[+]database excluded: ok\n[+]shutdown ok\nreadyz check passed\n");
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_database_that_is_away_is_said_and_comes_back)
{
    struct hf_test_postgres *postgres = hf_test_postgres_start();
    HF_AUTO(free) char *url = hf_test_postgres_new_database(postgres);
    HF_AUTO(free) char *setting = hf_format("DATABASE_URL=%s", url);
    const char *const environment[] = {setting, "PERSISTENCE_STORE_TIMEOUT=5000", NULL};
    const struct hf_test_server_options options = {.environment = environment};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    hf_api_call(&t, 201, "PUT", STATE, "1");
    hf_test_postgres_kill(postgres);
    hf_api_call(&t, 503, "PUT", STATE, "2");
    ck_assert(json_is_true(json_object_get(t.json, "retryable")));
    ck_assert_str_eq(hf_api_header(&t, "Retry-After"), "1");
    hf_api_call(&t, 503, "GET", "/readyz", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "[-]database failed: "));
    hf_api_call(&t, 200, "GET", "/readyz?exclude=database", NULL);
    hf_api_call(&t, 200, "GET", "/livez", NULL);
    hf_api_call(&t, 200, "GET", STATE, NULL); /* from memory */
    ck_assert_str_eq(t.answer.body, "1");
    hf_api_call(&t, 200, "GET", "/v1/status", NULL);
    ck_assert_str_eq(hf_json_str(json_object_get(t.json, "store"), "status"), "down");
    hf_test_postgres_start_again(postgres);
    long status = 0;
    for (int naps = 0; status != 200; hf_api_nap(&naps)) {
        struct hf_answer answer;
        ck_assert(hf_client_call(t.client, "PUT", STATE, "3", "Content-Type: application/json", &answer));
        status = answer.status;
        hf_answer_done(&answer);
    }
    hf_api_call(&t, 200, "GET", "/readyz", NULL);
    hf_api_stop(&t);
    hf_test_postgres_free(postgres);
}
END_TEST

START_TEST(the_status_is_readable_for_people)
{
    struct hf_api_test t;
    hf_api_start(&t, NULL);
    hf_api_call(&t, 201, "PUT", "/v1/systems/default/components/a",
                "{\"kind\":\"agent\",\"heartbeatIntervalMs\":60000}");
    hf_api_call(&t, 204, "POST", "/v1/systems/default/components/a/heartbeat",
                "{\"health\":1,\"metrics\":{\"judgments\":1247,\"learningEvents\":623,\"totalReward\":12.5}}");
    const char *const headers[] = {"Accept: text/plain", NULL};
    hf_api_send(&t, 200, "GET", "/v1/status", headers, NULL, 0);
    static const char *const lines[] = {
        "Active Agents:", " 1\n",    "Total Judgments:", " 1,247\n", "Learning Events:", " 623\n",        "Uptime:",
        "Next Backup:",   "minutes", "System Health:",   "%\n",      "OPERATIONAL",      "Total Reward:", " 12.50\n",
        "sqlite, up"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        ck_assert_msg(strstr(t.answer.body, lines[i]) != NULL, "\"%s\" is missing in\n%s", lines[i], t.answer.body);
    hf_api_call(&t, 200, "GET", "/v1/systems/default/status?format=text", NULL);
    ck_assert_ptr_nonnull(strstr(t.answer.body, "default"));
    hf_api_call(&t, 200, "GET", "/v1/systems/default/status", NULL);
    const json_t *totals = json_object_get(t.json, "metricTotals");
    ck_assert_int_eq(hf_json_int(totals, "judgments"), 1247);
    ck_assert_int_eq(hf_json_int(t.json, "activeAgents"), 1);
    ck_assert_str_eq(hf_json_str(t.json, "status"), "operational");
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/none/status", NULL);
    hf_api_stop(&t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("process");
    TCase *cases = tcase_create("process");
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, the_commands_print_what_they_promise);
    tcase_add_test(cases, wrong_arguments_are_refused);
    tcase_add_loop_test(cases, an_ordered_stop_takes_a_full_snapshot_and_loses_nothing, 0, 2);
    tcase_add_loop_test(cases, what_was_acknowledged_survives_a_kill, 0, 2);
    tcase_add_test(cases, one_data_directory_has_one_server);
    tcase_add_test(cases, a_second_signal_ends_a_stop_that_takes_long);
    tcase_add_test(cases, readiness_names_its_checks);
    tcase_add_test(cases, a_database_that_is_away_is_said_and_comes_back);
    tcase_add_test(cases, the_status_is_readable_for_people);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    hf_test_postgres_prepare();
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
