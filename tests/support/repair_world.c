#include "tests/support/repair_world.h"

#include "core/auto.h"
#include "repository/place.h"
#include "repository/snapshot_file.h"
#include "tests/support/keys.h"
#include "tests/support/temp.h"

#include <string.h>
#include <sys/stat.h>

char hf_test_long_text[HF_TEST_TEXT_BYTES + 1], hf_test_other_text[HF_TEST_TEXT_BYTES + 1],
    hf_test_noise[HF_TEST_NOISE_BYTES];

static struct hf_test_state first[] = {
    {"a", "state of a", 0, 1, false, NULL},
    {"b", "state of b", 0, 1, false, NULL},
    {"empty", "", 0, 1, false, NULL},
    {"noise", hf_test_noise, HF_TEST_NOISE_BYTES, 1, false, NULL},
    {"text", hf_test_long_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
};
static struct hf_test_state second[] = {
    {"b", "second state of b", 0, 2, false, NULL},
    {"late", hf_test_other_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
};
static struct hf_test_state third[] = {{"a", "state of b", 0, 2, false, NULL}, {"empty", "", 0, 2, true, NULL}};
static struct hf_test_state fourth[] = {{"unique", "nobody else has this", 0, 1, false, NULL}};
static struct hf_test_state whole_second[] = {
    {"a", "state of a", 0, 1, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL},
    {"empty", "", 0, 1, false, NULL},
    {"late", hf_test_other_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
    {"noise", hf_test_noise, HF_TEST_NOISE_BYTES, 1, false, NULL},
    {"text", hf_test_long_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
};
static struct hf_test_state whole_third[] = {
    {"a", "state of b", 0, 2, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL},
    {"late", hf_test_other_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
    {"noise", hf_test_noise, HF_TEST_NOISE_BYTES, 1, false, NULL},
    {"text", hf_test_long_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
};
static struct hf_test_state whole_fourth[] = {
    {"a", "state of b", 0, 2, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL},
    {"late", hf_test_other_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
    {"noise", hf_test_noise, HF_TEST_NOISE_BYTES, 1, false, NULL},
    {"text", hf_test_long_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
    {"unique", "nobody else has this", 0, 1, false, NULL},
};
/* The second generation has lost "unique" and "late" in the meantime. */
static struct hf_test_state fifth[] = {
    {"a", "state of b", 0, 2, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL},
    {"noise", hf_test_noise, HF_TEST_NOISE_BYTES, 1, false, NULL},
    {"text", hf_test_long_text, HF_TEST_TEXT_BYTES, 1, false, NULL},
};

static const struct hf_test_snapshot snapshots[HF_TEST_FILES] = {
    {"full-1", NULL, "full-1", 4, first, HF_TEST_COUNT(first), NULL, 0},
    {"incremental-2", "full-1", "full-1", 7, second, HF_TEST_COUNT(second), whole_second, HF_TEST_COUNT(whole_second)},
    {"incremental-3", "incremental-2", "full-1", 9, third, HF_TEST_COUNT(third), whole_third,
     HF_TEST_COUNT(whole_third)},
    {"incremental-4", "incremental-3", "full-1", 11, fourth, HF_TEST_COUNT(fourth), whole_fourth,
     HF_TEST_COUNT(whole_fourth)},
    {"full-5", NULL, "full-5", 13, fifth, HF_TEST_COUNT(fifth), NULL, 0},
};

struct hf_test_world hf_test_world = {.snapshots = snapshots};

void hf_test_world_read_original(int which)
{
    struct hf_test_original *original = &hf_test_world.originals[which];
    const struct hf_test_snapshot *snapshot = &hf_test_world.snapshots[which];
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_error err = {0};
    original->path = hf_test_snapshot_path(hf_test_world.directory, snapshot);
    original->data = hf_test_read_file(original->path, &original->bytes);
    ck_assert_msg(hf_snapshot_file_open(&file, hf_test_world.repository, HF_TEST_SYSTEM, NULL, snapshot->id, &err),
                  "%s", err.text);
    original->header_bytes = (size_t)file->header_bytes;
    original->manifest_at = (size_t)file->footer.manifest_offset;
    original->record_bytes = (size_t)file->record_bytes;
    for (int64_t at = file->header_bytes; at < file->footer.manifest_offset;) {
        struct hf_test_record *record = &original->record[original->records++];
        struct hf_format_record head;
        ck_assert(hf_snapshot_file_read_record(file, at, &head, &err));
        *record = (struct hf_test_record){.offset = (size_t)at, .hash = head.hash, .unique = true};
        at += file->record_bytes + head.stored_bytes;
        record->end = (size_t)at;
    }
}

static void mark_shared(void)
{
    for (int i = 0; i < HF_TEST_FILES * HF_TEST_RECORDS_MAX; i++) {
        for (int j = 0; j < HF_TEST_FILES * HF_TEST_RECORDS_MAX; j++) {
            struct hf_test_original *one = &hf_test_world.originals[i / HF_TEST_RECORDS_MAX],
                                    *other = &hf_test_world.originals[j / HF_TEST_RECORDS_MAX];
            if (one != other && i % HF_TEST_RECORDS_MAX < one->records && j % HF_TEST_RECORDS_MAX < other->records &&
                hf_hash_equal(&one->record[i % HF_TEST_RECORDS_MAX].hash, &other->record[j % HF_TEST_RECORDS_MAX].hash))
                one->record[i % HF_TEST_RECORDS_MAX].unique = false;
        }
    }
}

void hf_test_fill_texts(void)
{
    for (int i = 0; i < HF_TEST_TEXT_BYTES; i++) {
        hf_test_long_text[i] = "abcdefghij klmnop\n"[i % 18 + (i / 500) % 2 * (i % 18 < 17 ? 1 : 0)];
        hf_test_other_text[i] = "0123456789,"[(i * i + i / 7) % 11];
    }
    unsigned state = 12345;
    for (int i = 0; i < HF_TEST_NOISE_BYTES; i++) {
        state = state * 1103515245u + 12345u;
        hf_test_noise[i] = (char)(state >> 16);
    }
}

void hf_test_world_write(const struct hf_keys *with)
{
    HF_AUTO(free) char *second_place = hf_format("%s/mirror", hf_test_world.directory);
    struct hf_blob_index *index = hf_blob_index_new();
    struct hf_error err = {0};
    hf_test_fill_texts();
    hf_test_world.repository = hf_test_repository(hf_test_world.directory);
    hf_test_world.repository->has_outlines = hf_test_world.outlined;
    ck_assert_int_eq(mkdir(second_place, 0700), 0);
    hf_repository_open_remote(&hf_test_world.mirror, second_place);
    hf_repository_use_keys(hf_test_world.repository, with);
    hf_repository_use_keys(hf_test_world.mirror, with);
    for (int i = 0; i < HF_TEST_FILES; i++) {
        int64_t bytes;
        const char *kind = hf_test_world.snapshots[i].parent ? "incremental" : "full";
        if (i == HF_TEST_FILES - 1) {
            hf_blob_index_free(index);
            index = NULL;
        }
        hf_test_write_snapshot(hf_test_world.repository, &hf_test_world.snapshots[i], index);
        ck_assert_msg(hf_repository_copy(hf_test_world.repository, hf_test_world.mirror, HF_TEST_SYSTEM, kind,
                                         hf_test_world.snapshots[i].id, false, NULL, NULL, &bytes, &err),
                      "%s", err.text);
        hf_test_world_read_original(i);
        ck_assert_int_eq(bytes, (int64_t)hf_test_world.originals[i].bytes);
    }
    mark_shared();
}

void hf_test_world_setup(void)
{
    hf_test_world.directory = hf_test_temp_directory();
    hf_test_world_write(NULL);
}

void hf_test_world_setup_sealed(void)
{
    hf_test_world.directory = hf_test_temp_directory();
    hf_test_world.keys = hf_test_keys(hf_test_world.directory, HF_TEST_KEY_ONE "\n", NULL, NULL);
    hf_test_world_write(hf_test_world.keys);
}

void hf_test_world_setup_outlined(void)
{
    hf_test_world.outlined = true;
    hf_test_world_setup();
}

void hf_test_world_setup_sealed_outlined(void)
{
    hf_test_world.outlined = true;
    hf_test_world_setup_sealed();
}

void hf_test_world_teardown(void)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        free(hf_test_world.originals[i].path);
        free(hf_test_world.originals[i].data);
    }
    hf_repository_close(hf_test_world.repository);
    hf_repository_close(hf_test_world.mirror);
    hf_keys_free(hf_test_world.keys);
    hf_test_remove_tree(hf_test_world.directory);
    free(hf_test_world.directory);
}

void hf_test_world_restore(void)
{
    for (int i = 0; i < HF_TEST_FILES; i++)
        hf_test_write_file(hf_test_world.originals[i].path, hf_test_world.originals[i].data,
                           hf_test_world.originals[i].bytes);
}

void hf_test_assert_world_sound(const char *what)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        const struct hf_test_state *states =
            hf_test_world.snapshots[i].whole ? hf_test_world.snapshots[i].whole : hf_test_world.snapshots[i].states;
        int count = hf_test_world.snapshots[i].whole ? hf_test_world.snapshots[i].whole_count
                                                     : hf_test_world.snapshots[i].count;
        struct hf_verify_report report;
        struct hf_chain *chain = NULL;
        struct hf_error err = {0};
        ck_assert_msg(hf_repository_verify(hf_test_world.repository, HF_TEST_SYSTEM, hf_test_world.snapshots[i].id,
                                           NULL, &report, &err),
                      "%s: %s", what, err.text);
        ck_assert_msg(hf_chain_load(&chain, hf_test_world.repository, HF_TEST_SYSTEM, hf_test_world.snapshots[i].id,
                                    &err),
                      "%s: %s", what, err.text);
        for (int j = 0; j < count; j++) {
            HF_AUTO(blob) struct hf_blob *blob = NULL;
            size_t bytes = states[j].bytes ? states[j].bytes : strlen(states[j].text);
            ck_assert_msg(hf_chain_read(chain, hf_chain_find(chain, states[j].component), &blob, &err), "%s: %s", what,
                          err.text);
            ck_assert_uint_eq(blob->bytes, bytes);
            ck_assert(memcmp(blob->data, states[j].text, bytes) == 0);
        }
        hf_chain_free(chain);
    }
}

void hf_test_assert_original(int which, const char *what)
{
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(hf_test_world.originals[which].path, &bytes);
    ck_assert_msg(bytes == hf_test_world.originals[which].bytes, "%s: %s has %zu bytes", what,
                  hf_test_world.snapshots[which].id, bytes);
    if (!hf_test_world.keys)
        ck_assert_msg(memcmp(data, hf_test_world.originals[which].data, bytes) == 0, "%s: %s is another file", what,
                      hf_test_world.snapshots[which].id);
}

char *hf_test_outline_path(int which)
{
    return hf_format("%s/%s/" HF_TEST_SYSTEM "/%s.outline", hf_test_world.directory,
                     hf_test_world.snapshots[which].parent ? "full" : "incremental", hf_test_world.snapshots[which].id);
}

void hf_test_assert_outline(int which)
{
    const struct hf_test_original *original = &hf_test_world.originals[which];
    HF_AUTO(free) char *path = hf_test_outline_path(which);
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    ck_assert_uint_eq(bytes, original->header_bytes + original->bytes - original->manifest_at);
    ck_assert_mem_eq(data, original->data, original->header_bytes);
    ck_assert_mem_eq(data + original->header_bytes, original->data + original->manifest_at,
                     original->bytes - original->manifest_at);
}

static void count_leftover(void *context, const char *path, int64_t bytes)
{
    (void)path, (void)bytes;
    ++*(int *)context;
}

bool hf_test_no_temporary_files(void)
{
    int count = 0;
    struct hf_error err = {0};
    ck_assert(hf_repository_sweep(hf_test_world.repository, count_leftover, &count, &err));
    return count == 0;
}

struct hf_repair_report hf_test_repair_with(int which, struct hf_repository *from,
                                            const struct hf_content_source *source)
{
    struct hf_repair_report report;
    struct hf_error err = {0};
    ck_assert_msg(hf_repository_repair(hf_test_world.repository, from, HF_TEST_SYSTEM,
                                       hf_test_world.snapshots[which].parent ? "incremental" : "full",
                                       hf_test_world.snapshots[which].id, source, &hf_test_world.arena, &report, &err),
                  "%s", err.text);
    return report;
}

struct hf_repair_report hf_test_repair(int which)
{
    return hf_test_repair_with(which, NULL, NULL);
}

void hf_test_damage(int which, size_t from, size_t to, char value)
{
    HF_AUTO(free) char *data = hf_alloc(hf_test_world.originals[which].bytes);
    memcpy(data, hf_test_world.originals[which].data, hf_test_world.originals[which].bytes);
    for (size_t i = from; i < to; i++)
        data[i] = value ? (char)(data[i] ^ value) : 0;
    hf_test_write_file(hf_test_world.originals[which].path, data, hf_test_world.originals[which].bytes);
}

struct hf_test_record *hf_test_record_of(int which, const char *text, size_t bytes)
{
    struct hf_hash hash;
    hf_hash_of(text, bytes, &hash);
    for (int i = 0; i < hf_test_world.originals[which].records; i++) {
        if (hf_hash_equal(&hf_test_world.originals[which].record[i].hash, &hash))
            return &hf_test_world.originals[which].record[i];
    }
    ck_abort_msg("no such record");
    return NULL;
}

void hf_test_assert_healed(struct hf_repair_report report, const char *what)
{
    ck_assert_msg(report.outcome == HF_REPAIR_HEALED, "%s: %d, %s", what, (int)report.outcome, report.what);
    ck_assert_int_eq(report.lost_count, 0);
    ck_assert_msg(report.what[0] != '\0', "%s", what);
    hf_test_assert_world_sound(what);
    ck_assert(hf_test_no_temporary_files());
}

bool hf_test_find_in_source(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                            char origin[HF_ORIGIN_BYTES])
{
    const char *const texts[] = {
        hf_test_other_text, "nobody else has this", "state of a", "state of b", hf_test_long_text, hf_test_noise, ""};
    const size_t lengths[] = {HF_TEST_TEXT_BYTES, 20, 10, 10, HF_TEST_TEXT_BYTES, HF_TEST_NOISE_BYTES, 0};
    ck_assert_int_ge(bytes, 0);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct hf_hash own;
        hf_hash_of(texts[i], lengths[i], &own);
        if (!hf_hash_equal(&own, hash))
            continue;
        *out = context ? hf_blob_copy("a lie", 5) : hf_blob_copy(texts[i], lengths[i]);
        snprintf(origin, HF_ORIGIN_BYTES, "the primary");
        return true;
    }
    return false;
}

TCase *hf_test_add_case(Suite *suite, const char *name, void (*before)(void), void (*after)(void))
{
    TCase *cases = tcase_create(name);
    if (before)
        tcase_add_checked_fixture(cases, before, after);
    tcase_set_timeout(cases, 300);
    suite_add_tcase(suite, cases);
    return cases;
}

int hf_test_world_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    hf_arena_done(&hf_test_world.arena);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
