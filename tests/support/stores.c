#include "tests/support/stores.h"

#include "core/auto.h"
#include "core/log.h"
#include "tests/support/postgres.h"
#include "tests/support/temp.h"

#include <string.h>
#include <sys/wait.h>

#define TIMEOUT_MS 30000 /* no test waits for it; a busy machine must not run into it */

static bool count_row(void *context, const struct hf_value *columns, int count);

void hf_test_store_place(struct hf_test_store *out, enum hf_test_engine engine)
{
    *out = (struct hf_test_store){.engine = engine};
    if (engine == HF_TEST_SQLITE)
        out->directory = hf_test_temp_directory();
    else
        out->url = hf_test_postgres_new_database(NULL);
    out->options =
        (struct hf_store_options){.database_url = out->url, .data_directory = out->directory, .timeout_ms = TIMEOUT_MS};
}

void hf_test_store_open(struct hf_test_store *test)
{
    struct hf_error err;
    HF_TEST_OK(hf_store_open(&test->store, &test->options, NULL, &err));
    HF_TEST_OK(hf_session_open(&test->write, test->store, HF_SESSION_WRITE, &err));
    HF_TEST_OK(hf_session_open(&test->read, test->store, HF_SESSION_READ, &err));
}

void hf_test_store_close(struct hf_test_store *test)
{
    hf_session_close(test->read);
    hf_session_close(test->write);
    hf_store_close(test->store);
    test->read = test->write = NULL;
    test->store = NULL;
}

void hf_test_store_done(struct hf_test_store *test)
{
    hf_test_store_close(test);
    if (test->directory)
        hf_test_remove_tree(test->directory);
    free(test->directory);
    free(test->url);
}

void hf_test_store_alter(const struct hf_test_store *test, const char *sql)
{
    if (test->engine == HF_TEST_POSTGRES) {
        free(hf_test_postgres_query(test->url, sql));
        return;
    }
    /* Python brings SQLite along; the command sqlite3 would be one more thing to install. */
    static const char program[] = "import sqlite3, sys\n"
                                  "database = sqlite3.connect(sys.argv[1], timeout=30)\n"
                                  "database.executescript(sys.argv[2])\n"
                                  "database.close()\n";
    HF_AUTO(free) char *path = hf_format("%s/holdfast.db", test->directory);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        execlp("python3", "python3", "-c", program, path, sql, (char *)NULL);
        _exit(127);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0, "python3 failed on: %s", sql);
}

void hf_test_store_begin(struct hf_test_store *out, int engine)
{
    hf_test_store_place(out, (enum hf_test_engine)engine);
    hf_test_store_open(out);
    hf_test_store_add_system(out);
}

void hf_test_store_add_system(struct hf_test_store *test)
{
    struct hf_error err;
    const struct hf_system_row row = {.id = HF_TEST_SYSTEM,
                                      .name = "default",
                                      .description = "",
                                      .epoch = 1,
                                      .backup_interval_ms = -1,
                                      .incremental_interval_ms = -1,
                                      .max_retention_hours = -1,
                                      .created_at_ms = 1};
    HF_TEST_OK(hf_systems_insert(test->write, &row, &err));
}

struct hf_state_row hf_test_state(int64_t sequence, int64_t component_id, int64_t version, int64_t previous_sequence,
                                  const void *content, int64_t bytes)
{
    struct hf_state_row row = {.system_id = HF_TEST_SYSTEM,
                               .sequence = sequence,
                               .component_id = component_id,
                               .version = version,
                               .previous_sequence = previous_sequence,
                               .epoch = 1,
                               .bytes = bytes,
                               .content_type = "application/json",
                               .committed_at_ms = sequence * 1000,
                               .deleted = !content,
                               .content = content};
    if (content)
        hf_hash_of(content, (size_t)bytes, &row.hash);
    return row;
}

void hf_test_store_commit(struct hf_test_store *test, const struct hf_state_row *rows, int count)
{
    struct hf_error err;
    int64_t before, batch;
    bool found = false, moved = false;
    HF_TEST_OK(hf_session_begin(test->write, &err));
    HF_TEST_OK(hf_systems_outcome(test->write, HF_TEST_SYSTEM, &before, &batch, &found, &err));
    ck_assert(found);
    const struct hf_state_row *last = &rows[count - 1];
    HF_TEST_OK(hf_systems_advance(test->write, HF_TEST_SYSTEM, before, last->sequence, last->epoch, last->sequence,
                                  last->committed_at_ms, &moved, &err));
    ck_assert(moved);
    HF_TEST_OK(hf_states_insert(test->write, rows, count, &err));
    HF_TEST_OK(hf_session_commit(test->write, &err));
}

int hf_test_store_count(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                        int param_count)
{
    struct hf_error err;
    int rows = 0;
    HF_TEST_OK(hf_session_exec(session, statement, params, param_count, count_row, &rows, NULL, &err));
    return rows;
}

int hf_test_store_main(const char *suite_name, const TTest *const *tests, size_t count)
{
    hf_log_init(STDERR_FILENO, HF_LOG_WARNING, false);
    hf_test_postgres_prepare();
    Suite *suite = suite_create(suite_name);
    TCase *cases = tcase_create(suite_name);
    tcase_set_timeout(cases, 300);
    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(cases, tests[i], 0, HF_TEST_ENGINE_COUNT);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static bool count_row(void *context, const struct hf_value *columns, int count)
{
    (void)columns, (void)count;
    ++*(int *)context;
    return true;
}
