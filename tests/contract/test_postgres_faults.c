/* PostgreSQL that stops, dies, hangs or belongs to someone else. Each test has a server of its own. */
#include "core/auto.h"
#include "tests/support/check_main.h"
#include "tests/support/postgres.h"
#include "tests/support/stores.h"

#include <string.h>

/* Bounds of a call: to a server that does not answer, which a test waits for, and to one that does. Calls to one that
 * does take less than either, also on a busy machine. */
#define SHORT_MS 4000
#define LONG_MS  30000

static struct hf_test_postgres *server;
static struct hf_test_store test;

static void open_on_own_server(bool claim, int64_t timeout_ms)
{
    server = hf_test_postgres_start();
    test = (struct hf_test_store){.engine = HF_TEST_POSTGRES, .url = hf_test_postgres_new_database(server)};
    test.options = (struct hf_store_options){.database_url = test.url, .timeout_ms = timeout_ms, .claim = claim};
    hf_test_store_open(&test);
    hf_test_store_add_system(&test);
}

static void done(void)
{
    hf_test_store_done(&test);
    hf_test_postgres_free(server);
}

static bool advance(struct hf_session *session, int64_t from, int64_t to, struct hf_error *err)
{
    bool moved = false;
    return hf_systems_advance(session, HF_TEST_SYSTEM, from, to, 1, to, to, &moved, err) &&
           (moved || hf_error_set(err, HF_INTERNAL, "the system was elsewhere"));
}

static int64_t stored_sequence(struct hf_session *session)
{
    struct hf_error err;
    int64_t sequence = -1, batch = 0;
    bool found = false;
    HF_TEST_OK(hf_systems_outcome(session, HF_TEST_SYSTEM, &sequence, &batch, &found, &err));
    return sequence;
}

static void write_one(int64_t from, int64_t to)
{
    struct hf_error err;
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(advance(test.write, from, to, &err));
    HF_TEST_OK(hf_session_commit(test.write, &err));
}

/* The session is broken, stays so while the server is away, and says so without waiting. */
static void expect_broken(struct hf_session *session)
{
    struct hf_error err;
    int64_t sequence, batch;
    bool found;
    ck_assert(hf_session_is_broken(session));
    HF_TEST_FAILS(HF_STORE_DOWN, hf_systems_outcome(session, HF_TEST_SYSTEM, &sequence, &batch, &found, &err));
    hf_session_rollback(session);
}

START_TEST(stopped_server_is_down_until_it_is_back)
{
    struct hf_error err;
    open_on_own_server(true, LONG_MS);
    write_one(0, 4);
    hf_test_postgres_stop(server);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_FAILS(HF_STORE_DOWN, advance(test.write, 4, 5, &err));
    hf_session_rollback(test.write);
    expect_broken(test.write);
    HF_TEST_FAILS(HF_STORE_DOWN, hf_session_reset(test.write, &err));
    HF_TEST_FAILS(HF_STORE_DOWN, hf_session_begin(test.read, &err));
    expect_broken(test.read);
    struct hf_store *other = NULL;
    HF_TEST_FAILS(HF_STORE_DOWN, hf_store_open(&other, &test.options, NULL, &err));

    hf_test_postgres_start_again(server);
    HF_TEST_OK(hf_session_reset(test.write, &err));
    HF_TEST_OK(hf_session_reset(test.read, &err));
    ck_assert_int_eq(stored_sequence(test.read), 4);
    write_one(4, 5);
    ck_assert_int_eq(stored_sequence(test.read), 5);
    done();
}
END_TEST

START_TEST(committed_rows_survive_the_death_of_the_server)
{
    struct hf_error err;
    open_on_own_server(true, LONG_MS);
    const struct hf_state_row row = hf_test_state(1, 1, 1, 0, "{}", 2);
    hf_test_store_commit(&test, &row, 1);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(advance(test.write, 1, 2, &err));
    hf_test_postgres_kill(server);
    HF_TEST_FAILS(HF_STORE_DOWN, advance(test.write, 2, 3, &err)); /* between statements: nothing happened */
    hf_session_rollback(test.write);
    expect_broken(test.write);
    hf_test_postgres_start_again(server);
    HF_TEST_OK(hf_session_reset(test.write, &err));
    HF_TEST_OK(hf_session_reset(test.read, &err));
    ck_assert_int_eq(stored_sequence(test.read), 1);
    struct hf_state_row kept;
    struct hf_state_text text;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_TEST_OK(hf_states_get(test.read, HF_TEST_SYSTEM, 1, &kept, &text, &blob, &err));
    write_one(1, 2);
    done();
}
END_TEST

START_TEST(hanging_server_ends_a_statement_by_the_deadline)
{
    struct hf_error err;
    open_on_own_server(true, SHORT_MS);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(advance(test.write, 0, 1, &err));
    hf_test_postgres_pause(server);
    HF_TEST_FAILS(HF_STORE_DOWN, advance(test.write, 1, 2, &err));
    hf_session_rollback(test.write);
    expect_broken(test.write);
    HF_TEST_FAILS(HF_STORE_DOWN, hf_session_begin(test.read, &err));
    HF_TEST_FAILS(HF_STORE_DOWN, hf_session_reset(test.read, &err));
    struct hf_store *other = NULL;
    HF_TEST_FAILS(HF_STORE_DOWN, hf_store_open(&other, &test.options, NULL, &err));
    hf_test_postgres_resume(server);
    HF_TEST_OK(hf_session_reset(test.write, &err));
    HF_TEST_OK(hf_session_reset(test.read, &err));
    ck_assert_int_eq(stored_sequence(test.read), 0);
    write_one(0, 1);
    done();
}
END_TEST

START_TEST(hanging_server_leaves_the_outcome_of_a_commit_open)
{
    struct hf_error err;
    open_on_own_server(true, SHORT_MS);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(advance(test.write, 0, 7, &err));
    hf_test_postgres_pause(server);
    HF_TEST_FAILS(HF_OUTCOME_UNKNOWN, hf_session_commit(test.write, &err));
    hf_session_rollback(test.write);
    expect_broken(test.write);
    HF_TEST_FAILS(HF_STORE_DOWN, hf_session_reset(test.write, &err));
    hf_test_postgres_resume(server);
    /* The claim comes back only when the former session has ended, so what it did is settled by then. */
    HF_TEST_OK(hf_session_reset(test.write, &err));
    int64_t sequence = stored_sequence(test.write);
    ck_assert(sequence == 0 || sequence == 7);
    write_one(sequence, 8);
    HF_TEST_OK(hf_session_reset(test.read, &err));
    ck_assert_int_eq(stored_sequence(test.read), 8);
    done();
}
END_TEST

START_TEST(hanging_server_leaves_the_outcome_of_a_lone_write_open)
{
    struct hf_error err;
    int64_t sequence, batch;
    bool found;
    open_on_own_server(true, SHORT_MS);
    hf_test_postgres_pause(server);
    HF_TEST_FAILS(HF_OUTCOME_UNKNOWN, advance(test.write, 0, 7, &err));
    HF_TEST_FAILS(HF_STORE_DOWN, hf_systems_outcome(test.read, HF_TEST_SYSTEM, &sequence, &batch, &found, &err));
    hf_test_postgres_resume(server);
    HF_TEST_OK(hf_session_reset(test.write, &err));
    HF_TEST_OK(hf_session_reset(test.read, &err));
    sequence = stored_sequence(test.read);
    ck_assert(sequence == 0 || sequence == 7);
    write_one(sequence, 8);
    done();
}
END_TEST

START_TEST(session_ended_by_an_administrator_is_reset)
{
    struct hf_error err;
    open_on_own_server(true, LONG_MS);
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(advance(test.write, 0, 7, &err));
    HF_TEST_OK(hf_session_begin(test.read, &err));
    free(hf_test_postgres_query(test.url, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                                          " WHERE application_name = 'holdfast'"));
    HF_TEST_FAILS(HF_STORE_DOWN, hf_session_commit(test.write, &err)); /* gone before COMMIT left: certain */
    hf_session_rollback(test.write);
    hf_session_rollback(test.read);
    HF_TEST_OK(hf_session_reset(test.write, &err));
    HF_TEST_OK(hf_session_reset(test.read, &err));
    ck_assert_int_eq(stored_sequence(test.read), 0);
    done();
}
END_TEST

START_TEST(lock_held_by_another_session_ends_by_the_deadline)
{
    struct hf_error err;
    open_on_own_server(false, SHORT_MS);
    struct hf_session *other = NULL;
    HF_TEST_OK(hf_session_open(&other, test.store, HF_SESSION_WRITE, &err));
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(advance(test.write, 0, 7, &err));
    HF_TEST_OK(hf_session_begin(other, &err));
    HF_TEST_FAILS(HF_STORE_DOWN, advance(other, 0, 8, &err));
    hf_session_rollback(other);
    HF_TEST_OK(hf_session_commit(test.write, &err));
    HF_TEST_OK(hf_session_reset(other, &err));
    ck_assert_int_eq(stored_sequence(other), 7);
    hf_session_close(other);
    done();
}
END_TEST

START_TEST(second_server_on_the_database_is_refused)
{
    struct hf_error err;
    open_on_own_server(true, LONG_MS);
    struct hf_test_store second = {.engine = HF_TEST_POSTGRES, .options = test.options};
    HF_TEST_OK(hf_store_open(&second.store, &second.options, NULL, &err));
    HF_TEST_FAILS(HF_CONFLICT, hf_session_open(&second.write, second.store, HF_SESSION_WRITE, &err));
    ck_assert_msg(strstr(err.text, "another holdfast-server") && strstr(err.text, "backend pid"), "%s", err.text);
    HF_TEST_OK(hf_session_open(&second.read, second.store, HF_SESSION_READ, &err));
    hf_session_close(test.write);
    test.write = NULL;
    HF_TEST_OK(hf_session_open(&second.write, second.store, HF_SESSION_WRITE, &err));
    hf_test_store_done(&second);
    done();
}
END_TEST

START_TEST(claims_of_two_databases_do_not_meet)
{
    open_on_own_server(true, LONG_MS);
    HF_AUTO(free) char *url = hf_test_postgres_new_database(server);
    struct hf_test_store second = {.engine = HF_TEST_POSTGRES, .options = test.options};
    second.options.database_url = url;
    hf_test_store_open(&second);
    hf_test_store_done(&second);
    done();
}
END_TEST

START_TEST(claim_lost_to_another_server_stays_lost)
{
    struct hf_error err;
    open_on_own_server(true, LONG_MS);
    struct hf_test_store second = {.engine = HF_TEST_POSTGRES, .options = test.options};
    HF_TEST_OK(hf_store_open(&second.store, &second.options, NULL, &err));
    free(hf_test_postgres_query(test.url, "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks"
                                          " WHERE locktype = 'advisory'"));
    HF_TEST_OK(hf_session_open(&second.write, second.store, HF_SESSION_WRITE, &err));
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_FAILS(HF_STORE_DOWN, advance(test.write, 0, 7, &err));
    hf_session_rollback(test.write);
    HF_TEST_FAILS(HF_CONFLICT, hf_session_reset(test.write, &err));
    ck_assert(hf_session_is_broken(test.write));
    ck_assert_int_eq(stored_sequence(second.write), 0);
    hf_test_store_done(&second);
    done();
}
END_TEST

/* A trigger stands in for conditions that are hard to bring about: it fails every update of systems as told. */
START_TEST(what_the_server_reports_has_its_code)
{
    static const struct {
        const char *sqlstate;
        enum hf_code code;
        bool breaks;
    } reports[] = {
        {"40001", HF_CONFLICT, false},     {"40P01", HF_CONFLICT, false},  {"23505", HF_CONFLICT, false},
        {"53100", HF_STORAGE_FULL, false}, {"XX001", HF_DAMAGED, false},   {"XX002", HF_DAMAGED, false},
        {"57014", HF_STORE_DOWN, true},    {"57P01", HF_STORE_DOWN, true}, {"08006", HF_STORE_DOWN, true},
        {"22012", HF_INTERNAL, false},
    };
    struct hf_error err;
    open_on_own_server(true, LONG_MS);
    for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
        HF_AUTO(free)
        char *sql = hf_format(
            "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as told'"
            " USING ERRCODE = '%s'; END $$; DROP TRIGGER IF EXISTS fail ON systems;"
            " CREATE TRIGGER fail BEFORE UPDATE ON systems FOR EACH ROW EXECUTE FUNCTION fail()",
            reports[i].sqlstate);
        hf_test_store_alter(&test, sql);
        HF_TEST_OK(hf_session_begin(test.write, &err));
        HF_TEST_FAILS(reports[i].code, advance(test.write, 0, 1, &err));
        ck_assert_msg(strstr(err.text, "system_advance") && strstr(err.text, "as told"), "%s", err.text);
        hf_session_rollback(test.write);
        ck_assert_msg(hf_session_is_broken(test.write) == reports[i].breaks, "%s", reports[i].sqlstate);
        HF_TEST_OK(hf_session_reset(test.write, &err));
        ck_assert_int_eq(stored_sequence(test.write), 0);
    }
    done();
}
END_TEST

START_TEST(commit_that_the_server_refuses_is_undone)
{
    struct hf_error err;
    open_on_own_server(true, LONG_MS);
    hf_test_store_alter(&test, "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
                               " 'as told' USING ERRCODE = '40001'; END $$; CREATE CONSTRAINT TRIGGER fail AFTER UPDATE"
                               " ON systems DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()");
    HF_TEST_OK(hf_session_begin(test.write, &err));
    HF_TEST_OK(advance(test.write, 0, 1, &err));
    HF_TEST_FAILS(HF_CONFLICT, hf_session_commit(test.write, &err));
    hf_session_rollback(test.write);
    ck_assert(!hf_session_is_broken(test.write));
    ck_assert_int_eq(stored_sequence(test.write), 0);
    HF_TEST_FAILS(HF_CONFLICT, advance(test.write, 0, 1, &err)); /* by itself likewise */
    ck_assert_int_eq(stored_sequence(test.write), 0);
    done();
}
END_TEST

static void expect_no_secret(const char *url, const char *secret, enum hf_code code)
{
    struct hf_error err;
    struct hf_store *store = NULL;
    const struct hf_store_options options = {.database_url = url, .timeout_ms = LONG_MS};
    HF_TEST_FAILS(code, hf_store_open(&store, &options, NULL, &err));
    ck_assert_msg(!strstr(err.text, secret), "%s", err.text);
}

START_TEST(password_is_in_no_error)
{
    struct hf_error err;
    open_on_own_server(false, LONG_MS);
    const char *port = strstr(test.url, "@127.0.0.1:") + strlen("@127.0.0.1:");
    HF_AUTO(free) char *wrong = hf_format("postgresql://holdfast:geheim@127.0.0.1:%s", port);
    expect_no_secret(wrong, "geheim", HF_STORE_DOWN);
    HF_AUTO(free) char *no_database = hf_format("%s-none", test.url);
    const char *colon = strchr(test.url + strlen("postgresql://"), ':');
    HF_AUTO(free) char *password = hf_strndup(colon + 1, (size_t)(strchr(colon, '@') - colon - 1));
    expect_no_secret(no_database, password, HF_STORE_DOWN);
    expect_no_secret("postgresql://holdfast:geheim@127.0.0.1:1/db", "geheim", HF_STORE_DOWN);
    expect_no_secret("host=127.0.0.1 port=1 dbname=db password=geheim", "geheim", HF_STORE_DOWN);
    expect_no_secret("postgresql://holdfast:x@geheim@127.0.0.1:1/db", "geheim", HF_CONFIG);
    expect_no_secret("postgresql://holdfast:geheim/x@127.0.0.1:1/db", "geheim", HF_CONFIG);
    expect_no_secret("postgresql://holdfast:%zzgeheim@127.0.0.1:1/db", "geheim", HF_CONFIG);
    expect_no_secret("password=geheim nonsense", "geheim", HF_CONFIG);
    hf_test_postgres_stop(server);
    HF_TEST_FAILS(HF_STORE_DOWN, hf_session_begin(test.read, &err));
    ck_assert_ptr_null(strstr(err.text, password));
    HF_TEST_FAILS(HF_STORE_DOWN, hf_session_reset(test.read, &err));
    ck_assert_ptr_null(strstr(err.text, password));
    ck_assert_ptr_nonnull(strstr(err.text, "127.0.0.1"));
    done();
}
END_TEST

HF_TEST_MAIN("contract_postgres_faults", stopped_server_is_down_until_it_is_back,
             committed_rows_survive_the_death_of_the_server, hanging_server_ends_a_statement_by_the_deadline,
             hanging_server_leaves_the_outcome_of_a_commit_open, hanging_server_leaves_the_outcome_of_a_lone_write_open,
             session_ended_by_an_administrator_is_reset, lock_held_by_another_session_ends_by_the_deadline,
             second_server_on_the_database_is_refused, claims_of_two_databases_do_not_meet,
             claim_lost_to_another_server_stays_lost, what_the_server_reports_has_its_code,
             commit_that_the_server_refuses_is_undone, password_is_in_no_error);
