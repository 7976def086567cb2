/* Where the good copy of a row comes from that was damaged behind the service's back, on SQLite. */
#include "core/auto.h"
#include "engine/heal.h"
#include "tests/support/altered_rows.h"
#include "tests/support/check_main.h"
#include "tests/support/engine.h"
#include "tests/support/stores.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct hf_test_service service;

/* Bodies as good as never stay in memory, so that reads go to the database. */
static void open_service(void)
{
    hf_test_service_open(&service, (const char *const[]){"--cache-bytes", "1", NULL});
}

static bool is_damaged(const char *component)
{
    struct hf_component_info info;
    ck_assert(hf_catalog_read_component(service.engine->catalog, HF_TEST_NAME, component, &service.arena, &info));
    return info.damaged;
}

static int count_events(const char *type)
{
    return hf_test_count_events_so_far(&service, hf_test_system(&service).id, type);
}

START_TEST(old_version_is_healed_where_a_copy_is_left)
{
    enum hf_code code;
    open_service();
    hf_test_put(&service, "a", "{\"a\":\"first\"}");
    int64_t first = hf_test_sequence_of(&service, "a");
    hf_test_full(&service);
    hf_test_put(&service, "a", "{\"a\":\"second\"}");
    int64_t second = hf_test_sequence_of(&service, "a");
    hf_test_put(&service, "a", "{\"a\":\"third\"}");
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", first));
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", second));
    ck_assert_str_eq(hf_test_get_version(&service, "a", 1, &code), "{\"a\":\"first\"}");
    ck_assert_int_eq(hf_test_row_condition(&service, first, "a", 1, "{\"a\":\"first\"}"), HF_ROW_SOUND);
    ck_assert_ptr_null(hf_test_get_version(&service, "a", 2, &code)); /* between two snapshots */
    ck_assert_int_eq(code, HF_DAMAGED);
    ck_assert(!is_damaged("a")); /* it stands at another version */
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"third\"}");
    hf_test_service_close(&service);
}
END_TEST

/* The length of an old version is known from its row alone: it is right where it belongs to what has the hash. */
START_TEST(old_version_with_an_altered_length_is_healed_where_a_copy_is_left)
{
    static const char *const lengths[] = {"1", "bytes + 1", "1099511627776"};
    static const char first[] = "{\"a\":\"first\"}";
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        enum hf_code code;
        open_service();
        hf_test_put(&service, "a", first);
        hf_test_full(&service);
        int64_t sequence = hf_test_sequence_of(&service, "a");
        hf_test_put(&service, "a", "{\"a\":\"second\"}");
        hf_test_alter(&service,
                      hf_arena_format(&service.arena, "UPDATE component_states SET bytes = %s WHERE sequence = %lld",
                                      lengths[i], (long long)sequence));
        ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 1, first), HF_ROW_ALTERED);
        const char *text = hf_test_get_version(&service, "a", 1, &code);
        ck_assert_msg(text, "%s: %s", lengths[i], hf_code_name(code));
        ck_assert_str_eq(text, first);
        ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 1, first), HF_ROW_SOUND);
        ck_assert_int_eq(count_events("state.healed"), 1);
        hf_test_service_close(&service);
    }
}
END_TEST

/* Nothing else has a copy: only what the row says of its bytes is wrong. */
static void check_own_bytes(const char *text, const char *alteration)
{
    open_service();
    hf_test_put(&service, "a", text);
    int64_t sequence = hf_test_sequence_of(&service, "a");
    hf_test_alter(&service, hf_arena_format(&service.arena, "UPDATE component_states SET %s WHERE sequence = %lld",
                                            alteration, (long long)sequence));
    ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 1, text), HF_ROW_ALTERED);
    const char *read = hf_test_get(&service, "a");
    ck_assert_msg(read, "%s", alteration);
    ck_assert_str_eq(read, text);
    ck_assert_int_eq(hf_test_row_condition(&service, sequence, "a", 1, text), HF_ROW_SOUND);
    ck_assert_int_eq(count_events("state.healed"), 1);
    ck_assert_int_eq(count_events("state.damaged"), 0);
    ck_assert(!is_damaged("a"));
    hf_test_service_close(&service);
}

#define LARGE_BYTES (3 * HF_STATE_CHUNK_BYTES / 2)

START_TEST(row_that_says_wrong_of_its_own_bytes_is_healed_from_them)
{
    static const char *const alterations[] = {"bytes = 1", "bytes = bytes + 1", "bytes = -1", "bytes = 1099511627776",
                                              "hash = zeroblob(32)"};
    char *large = hf_alloc(LARGE_BYTES + 1);
    memset(large, '7', LARGE_BYTES);
    for (size_t i = 0; i < sizeof(alterations) / sizeof(alterations[0]); i++) {
        check_own_bytes("{\"a\":\"only here\"}", alterations[i]);
        check_own_bytes(large, alterations[i]);
    }
    free(large);
}
END_TEST

START_TEST(copy_may_be_another_row)
{
    enum hf_code code;
    open_service();
    hf_test_put(&service, "a", "{\"same\":1}");
    hf_test_put(&service, "b", "{\"same\":1}");
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", hf_test_sequence_of(&service, "a")));
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"same\":1}");
    /* And one that is no component's latest. */
    hf_test_put(&service, "b", "{\"other\":1}");
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", hf_test_sequence_of(&service, "a")));
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"same\":1}");
    ck_assert_str_eq(hf_test_get_version(&service, "b", 1, &code), "{\"same\":1}");
    ck_assert_int_eq(count_events("state.healed"), 2);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(copy_may_be_in_memory)
{
    hf_test_service_open(&service, NULL);
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", hf_test_sequence_of(&service, "a")));
    /* As an engine method it goes to the database; over HTTP the cache would have answered. */
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":1}");
    ck_assert_int_eq(hf_test_row_condition(&service, hf_test_sequence_of(&service, "a"), "a", 1, "{\"a\":1}"),
                     HF_ROW_SOUND);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(copy_may_be_in_the_mirror)
{
    struct hf_repository *mirror;
    struct hf_error err;
    /* Nothing that reads the repositories is under way when the mirror comes. */
    hf_test_service_open(&service,
                         (const char *const[]){"--cache-bytes", "1", "--enable-state-validation", "false", NULL});
    hf_test_put(&service, "a", "{\"a\":\"0123456789\"}");
    struct hf_snapshot_row row = hf_test_full(&service);
    ck_assert_int_eq(rename(service.config.backup_directory, hf_test_service_path(&service, "mirrored")), 0);
    ck_assert_int_eq(mkdir(service.config.backup_directory, 0700), 0);
    char *path = hf_test_service_path(&service, "mirrored");
    HF_TEST_OK(hf_repository_open(&mirror, path, path, &err));
    service.engine->mirror_repository = mirror;
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", hf_test_sequence_of(&service, "a")));
    ck_assert_str_eq(hf_test_get(&service, "a"), "{\"a\":\"0123456789\"}");
    service.engine->mirror_repository = NULL;
    hf_repository_close(mirror);
    ck_assert_int_eq(hf_test_row_condition(&service, row.sequence, "a", 1, "{\"a\":\"0123456789\"}"), HF_ROW_SOUND);
    hf_test_service_close(&service);
}
END_TEST

START_TEST(primary_is_a_source_of_contents)
{
    open_service();
    hf_test_put(&service, "a", "{\"a\":1}");
    hf_test_put(&service, "a", "{\"a\":2}");
    struct hf_heal_primary primary = {service.engine, HF_TEST_NAME};
    struct hf_content_source source = hf_heal_source(&primary);
    static const struct {
        const char *text;
        bool found;
    } contents[] = {{"{\"a\":1}", true}, {"{\"a\":2}", true}, {"{\"a\":3}", false}};
    for (int i = 0; i < 3; i++) {
        struct hf_hash hash;
        struct hf_blob *blob = NULL;
        char origin[HF_ORIGIN_BYTES] = "";
        hf_hash_of(contents[i].text, 7, &hash);
        ck_assert_int_eq(source.find(source.context, &hash, 7, &blob, origin), contents[i].found);
        ck_assert_int_eq(blob != NULL, contents[i].found);
        ck_assert_int_eq(origin[0] != '\0', contents[i].found);
        ck_assert(!blob || memcmp(blob->data, contents[i].text, 7) == 0);
        hf_blob_unref(blob);
    }
    /* What is not what it was is no source. */
    hf_test_alter(&service, hf_test_flip_content(&service, "component_states", 1));
    struct hf_hash hash;
    struct hf_blob *blob = NULL;
    char origin[HF_ORIGIN_BYTES];
    hf_hash_of("{\"a\":1}", 7, &hash);
    ck_assert(!source.find(source.context, &hash, 7, &blob, origin));
    hf_test_service_close(&service);
}
END_TEST

HF_TEST_MAIN("heal_copies", old_version_is_healed_where_a_copy_is_left,
             old_version_with_an_altered_length_is_healed_where_a_copy_is_left,
             row_that_says_wrong_of_its_own_bytes_is_healed_from_them, copy_may_be_another_row, copy_may_be_in_memory,
             copy_may_be_in_the_mirror, primary_is_a_source_of_contents);
