/* The system as of a moment, on SQLite and on PostgreSQL: every past against a simple model of it. */
#include "engine/past.h"

#include "core/auto.h"
#include "core/clock.h"
#include "tests/support/engine.h"
#include "tests/support/postgres.h"
#include "tests/support/stores.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define COMPONENTS 6 /* 0 and 1 are always written together, with the same text */
#define STEPS      60
#define SEQUENCES  (STEPS * COMPONENTS + 1)
#define TEXT_BYTES 32

static struct hf_test_service service;
static struct hf_error err;
static char *url;

/* What each component held after each sequence; "": nothing. */
struct model {
    char texts[SEQUENCES][COMPONENTS][TEXT_BYTES];
    int64_t at_ms[SEQUENCES];
    int64_t sequence;
};

static void open_on(int engine)
{
    url = engine == HF_TEST_POSTGRES ? hf_test_postgres_new_database(NULL) : NULL;
    const char *const flags[] = {
        "--anchor-interval", "0", "--enable-state-validation", "false", "--database-url", url, NULL};
    const char *const plain[] = {"--anchor-interval", "0", "--enable-state-validation", "false", NULL};
    hf_test_service_open(&service, url ? flags : plain);
}

static void close_it(void)
{
    hf_test_service_close(&service);
    free(url);
    url = NULL;
}

static void name_of(int component, char out[8])
{
    snprintf(out, 8, "c%d", component);
}

static struct hf_past *open_past(const struct hf_past_moment *moment)
{
    struct hf_past *past = NULL;
    ck_assert_msg(hf_past_open(service.engine, HF_TEST_NAME, moment, &past, &err), "%s", err.text);
    return past;
}

static struct hf_past *open_sequence(int64_t sequence)
{
    return open_past(&(struct hf_past_moment){.kind = HF_PAST_SEQUENCE, .sequence = sequence});
}

static struct hf_past *open_at(int64_t at_ms)
{
    return open_past(&(struct hf_past_moment){.kind = HF_PAST_AT, .at_ms = at_ms});
}

static struct hf_past *open_snapshot(const char *id)
{
    return open_past(&(struct hf_past_moment){.kind = HF_PAST_SNAPSHOT, .snapshot = id});
}

/* The text of a component then (arena), or "". */
static const char *text_in(struct hf_past *past, const char *component)
{
    const struct hf_past_entry *entry = hf_past_find(past, component);
    struct hf_blob *blob = NULL;
    if (!hf_past_entry_is_present(entry))
        return "";
    ck_assert_msg(hf_past_read(past, entry, &blob, &err), "%s", err.text);
    const char *text = hf_arena_strndup(&service.arena, (const char *)blob->data, blob->bytes);
    hf_blob_unref(blob);
    return text;
}

/* Writes these components in one batch, text NULL deletes, and notes what became of it. */
static void write_batch(struct model *model, const int *components, int count, const char *text)
{
    struct hf_save_item items[COMPONENTS] = {0};
    char names[COMPONENTS][8];
    struct hf_blob *body = text ? hf_blob_copy(text, strlen(text)) : NULL;
    for (int i = 0; i < count; i++) {
        name_of(components[i], names[i]);
        items[i] = (struct hf_save_item){.component = names[i],
                                         .body = body,
                                         .content_type = text ? "application/json" : "",
                                         .delete_it = !text};
        if (text)
            hf_hash_of(text, strlen(text), &items[i].hash);
    }
    struct hf_write write = {.system = HF_TEST_NAME, .state_epoch = -1, .items = items, .item_count = count};
    ck_assert_msg(hf_committer_write(service.engine->committer, &write, &err) && write.ok, "%s", write.error.text);
    hf_blob_unref(body);
    for (int i = 0; i < count; i++) {
        if (items[i].unchanged)
            continue;
        ck_assert_int_eq(items[i].sequence, model->sequence + 1);
        memcpy(model->texts[model->sequence + 1], model->texts[model->sequence], sizeof(model->texts[0]));
        model->sequence++;
        model->at_ms[model->sequence] = items[i].committed_at_ms;
        snprintf(model->texts[model->sequence][components[i]], TEXT_BYTES, "%s", text ? text : "");
    }
}

/* A step of a random life: the pair together, or another one alone; sometimes one is deleted. */
static void step(struct model *model, unsigned *seed, int number)
{
    static const int pair[] = {0, 1};
    int other = 2 + rand_r(seed) % (COMPONENTS - 2);
    char text[TEXT_BYTES];
    snprintf(text, sizeof(text), "{\"step\":%d}", number);
    switch (rand_r(seed) % 4) {
    case 0:
    case 1:
        write_batch(model, pair, 2, text);
        break;
    case 2:
        write_batch(model, &other, 1, text);
        break;
    default:
        if (model->texts[model->sequence][other][0])
            write_batch(model, &other, 1, NULL);
        else
            write_batch(model, &other, 1, text);
    }
    if (rand_r(seed) % 3 == 0)
        usleep(2000);
}

static void expect_model(struct hf_past *past, const struct model *model, int64_t sequence)
{
    for (int c = 0; c < COMPONENTS; c++) {
        char name[8];
        name_of(c, name);
        ck_assert_msg(strcmp(text_in(past, name), model->texts[sequence][c]) == 0, "%s at %lld: %s, not %s", name,
                      (long long)sequence, text_in(past, name), model->texts[sequence][c]);
    }
}

static int64_t sequence_at(const struct model *model, int64_t at_ms)
{
    int64_t sequence = 0;
    while (sequence < model->sequence && model->at_ms[sequence + 1] <= at_ms)
        sequence++;
    return sequence;
}

START_TEST(texts_say_which_moment_is_meant)
{
    struct hf_past_moment moment;
    ck_assert(hf_past_parse("now", &moment, &err));
    ck_assert_int_eq(moment.kind, HF_PAST_NOW);
    ck_assert(hf_past_parse("latest", &moment, &err));
    ck_assert_int_eq(moment.kind, HF_PAST_SNAPSHOT);
    ck_assert_str_eq(moment.snapshot, "latest");
    ck_assert(hf_past_parse("full-20261123T013000Z-90817", &moment, &err));
    ck_assert_int_eq(moment.kind, HF_PAST_SNAPSHOT);
    ck_assert(hf_past_parse("90817", &moment, &err));
    ck_assert_int_eq(moment.kind, HF_PAST_SEQUENCE);
    ck_assert_int_eq(moment.sequence, 90817);
    ck_assert(hf_past_parse("2026-11-23T01:30:00Z", &moment, &err));
    ck_assert_int_eq(moment.kind, HF_PAST_AT);
    ck_assert_int_eq(moment.at_ms, 1795397400000);
    static const char *const bad[] = {"", " ", "-1", "yesterday evening", "../x", "2026-11-23T01:30:00+"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!hf_past_parse(bad[i], &moment, &err), "%s", bad[i]);
        ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    }
}
END_TEST

START_TEST(every_sequence_and_every_instant_is_as_it_was)
{
    struct model *model = hf_alloc(sizeof(*model));
    unsigned seed = 20261123;
    open_on(_i);
    for (int number = 0; number < STEPS; number++)
        step(model, &seed, number);
    for (int64_t sequence = 1; sequence <= model->sequence; sequence++) {
        struct hf_past *past = open_sequence(sequence);
        const struct hf_past_cut *cut = hf_past_cut(past);
        ck_assert_int_eq(cut->sequence, sequence);
        ck_assert_int_eq(cut->at_ms, model->at_ms[sequence]);
        ck_assert(cut->exact);
        ck_assert_str_eq(cut->snapshot, "");
        expect_model(past, model, sequence);
        hf_past_close(past);
    }
    for (int64_t at_ms = model->at_ms[1]; at_ms <= model->at_ms[model->sequence]; at_ms++) {
        struct hf_past *past = open_at(at_ms);
        ck_assert_int_eq(hf_past_cut(past)->sequence, sequence_at(model, at_ms));
        ck_assert_int_eq(hf_past_cut(past)->at_ms, at_ms);
        expect_model(past, model, sequence_at(model, at_ms));
        ck_assert_str_eq(text_in(past, "c0"), text_in(past, "c1"));
        hf_past_close(past);
    }
    struct hf_past *now = open_past(&(struct hf_past_moment){.kind = HF_PAST_NOW});
    ck_assert_int_eq(hf_past_cut(now)->sequence, model->sequence);
    expect_model(now, model, model->sequence);
    hf_past_close(now);
    free(model);
    close_it();
}
END_TEST

START_TEST(before_history_the_nearest_snapshot_is_used_and_told)
{
    struct model *model = hf_alloc(sizeof(*model));
    unsigned seed = 7;
    open_on(_i);
    int64_t cuts[3], cut_at[3];
    char ids[3][HF_SNAPSHOT_ID_MAX];
    for (int s = 0; s < 3; s++) {
        for (int number = 0; number < 12; number++)
            step(model, &seed, s * 12 + number);
        struct hf_snapshot_row row = hf_test_full(&service);
        cuts[s] = row.sequence;
        cut_at[s] = row.cut_at_ms;
        snprintf(ids[s], sizeof(ids[s]), "%s", row.id);
        usleep(3000);
    }
    for (int number = 36; number < 40; number++)
        step(model, &seed, number);
    hf_test_forget_history(&service);
    for (int64_t sequence = cuts[0]; sequence <= model->sequence; sequence++) {
        struct hf_past *past = open_sequence(sequence);
        const struct hf_past_cut *cut = hf_past_cut(past);
        expect_model(past, model, cut->sequence);
        ck_assert_int_eq(cut->exact, cut->sequence == sequence);
        if (cut->snapshot[0]) {
            int s = sequence < cuts[1] ? 0 : sequence < cuts[2] ? 1 : 2;
            ck_assert_str_eq(cut->snapshot, ids[s]);
            ck_assert_int_eq(cut->sequence, cuts[s]);
            ck_assert_int_eq(cut->at_ms, cut_at[s]);
            ck_assert_int_ne(cut->why[0], '\0');
            ck_assert_ptr_nonnull(hf_past_header(past));
        } else {
            ck_assert_int_eq(cut->sequence, sequence);
        }
        hf_past_close(past);
    }
    struct hf_past *past = open_at(cut_at[1] + 1);
    ck_assert_str_eq(hf_past_cut(past)->snapshot, ids[1]);
    hf_past_close(past);
    struct hf_past *none = NULL;
    const struct hf_past_moment early = {.kind = HF_PAST_AT, .at_ms = model->at_ms[1] - 1};
    ck_assert(!hf_past_open(service.engine, HF_TEST_NAME, &early, &none, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    free(model);
    close_it();
}
END_TEST

START_TEST(what_is_not_there_is_not_found)
{
    struct hf_past *past = NULL;
    open_on(_i);
    hf_test_put(&service, "a", "1");
    const struct hf_past_moment later = {.kind = HF_PAST_SEQUENCE, .sequence = 2};
    ck_assert(!hf_past_open(service.engine, HF_TEST_NAME, &later, &past, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    const struct hf_past_moment unknown = {.kind = HF_PAST_SNAPSHOT, .snapshot = "full-x"};
    ck_assert(!hf_past_open(service.engine, HF_TEST_NAME, &unknown, &past, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    const struct hf_past_moment latest = {.kind = HF_PAST_SNAPSHOT, .snapshot = "latest"};
    ck_assert(!hf_past_open(service.engine, HF_TEST_NAME, &latest, &past, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    const struct hf_past_moment now = {.kind = HF_PAST_NOW};
    ck_assert(!hf_past_open(service.engine, "nobody", &now, &past, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert_ptr_null(past);
    close_it();
}
END_TEST

/* No copy of its list of components is left. */
static void lose(const struct hf_snapshot_row *row)
{
    hf_test_remove_outline(&service, row);
    ck_assert_int_eq(truncate(hf_test_engine_snapshot_path(&service, row), 60), 0);
}

START_TEST(damage_is_mended_before_an_older_snapshot_is_read)
{
    open_on(_i);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row newer = hf_test_full(&service);
    hf_test_damage_file(hf_test_engine_snapshot_path(&service, &newer), -10);
    struct hf_past *past = open_snapshot("latest");
    ck_assert_str_eq(hf_past_cut(past)->snapshot, newer.id);
    hf_past_close(past);
    struct hf_snapshot_row row;
    ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, newer.id, &service.arena, &row, &err));
    ck_assert_str_eq(row.validation_status, "valid");
    close_it();
}
END_TEST

START_TEST(a_content_that_the_file_lost_is_read_from_elsewhere_and_the_file_mended)
{
    open_on(_i);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row full = hf_test_full(&service);
    hf_test_damage_content(hf_test_engine_snapshot_path(&service, &full), "{\"a\":1}");
    struct hf_past *past = open_snapshot(full.id);
    ck_assert_str_eq(text_in(past, "a"), "{\"a\":1}");
    hf_past_close(past);
    struct hf_snapshot_row row = full;
    for (int tries = 0; strcmp(row.validation_status, "valid") != 0; tries++) {
        ck_assert_int_lt(tries, 6000);
        usleep(10000);
        ck_assert(hf_snapshot_find(service.engine, HF_TEST_NAME, full.id, &service.arena, &row, &err));
    }
    close_it();
}
END_TEST

START_TEST(only_proven_damage_leads_to_an_older_snapshot)
{
    open_on(_i);
    hf_test_put(&service, "a", "{\"a\":1}");
    struct hf_snapshot_row good = hf_test_full(&service);
    usleep(3000);
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_snapshot_row bad = hf_test_full(&service);
    usleep(3000);
    hf_test_put(&service, "a", "{\"a\":3}");
    hf_test_forget_history(&service);
    lose(&bad);
    struct hf_past *past = open_at(bad.cut_at_ms + 1);
    ck_assert_str_eq(hf_past_cut(past)->snapshot, good.id);
    ck_assert(!hf_past_cut(past)->exact);
    ck_assert_str_eq(text_in(past, "a"), "{\"a\":1}");
    hf_past_close(past);
    past = open_snapshot("latest");
    ck_assert_str_eq(hf_past_cut(past)->snapshot, good.id);
    hf_past_close(past);
    const struct hf_past_moment named = {.kind = HF_PAST_SNAPSHOT, .snapshot = bad.id};
    ck_assert(!hf_past_open(service.engine, HF_TEST_NAME, &named, &past, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    lose(&good);
    const struct hf_past_moment latest = {.kind = HF_PAST_SNAPSHOT, .snapshot = "latest"};
    ck_assert(!hf_past_open(service.engine, HF_TEST_NAME, &latest, &past, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    close_it();
}
END_TEST

START_TEST(an_open_snapshot_is_leased_until_it_is_closed)
{
    open_on(_i);
    hf_test_put(&service, "a", "1");
    struct hf_snapshot_row row = hf_test_full(&service);
    struct hf_past *past = open_snapshot(row.id);
    ck_assert(!hf_snapshot_delete(service.engine, HF_TEST_NAME, row.id, &err));
    ck_assert_int_eq(err.code, HF_SNAPSHOT_IN_USE);
    hf_past_close(past);
    ck_assert_msg(hf_snapshot_delete(service.engine, HF_TEST_NAME, row.id, &err), "%s", err.text);
    close_it();
}
END_TEST

START_TEST(a_view_keeps_what_is_trimmed_meanwhile)
{
    open_on(_i);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_past *kept = open_sequence(1), *left = open_sequence(1);
    hf_past_leave_view(left);
    ck_assert_str_eq(text_in(left, "a"), "{\"a\":1}");
    hf_test_forget_history(&service);
    ck_assert_str_eq(text_in(kept, "a"), "{\"a\":1}");
    struct hf_blob *blob = NULL;
    ck_assert(!hf_past_read(left, hf_past_find(left, "a"), &blob, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert_ptr_null(blob);
    hf_past_close(kept);
    hf_past_close(left);
    close_it();
}
END_TEST

START_TEST(snapshots_tell_what_was_registered_then)
{
    open_on(_i);
    hf_test_put(&service, "a", "1");
    hf_test_register(&service, "a", "agent", "b", 0);
    struct hf_snapshot_row row = hf_test_full(&service);
    hf_test_register(&service, "a", "agent", "c", 0);
    struct hf_past *then = open_snapshot(row.id), *now = open_past(&(struct hf_past_moment){.kind = HF_PAST_NOW});
    struct hf_registration registration;
    bool known = false;
    ck_assert(hf_past_registration(hf_past_find(then, "a"), &service.arena, &registration, &known, &err));
    ck_assert(known);
    ck_assert_int_eq(registration.depends_on_count, 1);
    ck_assert_str_eq(registration.depends_on[0], "b");
    ck_assert_str_eq(registration.kind, "agent");
    ck_assert(hf_past_registration(hf_past_find(now, "a"), &service.arena, &registration, &known, &err));
    ck_assert(!known);
    hf_past_close(then);
    hf_past_close(now);
    close_it();
}
END_TEST

static atomic_bool enough;

static void *write_pairs(void *unused)
{
    (void)unused;
    for (int number = 0; !atomic_load(&enough); number++) {
        char text[TEXT_BYTES];
        struct hf_error failure;
        snprintf(text, sizeof(text), "{\"n\":%d}", number);
        struct hf_blob *body = hf_blob_copy(text, strlen(text));
        struct hf_save_item items[2] = {{.component = "c0", .body = body, .content_type = "application/json"},
                                        {.component = "c1", .body = body, .content_type = "application/json"}};
        hf_hash_of(text, strlen(text), &items[0].hash);
        items[1].hash = items[0].hash;
        struct hf_write write = {.system = HF_TEST_NAME, .state_epoch = -1, .items = items, .item_count = 2};
        ck_assert(hf_committer_write(service.engine->committer, &write, &failure) && write.ok);
        hf_blob_unref(body);
    }
    return NULL;
}

START_TEST(a_cut_never_falls_between_what_was_written_together)
{
    pthread_t writer;
    open_on(_i);
    atomic_store(&enough, false);
    ck_assert_int_eq(pthread_create(&writer, NULL, write_pairs, NULL), 0);
    while (hf_test_get(&service, "c1") == NULL)
        usleep(100);
    for (int i = 0; i < 60; i++) {
        struct hf_past *past = i % 2 ? open_at(hf_clock_now_ms() + 1000 * (i % 3))
                                     : open_past(&(struct hf_past_moment){.kind = HF_PAST_NOW});
        const char *text = text_in(past, "c0");
        ck_assert_str_ne(text, "");
        ck_assert_str_eq(text_in(past, "c1"), text);
        ck_assert_int_eq(hf_past_cut(past)->sequence % 2, 0);
        hf_past_close(past);
    }
    atomic_store(&enough, true);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    close_it();
}
END_TEST

START_TEST(restores_to_instants_between_never_mix)
{
    struct model *model = hf_alloc(sizeof(*model));
    unsigned seed = 99;
    open_on(_i);
    for (int number = 0; number < STEPS; number++) {
        step(model, &seed, number);
        usleep(1000);
    }
    int64_t first = model->at_ms[1], span = model->at_ms[model->sequence] - first + 1;
    for (int i = 0; i < 12; i++) {
        int64_t at_ms = first + rand_r(&seed) % span, wanted = sequence_at(model, at_ms);
        struct hf_recovery_row row;
        const struct hf_recovery_request request = {.system = HF_TEST_NAME, .source = "at", .at_ms = at_ms};
        ck_assert_msg(hf_recovery_run(service.engine, &request, &service.arena, &row, &err), "%s", err.text);
        char cut[96];
        snprintf(cut, sizeof(cut), "\"cut\":{\"sequence\":%lld,", (long long)wanted);
        ck_assert_msg(strstr(row.detail, cut) && strstr(row.detail, "\"exact\":true"), "%s", row.detail);
        struct hf_past *past = open_past(&(struct hf_past_moment){.kind = HF_PAST_NOW});
        expect_model(past, model, wanted);
        hf_past_close(past);
    }
    free(model);
    close_it();
}
END_TEST

/* "version@snapshot", or the code of the failure. */
static const char *read_one(const char *component, const struct hf_moment *moment, int64_t *cut_at_ms_out)
{
    struct hf_state state;
    if (!hf_state_read(service.engine, HF_TEST_NAME, component, moment, &state, &err))
        return hf_code_name(err.code);
    *cut_at_ms_out = state.cut_at_ms;
    hf_blob_unref(state.body);
    return hf_arena_format(&service.arena, "%lld@%s", (long long)state.head.version, state.cut_snapshot);
}

START_TEST(a_read_of_one_component_says_its_cut)
{
    open_on(_i);
    hf_test_put(&service, "a", "1"); /* sequence 1 */
    hf_test_put(&service, "b", "1");
    struct hf_snapshot_row full = hf_test_full(&service);
    usleep(3000);
    hf_test_put(&service, "a", "2"); /* 3 */
    usleep(3000);
    int64_t between_ms = hf_clock_now_ms(), cut_at_ms = -1;
    usleep(3000);
    hf_test_put(&service, "a", "3"); /* 4 */
    hf_test_put(&service, "c", "1");
    const struct hf_moment at = {.kind = HF_MOMENT_AT, .at_ms = between_ms};
    const struct hf_moment at_cut = {.kind = HF_MOMENT_AT, .at_ms = full.cut_at_ms};
    const struct hf_moment first = {.kind = HF_MOMENT_SEQUENCE, .sequence = 1};
    const struct hf_moment third = {.kind = HF_MOMENT_SEQUENCE, .sequence = 3};
    const struct hf_moment sixth = {.kind = HF_MOMENT_SEQUENCE, .sequence = 6};
    const struct hf_moment version = {.kind = HF_MOMENT_VERSION, .version = 2};
    ck_assert_str_eq(read_one("a", &at, &cut_at_ms), "2@");
    ck_assert_int_eq(cut_at_ms, between_ms);
    ck_assert_str_eq(read_one("a", &third, &cut_at_ms), "2@");
    ck_assert_int_lt(cut_at_ms, between_ms);
    ck_assert_int_gt(cut_at_ms, full.cut_at_ms);
    ck_assert_str_eq(read_one("a", &first, &cut_at_ms), "1@");
    ck_assert_str_eq(read_one("b", &first, &cut_at_ms), "not_found");
    ck_assert_str_eq(read_one("c", &third, &cut_at_ms), "not_found");
    ck_assert_str_eq(read_one("a", &sixth, &cut_at_ms), "not_found");
    ck_assert_str_eq(read_one("a", &version, &cut_at_ms), "2@");
    ck_assert_int_eq(cut_at_ms, 0);

    hf_test_forget_history(&service);
    const char *from_snapshot = hf_arena_format(&service.arena, "1@%s", full.id);
    ck_assert_str_eq(read_one("a", &at, &cut_at_ms), from_snapshot);
    ck_assert_int_eq(cut_at_ms, full.cut_at_ms);
    ck_assert_str_eq(read_one("a", &at_cut, &cut_at_ms), from_snapshot);
    ck_assert_str_eq(read_one("a", &third, &cut_at_ms), from_snapshot);
    ck_assert_str_eq(read_one("a", &first, &cut_at_ms), "not_found"); /* the snapshot was cut later */
    ck_assert_str_eq(read_one("b", &third, &cut_at_ms), "1@");        /* its own version is kept */
    close_it();
}
END_TEST

HF_TEST_STORE_MAIN("past", texts_say_which_moment_is_meant, every_sequence_and_every_instant_is_as_it_was,
                   before_history_the_nearest_snapshot_is_used_and_told, what_is_not_there_is_not_found,
                   damage_is_mended_before_an_older_snapshot_is_read,
                   a_content_that_the_file_lost_is_read_from_elsewhere_and_the_file_mended,
                   only_proven_damage_leads_to_an_older_snapshot, an_open_snapshot_is_leased_until_it_is_closed,
                   a_view_keeps_what_is_trimmed_meanwhile, snapshots_tell_what_was_registered_then,
                   a_read_of_one_component_says_its_cut, a_cut_never_falls_between_what_was_written_together,
                   restores_to_instants_between_never_mix);
