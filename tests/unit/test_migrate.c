/* Migrations against a migrator of the test's own, and what they make of a SQLite file. */
#include "core/auto.h"
#include "core/clock.h"
#include "store/components.h"
#include "store/engine.h"
#include "store/states.h"
#include "store/systems.h"
#include "tests/support/temp.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/check_main.h"

#define STATE_BYTES 1024
#define STATES      5000
#define BATCH       64

/* A database that only remembers what was done to it. */
struct recorded {
    int64_t numbers[8];
    char checksums[8][80];
    int count;
    int runs;
    bool fail_runs;
};

static bool record_run(void *connection, const char *sql, struct hf_error *err)
{
    struct recorded *recorded = connection;
    recorded->runs++;
    ck_assert_ptr_nonnull(sql);
    return !recorded->fail_runs || hf_error_set(err, HF_STORE_DOWN, "gone");
}

static bool list_recorded(void *connection, void (*each)(void *context, int64_t number, const char *checksum),
                          void *context, struct hf_error *err)
{
    (void)err;
    struct recorded *recorded = connection;
    for (int i = 0; i < recorded->count; i++)
        each(context, recorded->numbers[i], recorded->checksums[i]);
    return true;
}

static bool record_migration(void *connection, int64_t number, const char *name, const char *checksum,
                             int64_t applied_at_ms, struct hf_error *err)
{
    (void)err;
    struct recorded *recorded = connection;
    ck_assert_str_ne(name, "");
    ck_assert_int_gt(applied_at_ms, 0);
    recorded->numbers[recorded->count] = number;
    snprintf(recorded->checksums[recorded->count++], sizeof(recorded->checksums[0]), "%s", checksum);
    return true;
}

static bool migrate(struct recorded *recorded, struct hf_error *err)
{
    const struct hf_migrator migrator = {recorded, record_run, list_recorded, record_migration};
    return hf_migrate(&migrator, "sqlite", err);
}

START_TEST(an_empty_database_gets_every_migration_once)
{
    struct recorded recorded = {0};
    struct hf_error err;
    ck_assert(migrate(&recorded, &err));
    ck_assert_int_ge(recorded.count, 1);
    ck_assert_int_eq(recorded.numbers[0], 1);
    ck_assert_uint_eq(strlen(recorded.checksums[0]), 64);
    int count = recorded.count;
    ck_assert_int_eq(recorded.runs, count + 1);
    ck_assert(migrate(&recorded, &err));
    ck_assert_int_eq(recorded.count, count);
    ck_assert_int_eq(recorded.runs, count + 2);
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
    struct recorded recorded = {0};
    struct hf_error err;
    ck_assert(migrate(&recorded, &err));
    recorded.numbers[recorded.count] = recorded.count + 1;
    snprintf(recorded.checksums[recorded.count++], sizeof(recorded.checksums[0]), "abc");
    ck_assert(!migrate(&recorded, &err));
    ck_assert_int_eq(err.code, HF_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "does not know"));
}
END_TEST

START_TEST(an_altered_migration_is_refused)
{
    struct recorded recorded = {0};
    struct hf_error err;
    ck_assert(migrate(&recorded, &err));
    recorded.checksums[0][0] = recorded.checksums[0][0] == 'a' ? 'b' : 'a';
    int runs = recorded.runs;
    ck_assert(!migrate(&recorded, &err));
    ck_assert_int_eq(err.code, HF_CONFIG);
    ck_assert_int_eq(recorded.runs, runs + 1);
}
END_TEST

START_TEST(a_migration_that_fails_is_not_recorded)
{
    struct recorded recorded = {.fail_runs = true};
    struct hf_error err;
    ck_assert(!migrate(&recorded, &err));
    ck_assert_int_eq(err.code, HF_STORE_DOWN);
    ck_assert_int_eq(recorded.count, 0);
}
END_TEST

static struct hf_store *open_store(const char *directory, bool *created_out)
{
    const struct hf_store_options options = {.data_directory = directory, .timeout_ms = 20000};
    struct hf_store *store = NULL;
    struct hf_error err;
    ck_assert_msg(hf_store_open(&store, &options, created_out, &err), "%s", err.text);
    return store;
}

static struct hf_session *open_session(struct hf_store *store, enum hf_session_role role)
{
    struct hf_session *session = NULL;
    struct hf_error err;
    ck_assert_msg(hf_session_open(&session, store, role, &err), "%s", err.text);
    return session;
}

static void fill_content(unsigned char *content, int64_t sequence)
{
    for (int i = 0; i < STATE_BYTES; i++)
        content[i] = (unsigned char)((uint64_t)sequence * 31 + (uint64_t)i * 7);
}

struct batch {
    int64_t first_sequence;
    unsigned char contents[BATCH][STATE_BYTES];
    struct hf_state_row rows[BATCH];
};

static bool insert_batch(struct hf_session *session, void *context, struct hf_error *err)
{
    struct batch *batch = context;
    for (int i = 0; i < BATCH; i++) {
        int64_t sequence = batch->first_sequence + i;
        fill_content(batch->contents[i], sequence);
        batch->rows[i] = (struct hf_state_row){.system_id = 1,
                                               .sequence = sequence,
                                               .component_id = 1,
                                               .version = sequence,
                                               .previous_sequence = sequence - 1,
                                               .epoch = 1,
                                               .bytes = STATE_BYTES,
                                               .content_type = "application/octet-stream",
                                               .committed_at_ms = sequence,
                                               .content = batch->contents[i]};
        hf_hash_of(batch->contents[i], STATE_BYTES, &batch->rows[i].hash);
    }
    bool moved = false;
    return hf_states_insert(session, batch->rows, BATCH, err) &&
           hf_systems_advance(session, 1, batch->first_sequence - 1, batch->first_sequence + BATCH - 1, 1, 7,
                              batch->first_sequence, &moved, err) &&
           (moved || hf_error_set(err, HF_INTERNAL, "the system stands elsewhere"));
}

static int64_t write_states(struct hf_session *session, int64_t states)
{
    struct hf_error err;
    struct batch *batch = hf_alloc(sizeof(*batch));
    const struct hf_system_row system = {.id = 1, .name = "default", .epoch = 1, .created_at_ms = 1};
    ck_assert_msg(hf_systems_insert(session, &system, &err), "%s", err.text);
    int64_t next = 1;
    for (; next <= states; next += BATCH) {
        batch->first_sequence = next;
        ck_assert_msg(hf_session_transaction(session, insert_batch, batch, &err), "%s", err.text);
    }
    free(batch);
    return next - 1;
}

START_TEST(what_was_committed_is_there_after_the_database_was_closed_and_opened)
{
    HF_AUTO(free) char *directory = hf_test_temp_directory();
    bool created = false;
    struct hf_store *store = open_store(directory, &created);
    ck_assert(created);
    struct hf_session *session = open_session(store, HF_SESSION_WRITE);
    int64_t newest = write_states(session, STATES);
    hf_session_close(session);
    hf_store_close(store);

    store = open_store(directory, &created);
    ck_assert(!created);
    session = open_session(store, HF_SESSION_READ);
    for (int64_t sequence = 1; sequence <= newest; sequence++) {
        struct hf_state_row row;
        struct hf_state_text text;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        struct hf_error err;
        unsigned char expected[STATE_BYTES];
        fill_content(expected, sequence);
        ck_assert_msg(hf_states_get(session, 1, sequence, &row, &text, &blob, &err), "%s", err.text);
        ck_assert_int_eq(row.version, sequence);
        ck_assert_uint_eq(blob->bytes, STATE_BYTES);
        ck_assert_mem_eq(blob->data, expected, STATE_BYTES);
    }
    hf_session_close(session);
    hf_store_close(store);
    hf_test_remove_tree(directory);
}
END_TEST

static void overwrite(const char *path, off_t offset, size_t bytes)
{
    HF_AUTO(close) int fd = open(path, O_WRONLY);
    ck_assert_int_ge(fd, 0);
    HF_AUTO(free) char *noise = hf_alloc(bytes);
    memset(noise, 0x5a, bytes);
    ck_assert_int_eq(pwrite(fd, noise, bytes, offset), (ssize_t)bytes);
}

static void assert_damaged(const char *directory)
{
    const struct hf_store_options options = {.data_directory = directory, .timeout_ms = 20000};
    struct hf_store *store = NULL;
    struct hf_error err;
    ck_assert(!hf_store_open(&store, &options, NULL, &err));
    ck_assert_msg(err.code == HF_DAMAGED, "%s: %s", hf_code_name(err.code), err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "holdfast.db"));
}

START_TEST(a_damaged_file_is_named_and_left_alone)
{
    HF_AUTO(free) char *directory = hf_test_temp_directory();
    HF_AUTO(free) char *path = hf_format("%s/holdfast.db", directory);
    struct hf_store *store = open_store(directory, NULL);
    struct hf_session *session = open_session(store, HF_SESSION_WRITE);
    write_states(session, BATCH);
    hf_session_close(session);
    hf_store_close(store);
    struct stat before, after;
    ck_assert_int_eq(stat(path, &before), 0);

    overwrite(path, before.st_size / 2, (size_t)before.st_size / 2);
    assert_damaged(directory);
    overwrite(path, 0, 4096);
    assert_damaged(directory);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert_int_eq(after.st_size, before.st_size);
    hf_test_remove_tree(directory);
}
END_TEST

START_TEST(a_log_without_its_database_is_damage_and_not_a_fresh_start)
{
    HF_AUTO(free) char *directory = hf_test_temp_directory();
    HF_AUTO(free) char *path = hf_format("%s/holdfast.db-wal", directory);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("log", file);
    fclose(file);
    assert_damaged(directory);
    hf_test_remove_tree(directory);
}
END_TEST

START_TEST(an_empty_file_is_a_fresh_start)
{
    HF_AUTO(free) char *directory = hf_test_temp_directory();
    HF_AUTO(free) char *path = hf_format("%s/holdfast.db", directory);
    fclose(fopen(path, "w"));
    bool created = false;
    hf_store_close(open_store(directory, &created));
    ck_assert(created);
    hf_store_close(open_store(directory, &created));
    ck_assert(!created);
    hf_test_remove_tree(directory);
}
END_TEST

HF_TEST_MAIN("migrate", an_empty_database_gets_every_migration_once, a_newer_schema_is_refused,
             an_altered_migration_is_refused, a_migration_that_fails_is_not_recorded,
             what_was_committed_is_there_after_the_database_was_closed_and_opened,
             a_damaged_file_is_named_and_left_alone, a_log_without_its_database_is_damage_and_not_a_fresh_start,
             an_empty_file_is_a_fresh_start);
