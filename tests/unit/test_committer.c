/* The committer on a real SQLite file: group commits, order, replays, unknown outcomes, folding and loading. */
#include "core/auto.h"
#include "core/clock.h"
#include "engine/committer.h"
#include "engine/engine.h"
#include "engine/event_queue.h"
#include "engine/load.h"
#include "store/components.h"
#include "store/systems.h"
#include "tests/support/temp.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct hf_config config;
static struct hf_engine engine;
static char *directory;

static void open_store(void)
{
    struct hf_error err = {0};
    struct hf_store_options options = {.data_directory = directory, .timeout_ms = 5000};
    ck_assert_msg(hf_store_open(&engine.store, &options, NULL, &err), "%s", err.text);
    engine.catalog = hf_catalog_new(1 << 20);
    struct hf_session *session;
    ck_assert(hf_session_open(&session, engine.store, HF_SESSION_READ, &err));
    ck_assert_msg(hf_catalog_load(engine.catalog, session, &err), "%s", err.text);
    hf_session_close(session);
    ck_assert_msg(hf_committer_start(&engine.committer, &engine, &err), "%s", err.text);
}

static void open_engine(void)
{
    directory = hf_test_temp_directory();
    config = (struct hf_config){.queue_jobs_max = 10000, .request_timeout_ms = 30000};
    engine = (struct hf_engine){.config = &config, .events = hf_event_queue_new()};
    open_store();
}

static void close_store(void)
{
    hf_committer_stop(engine.committer);
    engine.committer = NULL;
    hf_catalog_free(engine.catalog);
    hf_store_close(engine.store);
}

static void close_engine(void)
{
    close_store();
    hf_event_queue_free(engine.events);
    hf_test_remove_tree(directory);
    free(directory);
}

static bool put_as(struct hf_order order, const char *component, const char *text, struct hf_save_item *item,
                   struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *body = hf_blob_copy(text, strlen(text));
    *item = (struct hf_save_item){.component = component, .body = body, .content_type = "application/json"};
    hf_hash_of(text, strlen(text), &item->hash);
    struct hf_write write = {.system = "s", .state_epoch = -1, .order = order, .items = item, .item_count = 1};
    return hf_committer_write(engine.committer, &write, err);
}

static bool put(const char *component, const char *text, struct hf_save_item *item, struct hf_error *err)
{
    return put_as((struct hf_order){0}, component, text, item, err);
}

static void must_put(const char *component, const char *text, int64_t version)
{
    struct hf_error err = {0};
    struct hf_save_item item;
    ck_assert_msg(put(component, text, &item, &err), "%s", err.text);
    ck_assert_int_eq(item.version, version);
}

static void *put_many(void *argument)
{
    int number = *(int *)argument;
    for (int i = 0; i < 200; i++) {
        char component[16], text[32];
        snprintf(component, sizeof component, "c%d", (number * 200 + i) % 37);
        snprintf(text, sizeof text, "\"%d-%d\"", number, i);
        struct hf_error err = {0};
        struct hf_save_item item;
        ck_assert_msg(put(component, text, &item, &err), "%s", err.text);
    }
    return NULL;
}

static int64_t sum_of_versions(struct hf_catalog *catalog)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    int count;
    bool found;
    int64_t sum = 0;
    struct hf_component_info *list = hf_catalog_list_components(catalog, "s", "", 1000, &arena, &count, &found);
    for (int i = 0; i < count; i++)
        sum += list[i].head.version;
    return sum;
}

static struct hf_catalog *load_again(void)
{
    struct hf_error err = {0};
    struct hf_session *session;
    struct hf_catalog *catalog = hf_catalog_new(1 << 20);
    ck_assert(hf_session_open(&session, engine.store, HF_SESSION_READ, &err));
    ck_assert_msg(hf_catalog_load(catalog, session, &err), "%s", err.text);
    hf_session_close(session);
    return catalog;
}

START_TEST(uploads_from_many_threads_are_all_there_with_gapless_sequences)
{
    open_engine();
    pthread_t threads[8];
    int numbers[8];
    for (int i = 0; i < 8; i++) {
        numbers[i] = i;
        pthread_create(&threads[i], NULL, put_many, &numbers[i]);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    struct hf_system_info info;
    ck_assert(hf_catalog_read_system(engine.catalog, "s", &info));
    ck_assert_int_eq(info.sequence, 1600);
    ck_assert_int_eq(sum_of_versions(engine.catalog), 1600);

    /* What a start after a crash would load now, whatever is folded by then. */
    struct hf_catalog *seen = load_again();
    ck_assert(hf_catalog_read_system(seen, "s", &info));
    ck_assert_int_eq(info.sequence, 1600);
    ck_assert_int_eq(sum_of_versions(seen), 1600);
    hf_catalog_free(seen);
    close_store();

    open_store();
    ck_assert(hf_catalog_read_system(engine.catalog, "s", &info));
    ck_assert_int_eq(info.sequence, 1600);
    ck_assert_int_eq(sum_of_versions(engine.catalog), 1600);
    close_engine();
}
END_TEST

static bool count_system(void *context, const struct hf_system_row *row)
{
    *(struct hf_system_row *)context = *row;
    return true;
}

START_TEST(an_ordered_stop_leaves_nothing_to_fold)
{
    open_engine();
    for (int i = 0; i < 50; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        must_put("a", text, i + 1);
    }
    hf_committer_stop(engine.committer);
    engine.committer = NULL;
    struct hf_error err = {0};
    struct hf_session *session;
    struct hf_system_row row = {0};
    ck_assert(hf_session_open(&session, engine.store, HF_SESSION_READ, &err));
    ck_assert(hf_systems_list(session, count_system, &row, &err));
    ck_assert_int_eq(row.sequence, 50);
    ck_assert_int_eq(row.folded_sequence, 50);
    hf_session_close(session);
    ck_assert(hf_committer_start(&engine.committer, &engine, &err));
    close_engine();
}
END_TEST

static char *make_answer(struct hf_write *write)
{
    return hf_format("version %lld", (long long)write->items[0].version);
}

static bool put_keyed(const char *text, struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *body = hf_blob_copy(text, strlen(text));
    struct hf_save_item item = {.component = "a", .body = body, .content_type = "application/json"};
    hf_hash_of(text, strlen(text), &item.hash);
    struct hf_write write = {.system = "s",
                             .state_epoch = -1,
                             .items = &item,
                             .item_count = 1,
                             .idempotency_key = "k",
                             .body_hash = item.hash,
                             .make_answer = make_answer};
    return hf_committer_write(engine.committer, &write, err);
}

START_TEST(a_key_used_again_writes_nothing_and_with_another_body_is_refused)
{
    open_engine();
    struct hf_error err = {0};
    ck_assert_msg(put_keyed("1", &err), "%s", err.text);
    must_put("a", "2", 2);
    ck_assert_msg(put_keyed("1", &err), "%s", err.text);
    struct hf_head head;
    ck_assert(hf_catalog_read_head(engine.catalog, "s", "a", &head, NULL, NULL));
    ck_assert_int_eq(head.version, 2);
    ck_assert(!put_keyed("3", &err));
    ck_assert_int_eq(err.code, HF_IDEMPOTENCY_REUSED);
    close_engine();
}
END_TEST

START_TEST(a_commit_whose_answer_is_lost_is_found_and_written_once)
{
    setenv("HOLDFAST_FAULT", "commit_after:error:1", 1); /* every commit but the first loses its answer */
    open_engine();
    must_put("a", "1", 1);
    must_put("a", "2", 2);
    must_put("a", "3", 3);
    struct hf_system_info info;
    ck_assert(hf_catalog_read_system(engine.catalog, "s", &info));
    ck_assert_int_eq(info.sequence, 3);
    struct hf_catalog *seen = load_again();
    ck_assert_int_eq(sum_of_versions(seen), 3);
    hf_catalog_free(seen);
    close_engine();
}
END_TEST

START_TEST(a_failed_commit_is_told_and_leaves_nothing)
{
    setenv("HOLDFAST_FAULT", "commit_before:error", 1);
    open_engine();
    struct hf_error err = {0};
    struct hf_save_item item;
    ck_assert(!put("a", "1", &item, &err));
    ck_assert_int_eq(err.code, HF_STORE_DOWN);
    struct hf_system_info info;
    ck_assert(!hf_catalog_read_system(engine.catalog, "s", &info));
    close_engine();
}
END_TEST

START_TEST(a_failed_commit_gives_back_the_number_of_its_writer)
{
    setenv("HOLDFAST_FAULT", "commit_before:error:1", 1); /* every commit but the first */
    open_engine();
    struct hf_error err = {0};
    struct hf_save_item item;
    ck_assert(put_as((struct hf_order){7, 1}, "a", "1", &item, &err));
    ck_assert(!put_as((struct hf_order){7, 3}, "a", "3", &item, &err));
    ck_assert_int_eq(err.code, HF_STORE_DOWN);
    while (!hf_committer_store_is_up(engine.committer))
        usleep(1000);
    ck_assert_msg(put_as((struct hf_order){7, 2}, "a", "1", &item, &err), "%s", err.text); /* needs no commit */
    ck_assert(item.unchanged);
    ck_assert(!put_as((struct hf_order){7, 1}, "a", "1", &item, &err));
    ck_assert_int_eq(err.code, HF_SUPERSEDED);
    close_engine();
}
END_TEST

static _Atomic int64_t ordered;

static void *put_in_order(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++) {
        struct hf_error err = {0};
        struct hf_save_item item;
        char text[16];
        int64_t number = ++ordered;
        snprintf(text, sizeof text, "%lld", (long long)number);
        ck_assert(put_as((struct hf_order){7, number}, "a", text, &item, &err) || err.code == HF_SUPERSEDED);
    }
    return NULL;
}

START_TEST(of_all_that_threads_write_as_one_writer_the_highest_number_stays)
{
    open_engine();
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, put_in_order, NULL), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    struct hf_head head;
    struct hf_hash hash;
    ck_assert(hf_catalog_read_head(engine.catalog, "s", "a", &head, NULL, NULL));
    hf_hash_of("1600", 4, &hash);
    ck_assert(hf_hash_equal(&head.hash, &hash));
    close_engine();
}
END_TEST

struct counted {
    int runs, published;
    int64_t seen_sequence;
};

static bool look(struct hf_session *session, void *context, struct hf_error *err)
{
    struct counted *counted = context;
    struct hf_system_row row = {0};
    counted->runs++;
    if (!hf_systems_list(session, count_system, &row, err))
        return false;
    counted->seen_sequence = row.sequence;
    return true;
}

static void count_published(void *context)
{
    ((struct counted *)context)->published++;
}

START_TEST(a_call_runs_in_order_with_the_uploads_before_it)
{
    open_engine();
    must_put("a", "1", 1);
    must_put("a", "2", 2);
    struct counted counted = {0};
    struct hf_call call = {.run = look, .published = count_published, .context = &counted};
    struct hf_error err = {0};
    ck_assert(hf_committer_call(engine.committer, &call, &err));
    ck_assert_int_eq(counted.runs, 1);
    ck_assert_int_eq(counted.published, 1);
    ck_assert_int_eq(counted.seen_sequence, 2);
    close_engine();
}
END_TEST

/* Calls in line behind one that holds the committer up. What they do is written down by it alone. */
static struct {
    sem_t held, release;
    char done[64]; /* small letters: run; capitals: published */
} line;

struct in_line {
    pthread_t thread;
    char name;
    bool shares, fails, ok;
    struct hf_error err;
};

static bool hold(struct hf_session *session, void *context, struct hf_error *call_error)
{
    (void)session;
    (void)context;
    (void)call_error;
    sem_post(&line.held);
    sem_wait(&line.release);
    return true;
}

static void write_down(char letter)
{
    size_t used = strlen(line.done);
    ck_assert_uint_lt(used + 1, sizeof(line.done));
    line.done[used] = letter;
}

static bool run_in_line(struct hf_session *session, void *context, struct hf_error *call_error)
{
    (void)session;
    const struct in_line *one = context;
    write_down(one->name);
    return !one->fails || hf_error_set(call_error, HF_INTERNAL, "as wanted");
}

static void published_in_line(void *context)
{
    write_down((char)(((struct in_line *)context)->name - 'a' + 'A'));
}

static void *wait_in_line(void *context)
{
    struct in_line *one = context;
    struct hf_call call = {.run = run_in_line, .published = published_in_line, .context = one, .shares = one->shares};
    one->ok = hf_committer_call(engine.committer, &call, &one->err);
    return NULL;
}

static void *hold_line(void *context)
{
    struct hf_call call = {.run = hold};
    return hf_committer_call(engine.committer, &call, context) ? context : NULL;
}

/* All of them wait when the first is begun. */
static const char *let_through(struct in_line *calls, int count)
{
    pthread_t holder;
    struct hf_error err;
    memset(line.done, 0, sizeof(line.done));
    sem_init(&line.held, 0, 0);
    sem_init(&line.release, 0, 0);
    ck_assert_int_eq(pthread_create(&holder, NULL, hold_line, &err), 0);
    sem_wait(&line.held);
    for (int i = 0; i < count; i++) {
        calls[i].name = (char)('a' + i);
        ck_assert_int_eq(pthread_create(&calls[i].thread, NULL, wait_in_line, &calls[i]), 0);
        while (hf_committer_queue_length(engine.committer) < i + 1)
            usleep(1000); /* the test's own timeout ends it */
    }
    sem_post(&line.release);
    pthread_join(holder, NULL);
    for (int i = 0; i < count; i++)
        pthread_join(calls[i].thread, NULL);
    sem_destroy(&line.held);
    sem_destroy(&line.release);
    return line.done;
}

START_TEST(calls_that_share_go_to_the_disk_together_and_the_others_alone)
{
    open_engine();
    struct in_line calls[] = {
        {.shares = true}, {.shares = true}, {.shares = false}, {.shares = true}, {.shares = true}};
    ck_assert_str_eq(let_through(calls, 5), "abABcCdeDE");
    for (int i = 0; i < 5; i++)
        ck_assert(calls[i].ok);
    close_engine();
}
END_TEST

START_TEST(a_call_that_fails_takes_none_of_those_with_it_that_it_shared_with)
{
    open_engine();
    struct in_line calls[] = {{.shares = true}, {.shares = true, .fails = true}, {.shares = true}};
    ck_assert_str_eq(let_through(calls, 3), "abaAbcC");
    ck_assert(calls[0].ok && !calls[1].ok && calls[2].ok);
    ck_assert_int_eq(calls[1].err.code, HF_INTERNAL);
    close_engine();
}
END_TEST

struct in_doubt {
    atomic_int runs;
    bool ok;
    struct hf_error err;
};

static bool lose_the_answer(struct hf_session *session, void *context, struct hf_error *call_error)
{
    (void)session;
    ((struct in_doubt *)context)->runs++;
    return hf_error_set(call_error, HF_OUTCOME_UNKNOWN, "as wanted");
}

static void *call_in_doubt(void *context)
{
    struct in_doubt *doubt = context;
    struct hf_call call = {.run = lose_the_answer, .context = doubt};
    doubt->ok = hf_committer_call(engine.committer, &call, &doubt->err);
    return NULL;
}

/* The threads that the engine waits for at its stop wait for calls. */
START_TEST(a_call_whose_outcome_stays_unknown_ends_when_there_is_hurry)
{
    open_engine();
    struct in_doubt doubt = {0};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, call_in_doubt, &doubt), 0);
    while (doubt.runs < 3) /* the test's own timeout ends it */
        usleep(1000);
    hf_committer_hurry(engine.committer);
    pthread_join(thread, NULL);
    ck_assert(!doubt.ok);
    ck_assert_int_eq(doubt.err.code, HF_OUTCOME_UNKNOWN);
    must_put("a", "1", 1); /* everything else goes on */
    close_engine();
}
END_TEST

START_TEST(past_the_bound_a_write_is_refused_at_once)
{
    open_engine();
    config.queue_jobs_max = 0;
    struct hf_error err = {0};
    struct hf_save_item item;
    ck_assert(!put("a", "1", &item, &err));
    ck_assert_int_eq(err.code, HF_OVERLOADED);
    close_engine();
}
END_TEST

HF_TEST_MAIN("committer", uploads_from_many_threads_are_all_there_with_gapless_sequences,
             an_ordered_stop_leaves_nothing_to_fold, a_key_used_again_writes_nothing_and_with_another_body_is_refused,
             a_commit_whose_answer_is_lost_is_found_and_written_once, a_failed_commit_is_told_and_leaves_nothing,
             a_failed_commit_gives_back_the_number_of_its_writer,
             of_all_that_threads_write_as_one_writer_the_highest_number_stays,
             a_call_runs_in_order_with_the_uploads_before_it,
             calls_that_share_go_to_the_disk_together_and_the_others_alone,
             a_call_that_fails_takes_none_of_those_with_it_that_it_shared_with,
             past_the_bound_a_write_is_refused_at_once, a_call_whose_outcome_stays_unknown_ends_when_there_is_hurry);
