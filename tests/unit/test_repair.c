/* Damage of every kind to every part of every file: it ends in healed, or in damaged with the exact list. */
#include "tests/support/keys.h"
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include "core/auto.h"
#include "core/id.h"
#include "repository/place.h"
#include "repository/repair.h"
#include "repository/snapshot_file.h"

#include <check.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES        5
#define RECORDS_MAX  16
#define RANDOM_CASES 300
#define SEALED_CASES 60
#define TEXT_BYTES   6000
#define NOISE_BYTES  3000

static char *directory;
static struct hf_repository *repository, *mirror;
static struct hf_keys *keys;
static bool outlined; /* else the files are of before there were outlines */

static char long_text[TEXT_BYTES + 1], other_text[TEXT_BYTES + 1], noise[NOISE_BYTES];

static struct hf_test_state first[] = {
    {"a", "state of a", 0, 1, false, NULL},
    {"b", "state of b", 0, 1, false, NULL},
    {"empty", "", 0, 1, false, NULL},
    {"noise", noise, NOISE_BYTES, 1, false, NULL},
    {"text", long_text, TEXT_BYTES, 1, false, NULL},
};
static struct hf_test_state second[] = {
    {"b", "second state of b", 0, 2, false, NULL},
    {"late", other_text, TEXT_BYTES, 1, false, NULL},
};
static struct hf_test_state third[] = {{"a", "state of b", 0, 2, false, NULL}, {"empty", "", 0, 2, true, NULL}};
static struct hf_test_state fourth[] = {{"unique", "nobody else has this", 0, 1, false, NULL}};
static struct hf_test_state whole_second[] = {
    {"a", "state of a", 0, 1, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL},
    {"empty", "", 0, 1, false, NULL},
    {"late", other_text, TEXT_BYTES, 1, false, NULL},
    {"noise", noise, NOISE_BYTES, 1, false, NULL},
    {"text", long_text, TEXT_BYTES, 1, false, NULL},
};
static struct hf_test_state whole_third[] = {
    {"a", "state of b", 0, 2, false, NULL},           {"b", "second state of b", 0, 2, false, NULL},
    {"late", other_text, TEXT_BYTES, 1, false, NULL}, {"noise", noise, NOISE_BYTES, 1, false, NULL},
    {"text", long_text, TEXT_BYTES, 1, false, NULL},
};
static struct hf_test_state whole_fourth[] = {
    {"a", "state of b", 0, 2, false, NULL},           {"b", "second state of b", 0, 2, false, NULL},
    {"late", other_text, TEXT_BYTES, 1, false, NULL}, {"noise", noise, NOISE_BYTES, 1, false, NULL},
    {"text", long_text, TEXT_BYTES, 1, false, NULL},  {"unique", "nobody else has this", 0, 1, false, NULL},
};
/* The second generation has lost "unique" and "late" in the meantime. */
static struct hf_test_state fifth[] = {
    {"a", "state of b", 0, 2, false, NULL},
    {"b", "second state of b", 0, 2, false, NULL},
    {"noise", noise, NOISE_BYTES, 1, false, NULL},
    {"text", long_text, TEXT_BYTES, 1, false, NULL},
};

static const struct hf_test_snapshot snapshots[FILES] = {
    {"full-1", NULL, "full-1", 4, first, HF_TEST_COUNT(first), NULL, 0},
    {"incremental-2", "full-1", "full-1", 7, second, HF_TEST_COUNT(second), whole_second, HF_TEST_COUNT(whole_second)},
    {"incremental-3", "incremental-2", "full-1", 9, third, HF_TEST_COUNT(third), whole_third,
     HF_TEST_COUNT(whole_third)},
    {"incremental-4", "incremental-3", "full-1", 11, fourth, HF_TEST_COUNT(fourth), whole_fourth,
     HF_TEST_COUNT(whole_fourth)},
    {"full-5", NULL, "full-5", 13, fifth, HF_TEST_COUNT(fifth), NULL, 0},
};

/* What each file was like before anything happened to it. */
static struct original {
    char *path, *data;
    size_t bytes, header_bytes, manifest_at;
    size_t record_bytes;
    int records;
    struct record {
        size_t offset, end;
        struct hf_hash hash;
        bool unique; /* in no other file */
    } record[RECORDS_MAX];
} originals[FILES];

static void read_original(int which)
{
    struct original *original = &originals[which];
    const struct hf_test_snapshot *snapshot = &snapshots[which];
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_error err = {0};
    original->path = hf_test_snapshot_path(directory, snapshot);
    original->data = hf_test_read_file(original->path, &original->bytes);
    ck_assert_msg(hf_snapshot_file_open(&file, repository, HF_TEST_SYSTEM, NULL, snapshot->id, &err), "%s", err.text);
    original->header_bytes = (size_t)file->header_bytes;
    original->manifest_at = (size_t)file->footer.manifest_offset;
    original->record_bytes = (size_t)file->record_bytes;
    for (int64_t at = file->header_bytes; at < file->footer.manifest_offset;) {
        struct record *record = &original->record[original->records++];
        struct hf_format_record head;
        ck_assert(hf_snapshot_file_read_record(file, at, &head, &err));
        *record = (struct record){.offset = (size_t)at, .hash = head.hash, .unique = true};
        at += file->record_bytes + head.stored_bytes;
        record->end = (size_t)at;
    }
}

static void mark_shared(void)
{
    for (int i = 0; i < FILES * RECORDS_MAX; i++) {
        for (int j = 0; j < FILES * RECORDS_MAX; j++) {
            struct original *one = &originals[i / RECORDS_MAX], *other = &originals[j / RECORDS_MAX];
            if (one != other && i % RECORDS_MAX < one->records && j % RECORDS_MAX < other->records &&
                hf_hash_equal(&one->record[i % RECORDS_MAX].hash, &other->record[j % RECORDS_MAX].hash))
                one->record[i % RECORDS_MAX].unique = false;
        }
    }
}

static void fill_texts(void)
{
    for (int i = 0; i < TEXT_BYTES; i++) {
        long_text[i] = "abcdefghij klmnop\n"[i % 18 + (i / 500) % 2 * (i % 18 < 17 ? 1 : 0)];
        other_text[i] = "0123456789,"[(i * i + i / 7) % 11];
    }
    unsigned state = 12345;
    for (int i = 0; i < NOISE_BYTES; i++) {
        state = state * 1103515245u + 12345u;
        noise[i] = (char)(state >> 16);
    }
}

static void write_world(const struct hf_keys *with)
{
    HF_AUTO(free) char *second_place = hf_format("%s/mirror", directory);
    struct hf_blob_index *index = hf_blob_index_new();
    struct hf_error err = {0};
    fill_texts();
    repository = hf_test_repository(directory);
    repository->has_outlines = outlined;
    ck_assert_int_eq(mkdir(second_place, 0700), 0);
    hf_repository_open_remote(&mirror, second_place);
    hf_repository_use_keys(repository, with);
    hf_repository_use_keys(mirror, with);
    for (int i = 0; i < FILES; i++) {
        int64_t bytes;
        const char *kind = snapshots[i].parent ? "incremental" : "full";
        if (i == FILES - 1) {
            hf_blob_index_free(index);
            index = NULL;
        }
        hf_test_write_snapshot(repository, &snapshots[i], index);
        ck_assert_msg(hf_repository_copy(repository, mirror, HF_TEST_SYSTEM, kind, snapshots[i].id, false, NULL, NULL,
                                         &bytes, &err),
                      "%s", err.text);
        read_original(i);
        ck_assert_int_eq(bytes, (int64_t)originals[i].bytes);
    }
    mark_shared();
}

static void setup(void)
{
    directory = hf_test_temp_directory();
    write_world(NULL);
}

static void setup_sealed(void)
{
    directory = hf_test_temp_directory();
    keys = hf_test_keys(directory, HF_TEST_KEY_ONE "\n", NULL, NULL);
    write_world(keys);
}

static void setup_outlined(void)
{
    outlined = true;
    setup();
}

static void setup_sealed_outlined(void)
{
    outlined = true;
    setup_sealed();
}

static void teardown(void)
{
    for (int i = 0; i < FILES; i++) {
        free(originals[i].path);
        free(originals[i].data);
    }
    hf_repository_close(repository);
    hf_repository_close(mirror);
    hf_keys_free(keys);
    hf_test_remove_tree(directory);
    free(directory);
}

static void restore_world(void)
{
    for (int i = 0; i < FILES; i++)
        hf_test_write_file(originals[i].path, originals[i].data, originals[i].bytes);
}

/* Every state of every snapshot is there and is the right one. */
static void assert_world_sound(const char *what)
{
    for (int i = 0; i < FILES; i++) {
        const struct hf_test_state *states = snapshots[i].whole ? snapshots[i].whole : snapshots[i].states;
        int count = snapshots[i].whole ? snapshots[i].whole_count : snapshots[i].count;
        struct hf_verify_report report;
        struct hf_chain *chain = NULL;
        struct hf_error err = {0};
        ck_assert_msg(hf_repository_verify(repository, HF_TEST_SYSTEM, snapshots[i].id, NULL, &report, &err), "%s: %s",
                      what, err.text);
        ck_assert_msg(hf_chain_load(&chain, repository, HF_TEST_SYSTEM, snapshots[i].id, &err), "%s: %s", what,
                      err.text);
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

/* The writer is deterministic where nothing is encrypted, so that a healed file is the very same. */
static void assert_file_is_original(int which, const char *what)
{
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(originals[which].path, &bytes);
    ck_assert_msg(bytes == originals[which].bytes, "%s: %s has %zu bytes", what, snapshots[which].id, bytes);
    if (!keys)
        ck_assert_msg(memcmp(data, originals[which].data, bytes) == 0, "%s: %s is another file", what,
                      snapshots[which].id);
}

static void count_leftover(void *context, const char *path, int64_t bytes)
{
    (void)path, (void)bytes;
    ++*(int *)context;
}

static bool no_temporary_files(void)
{
    int count = 0;
    struct hf_error err = {0};
    ck_assert(hf_repository_sweep(repository, count_leftover, &count, &err));
    return count == 0;
}

static struct hf_arena arena;

static struct hf_repair_report repair_with(int which, struct hf_repository *from,
                                           const struct hf_content_source *source)
{
    struct hf_repair_report report;
    struct hf_error err = {0};
    ck_assert_msg(hf_repository_repair(repository, from, HF_TEST_SYSTEM,
                                       snapshots[which].parent ? "incremental" : "full", snapshots[which].id, source,
                                       &arena, &report, &err),
                  "%s", err.text);
    return report;
}

static struct hf_repair_report repair(int which)
{
    return repair_with(which, NULL, NULL);
}

static void damage(int which, size_t from, size_t to, char value)
{
    HF_AUTO(free) char *data = hf_alloc(originals[which].bytes);
    memcpy(data, originals[which].data, originals[which].bytes);
    for (size_t i = from; i < to; i++)
        data[i] = value ? (char)(data[i] ^ value) : 0;
    hf_test_write_file(originals[which].path, data, originals[which].bytes);
}

static struct record *record_of(int which, const char *text, size_t bytes)
{
    struct hf_hash hash;
    hf_hash_of(text, bytes, &hash);
    for (int i = 0; i < originals[which].records; i++) {
        if (hf_hash_equal(&originals[which].record[i].hash, &hash))
            return &originals[which].record[i];
    }
    ck_abort_msg("no such record");
    return NULL;
}

static void assert_healed(struct hf_repair_report report, const char *what)
{
    ck_assert_msg(report.outcome == HF_REPAIR_HEALED, "%s: %d, %s", what, (int)report.outcome, report.what);
    ck_assert_int_eq(report.lost_count, 0);
    ck_assert_msg(report.what[0] != '\0', "%s", what);
    assert_world_sound(what);
    ck_assert(no_temporary_files());
}

START_TEST(sound_files_are_not_touched)
{
    for (int i = 0; i < FILES; i++) {
        struct stat before, after;
        ck_assert_int_eq(stat(originals[i].path, &before), 0);
        struct hf_repair_report report = repair_with(i, mirror, NULL);
        ck_assert_int_eq(report.outcome, HF_REPAIR_SOUND);
        ck_assert_str_eq(report.what, "");
        ck_assert_int_eq(report.bytes_written, 0);
        ck_assert_int_ge(report.bytes_read, (int64_t)(originals[i].bytes - originals[i].header_bytes) - 184);
        ck_assert_int_eq(stat(originals[i].path, &after), 0);
        ck_assert(before.st_ino == after.st_ino);
    }
}
END_TEST

START_TEST(content_comes_from_another_generation)
{
    const struct record *record = record_of(0, long_text, TEXT_BYTES);
    damage(0, record->end - 5, record->end - 4, 1);
    struct hf_repair_report report = repair(0);
    assert_healed(report, "text");
    assert_file_is_original(0, "text");
    ck_assert_int_eq(report.contents_healed, 1);
    ck_assert_str_eq(report.origin, "snapshot file full-5");
    ck_assert(!report.file_replaced && !report.file_lost);
}
END_TEST

START_TEST(head_that_was_hit_is_made_again_from_what_it_describes)
{
    const struct record *record = record_of(3, "nobody else has this", 20);
    damage(3, record->offset, record->offset + originals[3].record_bytes, 0);
    struct hf_repair_report report = repair(3);
    assert_healed(report, "head");
    assert_file_is_original(3, "head");
    ck_assert_int_eq(report.contents_healed, 1);
    ck_assert_ptr_nonnull(strstr(report.origin, "own stored bytes"));
}
END_TEST

START_TEST(lost_content_is_named_and_what_can_be_is_healed)
{
    struct original *original = &originals[1];
    damage(1, original->record[0].offset, original->manifest_at, 0x40);
    struct hf_repair_report report = repair(1);
    ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
    ck_assert_int_eq(report.contents_healed, 1);
    ck_assert_int_eq(report.lost_count, 1);
    ck_assert(!report.file_lost);
    struct record *lost = record_of(1, other_text, TEXT_BYTES);
    ck_assert(hf_hash_equal(&report.lost[0].hash, &lost->hash));
    ck_assert_int_eq(report.lost[0].offset, (int64_t)lost->offset);
    /* Still provably damaged, and nothing more is to be done about it. */
    struct stat before, after;
    ck_assert_int_eq(stat(original->path, &before), 0);
    report = repair(1);
    ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
    ck_assert_int_eq(report.lost_count, 1);
    ck_assert_int_eq(report.bytes_written, 0);
    ck_assert_int_eq(stat(original->path, &after), 0);
    ck_assert(before.st_ino == after.st_ino);
    /* Until the mirror comes back. */
    assert_healed(repair_with(1, mirror, NULL), "mirror");
    assert_file_is_original(1, "mirror");
}
END_TEST

static bool find_in_source(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                           char origin[HF_ORIGIN_BYTES])
{
    const char *const texts[] = {other_text, "nobody else has this", "state of a", "state of b", long_text, noise, ""};
    const size_t lengths[] = {TEXT_BYTES, 20, 10, 10, TEXT_BYTES, NOISE_BYTES, 0};
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

START_TEST(content_comes_from_the_primary_and_is_not_believed_blindly)
{
    const struct hf_content_source source = {find_in_source, NULL}, liar = {find_in_source, &arena};
    const struct record *record = record_of(3, "nobody else has this", 20);
    damage(3, record->end - 1, record->end, 1);
    struct hf_repair_report report = repair_with(3, NULL, &liar);
    ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
    ck_assert_int_eq(report.lost_count, 1);
    report = repair_with(3, NULL, &source);
    assert_healed(report, "primary");
    ck_assert_str_eq(report.origin, "the primary");
    assert_file_is_original(3, "primary");
}
END_TEST

START_TEST(header_and_footer_are_made_again_from_the_manifest)
{
    for (int i = 0; i < FILES; i++) {
        size_t bytes = originals[i].bytes;
        damage(i, 0, originals[i].header_bytes, 0);
        assert_healed(repair(i), "header");
        assert_file_is_original(i, "header");
        damage(i, bytes - HF_FORMAT_FOOTER_BYTES, bytes, 0);
        assert_healed(repair(i), "footer");
        assert_file_is_original(i, "footer");
        ck_assert_int_eq(truncate(originals[i].path, (off_t)bytes - 60), 0);
        assert_healed(repair(i), "half a footer");
        assert_file_is_original(i, "half a footer");
        HF_AUTO(free) char *data = hf_alloc(bytes + 1000);
        memcpy(data, originals[i].data, bytes);
        hf_test_write_file(originals[i].path, data, bytes + 1000);
        assert_healed(repair(i), "something appended");
        assert_file_is_original(i, "something appended");
        memset(data, 0, originals[i].header_bytes);
        memset(data + bytes - HF_FORMAT_FOOTER_BYTES, 0xff, HF_FORMAT_FOOTER_BYTES);
        hf_test_write_file(originals[i].path, data, bytes);
        assert_healed(repair(i), "both ends");
        assert_file_is_original(i, "both ends");
    }
}
END_TEST

/* Makes the file one of an older program, whose manifests had no checksums of their own. */
static void write_without_checksums(int which)
{
    struct original *original = &originals[which];
    static const char magic[4] = {0x28, (char)0xb5, 0x2f, (char)0xfd};
    size_t footer_at = original->bytes - HF_FORMAT_FOOTER_BYTES, manifest_at = original->manifest_at;
    struct hf_format_footer footer;
    struct hf_error err = {0};
    char *data = original->data;
    ck_assert(hf_format_decode_footer((unsigned char *)data + footer_at, (int64_t)original->bytes, &footer, &err));
    char *entries = memmem(data + manifest_at + 4, footer_at - manifest_at - 4, magic, sizeof(magic));
    ck_assert_ptr_nonnull(entries);
    data[manifest_at + 4] &= ~4;
    entries[4] &= ~4;
    size_t entries_bytes = (size_t)(data + footer_at - entries) - 4;
    memmove(entries - 4, entries, entries_bytes);
    size_t stored = (size_t)(entries - 4 - (data + manifest_at)) + entries_bytes;
    footer.manifest_stored_bytes = (int64_t)stored;
    footer.file_bytes = (int64_t)(manifest_at + stored + HF_FORMAT_FOOTER_BYTES);
    hf_hash_of(data + manifest_at, stored, &footer.manifest_hash);
    hf_format_encode_footer(&footer, (unsigned char *)data + manifest_at + stored);
    original->bytes = (size_t)footer.file_bytes;
    hf_test_write_file(original->path, data, original->bytes);
}

START_TEST(manifest_without_checksums_is_proven_by_the_root_hash)
{
    for (int i = 0; i < FILES; i++)
        write_without_checksums(i);
    assert_world_sound("no checksums");
    for (int i = 0; i < FILES; i++) {
        damage(i, originals[i].bytes - HF_FORMAT_FOOTER_BYTES, originals[i].bytes, 0);
        assert_healed(repair(i), "no checksums");
        assert_file_is_original(i, "no checksums");
    }
    /* Without what it builds on an incremental has no proof. */
    damage(1, originals[1].bytes - HF_FORMAT_FOOTER_BYTES, originals[1].bytes, 0);
    ck_assert_int_eq(unlink(originals[0].path), 0);
    struct hf_repair_report report = repair(1);
    ck_assert(report.file_lost);
}
END_TEST

/* Both frames of the manifest have checksums, and nothing in the first says that there was a second. */
START_TEST(manifest_that_was_cut_between_its_frames_is_not_taken_for_a_whole_one)
{
    static const char magic[4] = {0x28, (char)0xb5, 0x2f, (char)0xfd};
    for (int i = 0; i < FILES; i++) {
        const struct original *original = &originals[i];
        const char *manifest = original->data + original->manifest_at;
        const char *entries = memmem(manifest + 4, original->bytes - original->manifest_at - 4, magic, sizeof(magic));
        ck_assert_ptr_nonnull(entries);
        ck_assert_int_eq(truncate(original->path, entries - original->data), 0);
        ck_assert(repair(i).file_lost);
        restore_world();
        damage(i, (size_t)(entries - original->data), original->bytes, 0);
        ck_assert(repair(i).file_lost);
        assert_healed(repair_with(i, mirror, NULL), "cut between frames");
    }
}
END_TEST

/* The start of one file in front of the rest of another: both ends are sound, and they do not belong together. */
START_TEST(header_of_another_file_is_replaced)
{
    HF_AUTO(free) char *data = hf_alloc(originals[1].bytes);
    memcpy(data, originals[1].data, originals[1].bytes);
    memcpy(data, originals[2].data, originals[2].header_bytes);
    hf_test_write_file(originals[1].path, data, originals[1].bytes);
    assert_healed(repair(1), "header of another file");
    assert_file_is_original(1, "header of another file");
}
END_TEST

START_TEST(lost_manifest_or_file_comes_from_the_mirror)
{
    for (int i = 0; i < FILES; i++) {
        size_t middle = (originals[i].manifest_at + originals[i].bytes - HF_FORMAT_FOOTER_BYTES) / 2;
        for (int way = 0; way < 3; way++) {
            if (way == 0)
                damage(i, middle, middle + 1, 4);
            else if (way == 1)
                ck_assert_int_eq(truncate(originals[i].path, (off_t)middle), 0);
            else
                ck_assert_int_eq(unlink(originals[i].path), 0);
            struct hf_repair_report report = repair(i);
            ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
            ck_assert(report.file_lost);
            ck_assert_int_eq(report.lost_count, 0);
            report = repair_with(i, mirror, NULL);
            assert_healed(report, "mirror");
            assert_file_is_original(i, "mirror");
            ck_assert(report.file_replaced && !report.file_lost);
            ck_assert_str_eq(report.origin, "the mirror");
        }
    }
}
END_TEST

/* The mirror has the manifest, and what it has lost itself is still in what it replaces. */
START_TEST(two_damaged_copies_make_a_whole_one)
{
    struct original *original = &originals[3];
    const struct record *record = record_of(3, "nobody else has this", 20);
    HF_AUTO(free) char *place = hf_format("%s/mirror", directory);
    HF_AUTO(free) char *path = hf_test_snapshot_path(place, &snapshots[3]);
    HF_AUTO(free) char *data = hf_alloc(original->bytes);
    memcpy(data, original->data, original->bytes);
    data[record->end - 3] ^= 1;
    hf_test_write_file(path, data, original->bytes);
    damage(3, original->manifest_at + 30, original->bytes, 0x55);
    struct hf_repair_report report = repair_with(3, mirror, NULL);
    assert_healed(report, "two damaged copies");
    ck_assert(report.file_replaced);
    ck_assert_int_eq(report.contents_healed, 1);
    assert_file_is_original(3, "two damaged copies");
}
END_TEST

START_TEST(swapped_files_are_swapped_back)
{
    HF_AUTO(free) char *aside = hf_format("%s/aside", directory);
    for (int i = 0; i < FILES; i++) {
        for (int j = 0; j < FILES; j++) {
            if (i == j)
                continue;
            ck_assert_int_eq(rename(originals[i].path, aside), 0);
            ck_assert_int_eq(rename(originals[j].path, originals[i].path), 0);
            ck_assert_int_eq(rename(aside, originals[j].path), 0);
            struct hf_repair_report report = repair(i);
            assert_healed(report, "swapped");
            ck_assert(report.file_replaced);
            ck_assert_int_eq(report.bytes_written, 0);
            ck_assert_int_eq(repair(j).outcome, HF_REPAIR_SOUND);
            assert_file_is_original(i, "swapped");
            assert_file_is_original(j, "swapped");
        }
    }
}
END_TEST

START_TEST(file_under_another_name_is_moved_back)
{
    HF_AUTO(free) char *elsewhere = hf_format("%s/full/" HF_TEST_SYSTEM "/full-99.snapshot", directory);
    ck_assert_int_eq(rename(originals[2].path, elsewhere), 0);
    struct hf_repair_report report = repair(2);
    assert_healed(report, "renamed");
    assert_file_is_original(2, "renamed");
    ck_assert_int_ne(access(elsewhere, F_OK), 0);
    ck_assert_ptr_nonnull(strstr(report.origin, "full-99"));
}
END_TEST

/* Swapped, and one of the two has a bad content besides. */
START_TEST(swapped_and_damaged_file_is_brought_back_and_mended)
{
    const struct record *record = record_of(1, "second state of b", 17);
    damage(1, record->end - 2, record->end, 0x11);
    HF_AUTO(free) char *aside = hf_format("%s/aside", directory);
    ck_assert_int_eq(rename(originals[1].path, aside), 0);
    ck_assert_int_eq(rename(originals[2].path, originals[1].path), 0);
    ck_assert_int_eq(rename(aside, originals[2].path), 0);
    struct hf_repair_report report = repair(1);
    assert_healed(report, "swapped and damaged");
    ck_assert(report.file_replaced);
    ck_assert_int_eq(report.contents_healed, 1);
    assert_file_is_original(1, "swapped and damaged");
    assert_file_is_original(2, "swapped and damaged");
}
END_TEST

static void write_other_system(struct hf_repository *to, const char *text)
{
    struct hf_manifest_header header = hf_test_header(&snapshots[0]);
    struct hf_manifest_entry entry = {.component = "x", .version = 1, .bytes = (int64_t)strlen(text), .blob_file = ""};
    struct hf_snapshot_writer *writer = NULL;
    struct hf_error err = {0};
    int64_t bytes;
    HF_AUTO(free) char *file = NULL;
    header.system = "other";
    header.components = 1;
    hf_hash_of(text, strlen(text), &entry.hash);
    struct hf_hasher *hasher = hf_hasher_new();
    hf_root_hash_add(hasher, "x", &entry.hash);
    hf_hasher_finish(hasher, &header.root_hash);
    hf_hasher_free(hasher);
    ck_assert(hf_snapshot_writer_new(&writer, to, &header, &err));
    ck_assert(hf_snapshot_writer_add_blob(writer, &entry.hash, text, strlen(text), &entry.blob_offset,
                                          &entry.blob_stored_bytes, &err));
    ck_assert(hf_snapshot_writer_add_entry(writer, &entry, &err));
    ck_assert(hf_snapshot_writer_finish(writer, &header, &file, &bytes, &err));
    hf_snapshot_writer_free(writer);
}

/* A sound file of another snapshot is never destroyed, wherever it lies. */
START_TEST(file_of_another_system_goes_home_or_aside)
{
    struct hf_verify_report verify;
    struct hf_error err = {0};
    size_t bytes;
    write_other_system(repository, "of another system");
    HF_AUTO(free) char *home = hf_format("%s/full/other/full-1.snapshot", directory);
    HF_AUTO(free) char *aside = hf_format("%s.displaced-0", originals[0].path);
    ck_assert_int_eq(rename(home, originals[0].path), 0);
    struct hf_repair_report report = repair(0);
    ck_assert(report.file_lost == !outlined);
    ck_assert_ptr_nonnull(strstr(report.what, "other/full-1 under another name"));
    assert_healed(repair_with(0, mirror, NULL), "other system");
    ck_assert_msg(hf_repository_verify(repository, "other", "full-1", NULL, &verify, &err), "%s", err.text);
    /* A copy of what lies at home is no loss. */
    HF_AUTO(free) char *data = hf_test_read_file(home, &bytes);
    hf_test_write_file(originals[0].path, data, bytes);
    assert_healed(repair_with(0, mirror, NULL), "copy of another system");
    ck_assert_msg(hf_repository_verify(repository, "other", "full-1", NULL, &verify, &err), "%s", err.text);
    /* Another one of the same name is. */
    ck_assert_int_eq(rename(home, originals[0].path), 0);
    write_other_system(repository, "and what became of it");
    ck_assert_int_eq(repair_with(0, mirror, NULL).outcome, HF_REPAIR_HEALED);
    assert_world_sound("stranger");
    ck_assert_int_eq(access(aside, F_OK), 0);
    ck_assert(hf_repository_verify(repository, "other", "full-1", NULL, &verify, &err));
}
END_TEST

START_TEST(record_of_another_content_is_put_right)
{
    /* Two records of the same length change places. */
    const struct record *one = record_of(0, "state of a", 10), *two = record_of(0, "state of b", 10);
    size_t length = one->end - one->offset;
    ck_assert_uint_eq(length, two->end - two->offset);
    HF_AUTO(free) char *data = hf_alloc(originals[0].bytes);
    memcpy(data, originals[0].data, originals[0].bytes);
    memcpy(data + one->offset, originals[0].data + two->offset, length);
    memcpy(data + two->offset, originals[0].data + one->offset, length);
    hf_test_write_file(originals[0].path, data, originals[0].bytes);
    struct hf_repair_report report = repair_with(0, mirror, NULL);
    assert_healed(report, "exchanged records");
    ck_assert_int_eq(report.contents_healed, 2);
    assert_file_is_original(0, "exchanged records");
}
END_TEST

/* A source whose own manifest is gone still has its records. */
START_TEST(contents_are_found_in_files_that_are_damaged_themselves)
{
    const struct record *record = record_of(0, long_text, TEXT_BYTES);
    damage(0, record->end - 5, record->end - 4, 1);
    damage(4, originals[4].manifest_at + 20, originals[4].bytes, 0);
    struct hf_repair_report report = repair(0);
    ck_assert_int_eq(report.outcome, HF_REPAIR_HEALED);
    assert_file_is_original(0, "unsound source");
}
END_TEST

START_TEST(unreadable_place_is_no_verdict)
{
    struct hf_repair_report report;
    struct hf_error err = {0};
    ck_assert_int_eq(unlink(originals[0].path), 0);
    ck_assert_int_eq(symlink("/dev/null", originals[0].path), 0);
    ck_assert(!hf_repository_repair(repository, mirror, HF_TEST_SYSTEM, "full", "full-1", NULL, &arena, &report, &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert(!hf_repository_repair(repository, mirror, "..", "full", "full-1", NULL, &arena, &report, &err));
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
}
END_TEST

/* The mirror may have it: as long as nobody could look, nothing is lost. What is found elsewhere is healed all the
 * same. */
START_TEST(source_that_cannot_be_read_is_no_verdict)
{
    struct hf_repair_report report;
    struct hf_error err = {0};
    size_t bytes;
    const struct record *unique = record_of(3, "nobody else has this", 20), *shared = record_of(0, noise, NOISE_BYTES);
    HF_AUTO(free) char *place = hf_format("%s/mirror/incremental/" HF_TEST_SYSTEM, directory);
    HF_AUTO(free) char *aside = hf_format("%s/aside", directory);
    ck_assert_int_eq(rename(place, aside), 0);
    hf_test_write_file(place, "not a directory", 15);
    damage(3, unique->end - 1, unique->end, 1);
    HF_AUTO(free) char *before = hf_test_read_file(originals[3].path, &bytes);
    ck_assert(!hf_repository_repair(repository, mirror, HF_TEST_SYSTEM, "incremental", "incremental-4", NULL, &arena,
                                    &report, &err));
    ck_assert_int_eq(err.code, HF_IO);
    HF_AUTO(free) char *after = hf_test_read_file(originals[3].path, &bytes);
    ck_assert_mem_eq(before, after, bytes);
    ck_assert(no_temporary_files());
    damage(0, shared->end - 1, shared->end, 1);
    ck_assert_int_eq(repair_with(0, mirror, NULL).outcome, HF_REPAIR_HEALED);
    ck_assert_int_eq(unlink(place), 0);
    ck_assert_int_eq(rename(aside, place), 0);
    assert_healed(repair_with(3, mirror, NULL), "mirror back");
}
END_TEST

START_TEST(content_is_found_by_its_hash_in_any_sound_file)
{
    struct hf_hash hash;
    struct hf_blob *blob = NULL;
    struct hf_error err = {0};
    char origin[HF_ORIGIN_BYTES] = "";
    bool found = false;
    hf_hash_of(long_text, TEXT_BYTES, &hash);
    damage(0, originals[0].record[0].offset, originals[0].manifest_at, 0);
    ck_assert(hf_repository_find_content(repository, HF_TEST_SYSTEM, &hash, &blob, origin, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(origin, "snapshot file full-5");
    ck_assert_uint_eq(blob->bytes, TEXT_BYTES);
    ck_assert(memcmp(blob->data, long_text, TEXT_BYTES) == 0);
    hf_blob_unref(blob);
    hash.bytes[3] ^= 1;
    ck_assert(hf_repository_find_content(repository, HF_TEST_SYSTEM, &hash, &blob, origin, &found, &err));
    ck_assert(!found);
}
END_TEST

/* ---- at random ---- */

enum harm { HARM_FLIP, HARM_BYTES, HARM_ZEROS, HARM_CUT, HARM_APPEND, HARM_DELETE, HARM_SWAP, HARM_OVERWRITE, HARMS };

static unsigned random_state;

static size_t pick(size_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (size_t)(((uint64_t)(random_state >> 4) * below) >> 28);
}

/* Does the harm, and tells what the file's bytes are then (owns; NULL: not a matter of bytes). */
static char *harm_file(enum harm harm, int which, int other, size_t *bytes_out)
{
    struct original *original = &originals[which];
    size_t bytes = original->bytes, at = pick(bytes), length = 1 + pick(pick(4) ? 200 : 4000);
    char *data = hf_alloc(bytes + length);
    memcpy(data, original->data, bytes);
    size_t end = at + length < bytes ? at + length : bytes;
    if (harm == HARM_FLIP)
        data[at] ^= (char)(1 << pick(8));
    else if (harm == HARM_BYTES)
        for (size_t i = 0; i < 1 + length % 5; i++)
            data[pick(bytes)] ^= (char)(1 + pick(255));
    else if (harm == HARM_ZEROS)
        memset(data + at, 0, end - at);
    else if (harm == HARM_CUT)
        bytes = at;
    else if (harm == HARM_APPEND)
        bytes += length;
    if (harm <= HARM_APPEND) {
        hf_test_write_file(original->path, data, bytes);
        *bytes_out = bytes;
        return data;
    }
    free(data);
    ck_assert_int_eq(unlink(original->path), 0);
    if (harm != HARM_DELETE)
        hf_test_write_file(original->path, originals[other].data, originals[other].bytes);
    if (harm == HARM_SWAP)
        hf_test_write_file(originals[other].path, original->data, original->bytes);
    return NULL;
}

static size_t differing(const char *data, size_t bytes, const struct original *original, size_t from, size_t to)
{
    size_t count = 0;
    for (size_t i = from; i < to; i++)
        count += i >= bytes || data[i] != original->data[i];
    return count;
}

/* What must be lost without mirror and primary. */
struct expected {
    bool file;
    int lost;
    struct hf_hash hash[RECORDS_MAX];
};

static struct expected expect(enum harm harm, int which, const char *data, size_t bytes, bool source)
{
    const struct original *original = &originals[which];
    struct expected expected = {0};
    size_t footer_at = original->bytes - HF_FORMAT_FOOTER_BYTES;
    if (outlined) {
        for (int i = 0; i < original->records && harm != HARM_SWAP && !source; i++) {
            const struct record *record = &original->record[i];
            bool empty = record->end == record->offset + original->record_bytes; /* made again from nothing */
            if (record->unique && !empty &&
                (!data || differing(data, bytes, original, record->offset + original->record_bytes, record->end) > 0))
                expected.hash[expected.lost++] = record->hash;
        }
        return expected;
    }
    if (!data) {
        expected.file = harm != HARM_SWAP;
        return expected;
    }
    size_t header = differing(data, bytes, original, 0, original->header_bytes);
    size_t footer = differing(data, bytes, original, footer_at, original->bytes);
    expected.file = differing(data, bytes, original, original->manifest_at, footer_at) > 0;
    /* Salt and key of an encrypted file are in its header alone; of a footer that was cut, the length is gone; and
     * where the manifest begins, the footer says and the last record. */
    if (keys) {
        const struct record *last = original->records ? &original->record[original->records - 1] : NULL;
        if (header > 1 || (header && footer) || bytes < original->bytes ||
            (last && differing(data, bytes, original, footer_at, footer_at + 8) > 0 &&
             differing(data, bytes, original, last->offset, last->offset + original->record_bytes) > 0))
            expected.file = true;
    }
    for (int i = 0; i < original->records && !expected.file && !source; i++) {
        const struct record *record = &original->record[i];
        if (record->unique &&
            differing(data, bytes, original, record->offset + original->record_bytes, record->end) > 0)
            expected.hash[expected.lost++] = record->hash;
    }
    return expected;
}

static void run_random_case(int number)
{
    const struct hf_content_source from_primary = {find_in_source, NULL};
    enum harm harm = (enum harm)pick(HARMS);
    int which = (int)pick(FILES), other = (which + 1 + (int)pick(FILES - 1)) % FILES;
    bool with_mirror = pick(3) == 0, with_source = pick(4) == 0;
    size_t bytes = 0;
    HF_AUTO(free) char *data = harm_file(harm, which, other, &bytes);
    struct expected expected = expect(harm, which, data, bytes, with_source);
    struct hf_repair_report report =
        repair_with(which, with_mirror ? mirror : NULL, with_source ? &from_primary : NULL);
    char what[128];
    snprintf(what, sizeof(what), "case %d: harm %d to %s", number, (int)harm, snapshots[which].id);
    ck_assert(no_temporary_files());
    if (with_mirror)
        expected = (struct expected){0};
    ck_assert_msg(report.file_lost == expected.file, "%s: %s", what, report.what);
    ck_assert_msg(report.lost_count == expected.lost, "%s: %lld lost: %s", what, (long long)report.lost_count,
                  report.what);
    for (int i = 0; i < expected.lost; i++)
        ck_assert_msg(hf_hash_equal(&report.lost[i].hash, &expected.hash[i]), "%s", what);
    bool whole = !expected.file && expected.lost == 0;
    ck_assert_msg((report.outcome == HF_REPAIR_DAMAGED) == !whole, "%s: %s", what, report.what);
    if (whole) {
        assert_file_is_original(which, what);
        assert_world_sound(what);
    } else {
        struct hf_verify_report verify;
        struct hf_error err = {0};
        ck_assert(!hf_repository_verify(repository, HF_TEST_SYSTEM, snapshots[which].id, NULL, &verify, &err));
        ck_assert_msg(err.code == HF_DAMAGED || err.code == HF_NOT_FOUND, "%s: %s", what, err.text);
    }
}

static void run_random_cases(unsigned seed, int count)
{
    random_state = seed;
    for (int i = 0; i < count; i++) {
        restore_world();
        run_random_case(i);
    }
}

START_TEST(random_harm_ends_in_healed_or_in_the_exact_list)
{
    run_random_cases(20261123, RANDOM_CASES);
}
END_TEST

START_TEST(random_harm_to_encrypted_files_ends_the_same_way)
{
    ck_assert_uint_eq(originals[0].record_bytes, HF_FORMAT_RECORD_BYTES_MAX);
    run_random_cases(47, SEALED_CASES);
}
END_TEST

START_TEST(encrypted_file_with_one_wrong_byte_in_its_header_is_healed)
{
    for (size_t at = 0; at < originals[1].header_bytes; at += 7) {
        damage(1, at, at + 1, 0x21);
        assert_healed(repair(1), "one byte");
    }
    damage(1, originals[1].bytes - HF_FORMAT_FOOTER_BYTES, originals[1].bytes, 0);
    assert_healed(repair(1), "footer");
}
END_TEST

START_TEST(file_whose_key_is_missing_gets_no_verdict)
{
    struct hf_repair_report report;
    struct hf_verify_report verify;
    struct hf_error err = {0};
    size_t bytes;
    const struct record *record = &originals[0].record[0];
    damage(0, record->offset + 10, record->end, 0x21);
    HF_AUTO(free) char *before = hf_test_read_file(originals[0].path, &bytes);
    hf_repository_use_keys(repository, NULL);
    ck_assert(!hf_repository_repair(repository, NULL, HF_TEST_SYSTEM, "full", "full-1", NULL, &arena, &report, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    ck_assert(!hf_repository_verify(repository, HF_TEST_SYSTEM, "full-1", NULL, &verify, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    HF_AUTO(free) char *after = hf_test_read_file(originals[0].path, &bytes);
    ck_assert_mem_eq(before, after, bytes);
}
END_TEST

/* ---- with outlines ---- */

static char *outline_path(int which)
{
    return hf_format("%s/%s/" HF_TEST_SYSTEM "/%s.outline", directory, snapshots[which].parent ? "full" : "incremental",
                     snapshots[which].id);
}

/* Header, manifest and footer, byte for byte. */
static void assert_outline_is_right(int which)
{
    const struct original *original = &originals[which];
    HF_AUTO(free) char *path = outline_path(which);
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    ck_assert_uint_eq(bytes, original->header_bytes + original->bytes - original->manifest_at);
    ck_assert_mem_eq(data, original->data, original->header_bytes);
    ck_assert_mem_eq(data + original->header_bytes, original->data + original->manifest_at,
                     original->bytes - original->manifest_at);
}

START_TEST(outline_is_written_with_the_snapshot_and_deleted_with_it)
{
    struct hf_error err = {0};
    int64_t freed;
    for (int i = 0; i < FILES; i++) {
        HF_AUTO(free) char *path = outline_path(i);
        assert_outline_is_right(i);
        ck_assert(hf_repository_delete(repository, HF_TEST_SYSTEM, snapshots[i].parent ? "incremental" : "full",
                                       snapshots[i].id, &freed, &err));
        ck_assert_int_eq(freed, (int64_t)originals[i].bytes);
        ck_assert_int_ne(access(path, F_OK), 0);
    }
}
END_TEST

/* Everything in it is elsewhere too. */
START_TEST(deleted_file_is_made_again_from_other_generations)
{
    ck_assert_int_eq(unlink(originals[4].path), 0);
    struct hf_repair_report report = repair(4);
    assert_healed(report, "deleted");
    assert_file_is_original(4, "deleted");
    ck_assert_int_eq(report.contents_healed, originals[4].records);
    ck_assert_ptr_nonnull(strstr(report.what, "there is no snapshot file"));
    assert_outline_is_right(4);
}
END_TEST

START_TEST(deleted_file_lacks_only_what_is_nowhere_else)
{
    ck_assert_int_eq(unlink(originals[1].path), 0);
    struct hf_repair_report report = repair(1);
    ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
    ck_assert(!report.file_lost);
    ck_assert_int_eq(report.lost_count, 1);
    const struct record *lost = record_of(1, other_text, TEXT_BYTES);
    ck_assert(hf_hash_equal(&report.lost[0].hash, &lost->hash));
    /* What was found is in its place again. */
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    ck_assert(hf_chain_load(&chain, repository, HF_TEST_SYSTEM, "incremental-2", &err));
    ck_assert_msg(hf_chain_read(chain, hf_chain_find(chain, "b"), &blob, &err), "%s", err.text);
    ck_assert(!hf_chain_read(chain, hf_chain_find(chain, "late"), &blob, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_chain_free(chain);
    assert_healed(repair_with(1, mirror, NULL), "mirror");
    assert_file_is_original(1, "mirror");
}
END_TEST

START_TEST(lost_manifest_comes_from_the_outline)
{
    for (int i = 0; i < FILES; i++) {
        size_t middle = (originals[i].manifest_at + originals[i].bytes) / 2;
        for (int way = 0; way < 4; way++) {
            if (way == 0)
                damage(i, originals[i].manifest_at, originals[i].bytes, 0);
            else if (way == 1)
                ck_assert_int_eq(truncate(originals[i].path, (off_t)middle), 0);
            else if (way == 2)
                damage(i, 0, originals[i].header_bytes, 0);
            else
                damage(i, middle, middle + 1, 4);
            struct hf_repair_report report = repair(i);
            assert_healed(report, "outline");
            assert_file_is_original(i, "outline");
            ck_assert_str_eq(report.origin, "its outline");
        }
    }
}
END_TEST

START_TEST(outline_that_is_damaged_or_missing_is_made_again)
{
    struct hf_error err = {0};
    for (int i = 0; i < FILES; i++) {
        const char *kind = snapshots[i].parent ? "incremental" : "full";
        HF_AUTO(free) char *path = outline_path(i);
        size_t bytes;
        HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
        for (size_t at = 0; at < bytes; at += 1 + bytes / 40) {
            data[at] ^= 8;
            hf_test_write_file(path, data, bytes);
            data[at] ^= 8;
            ck_assert_int_eq(repair(i).outcome, HF_REPAIR_SOUND);
            assert_outline_is_right(i);
        }
        ck_assert_int_eq(truncate(path, (off_t)bytes / 2), 0);
        ck_assert(hf_repository_ensure_outline(repository, HF_TEST_SYSTEM, kind, snapshots[i].id, &err));
        assert_outline_is_right(i);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert(hf_repository_ensure_outline(repository, HF_TEST_SYSTEM, kind, snapshots[i].id, &err));
        assert_outline_is_right(i);
        struct stat before, after;
        ck_assert_int_eq(stat(path, &before), 0);
        ck_assert(hf_repository_ensure_outline(repository, HF_TEST_SYSTEM, kind, snapshots[i].id, &err));
        ck_assert_int_eq(stat(path, &after), 0);
        ck_assert(before.st_ino == after.st_ino);
    }
}
END_TEST

START_TEST(both_damaged_is_lost_unless_the_mirror_has_it)
{
    for (int i = 0; i < FILES; i++) {
        size_t manifest = originals[i].manifest_at + 30;
        HF_AUTO(free) char *path = outline_path(i);
        damage(i, manifest, originals[i].bytes, 0x55);
        ck_assert_int_eq(truncate(path, (off_t)originals[i].header_bytes + 40), 0);
        struct hf_repair_report report = repair(i);
        ck_assert(report.file_lost);
        ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
        assert_healed(repair_with(i, mirror, NULL), "mirror");
        assert_file_is_original(i, "mirror");
        assert_outline_is_right(i);
    }
}
END_TEST

static void swap_paths(const char *one, const char *other)
{
    HF_AUTO(free) char *aside = hf_format("%s/aside", directory);
    ck_assert_int_eq(rename(one, aside), 0);
    ck_assert_int_eq(rename(other, one), 0);
    ck_assert_int_eq(rename(aside, other), 0);
}

/* Whatever took whose name: nothing is lost by it, and nothing is written over that is needed. */
START_TEST(outlines_that_changed_names_come_home)
{
    for (int i = 0; i < FILES; i++) {
        for (int j = 0; j < 2 * FILES; j++) {
            bool with_outline = j < FILES;
            HF_AUTO(free) char *one = outline_path(i);
            HF_AUTO(free) char *other = with_outline ? outline_path(j) : hf_strdup(originals[j - FILES].path);
            if (strcmp(one, other) == 0)
                continue;
            for (int back = 0; back < 2; back++) {
                swap_paths(one, other);
                for (int turn = 0; turn < 2; turn++) { /* what could not be done at once is done then */
                    for (int k = 0; k < FILES; k++) {
                        int which = back ? FILES - 1 - k : k;
                        struct hf_repair_report report = repair(which);
                        ck_assert_msg(report.outcome != HF_REPAIR_DAMAGED, "%s and %s: %s: %s", one, other,
                                      snapshots[which].id, report.what);
                    }
                }
                assert_world_sound("changed names");
                for (int k = 0; k < FILES; k++) {
                    assert_file_is_original(k, "changed names");
                    assert_outline_is_right(k);
                }
            }
        }
    }
}
END_TEST

/* The list is exact though the file is gone. */
START_TEST(salvage_reads_the_manifest_of_the_outline)
{
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    bool whole = false;
    char why[480];
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(unlink(originals[i].path), 0);
    ck_assert_msg(hf_chain_salvage(&chain, repository, HF_TEST_SYSTEM, "incremental-4", &whole, why, &err), "%s",
                  err.text);
    ck_assert_msg(whole, "%s", why);
    ck_assert_msg(hf_chain_read(chain, hf_chain_find(chain, "unique"), &blob, &err), "%s", err.text);
    ck_assert(!hf_chain_read(chain, hf_chain_find(chain, "late"), &blob, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_chain_free(chain);
    ck_assert(!hf_chain_load(&chain, repository, HF_TEST_SYSTEM, "incremental-4", &err));
}
END_TEST

/* A content that is in the file and in no manifest; nothing says what it was once its head is gone. */
START_TEST(gap_that_nothing_refers_to_is_filled)
{
    static const struct hf_test_state only[] = {{"a", "state of a", 0, 1, false, NULL}};
    struct hf_test_snapshot snapshot = {"full-8", NULL, "full-8", 20, only, 1, NULL, 0};
    struct hf_manifest_header header = hf_test_header(&snapshot);
    struct hf_manifest_entry entry = {.component = "a", .version = 1, .bytes = 10, .blob_file = ""};
    struct hf_snapshot_writer *writer = NULL;
    struct hf_repair_report report;
    struct hf_verify_report verify;
    struct hf_error err = {0};
    struct hf_hash hash;
    int64_t at, stored, bytes;
    HF_AUTO(free) char *file = NULL;
    hf_hash_of("nobody", 6, &hash);
    hf_hash_of("state of a", 10, &entry.hash);
    ck_assert(hf_snapshot_writer_new(&writer, repository, &header, &err));
    ck_assert(hf_snapshot_writer_add_blob(writer, &hash, "nobody", 6, &at, &stored, &err));
    ck_assert(hf_snapshot_writer_add_blob(writer, &entry.hash, "state of a", 10, &entry.blob_offset,
                                          &entry.blob_stored_bytes, &err));
    ck_assert(hf_snapshot_writer_add_entry(writer, &entry, &err));
    ck_assert(hf_snapshot_writer_finish(writer, &header, &file, &bytes, &err));
    hf_snapshot_writer_free(writer);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &snapshot);
    size_t length;
    HF_AUTO(free) char *data = hf_test_read_file(path, &length);
    memset(data + at, 0, (size_t)(entry.blob_offset - at));
    hf_test_write_file(path, data, length);
    ck_assert(!hf_repository_verify(repository, HF_TEST_SYSTEM, "full-8", NULL, &verify, &err));
    ck_assert_msg(hf_repository_repair(repository, NULL, HF_TEST_SYSTEM, "full", "full-8", NULL, &arena, &report, &err),
                  "%s", err.text);
    ck_assert_msg(report.outcome == HF_REPAIR_HEALED, "%s", report.what);
    ck_assert_msg(hf_repository_verify(repository, HF_TEST_SYSTEM, "full-8", NULL, &verify, &err), "%s", err.text);
}
END_TEST

#ifdef HF_FAULTS
/* ---- interrupted ---- */

static const char *const points[] = {"repair_before_write", "repair_before_exchange", "repair_after_exchange"};

/* In a process of its own: the fault points are read once. */
static void repair_with_fault(const char *point, const char *action)
{
    struct hf_repair_report report;
    struct hf_error err = {0};
    HF_AUTO(free) char *spec = hf_format("%s:%s", point, action);
    setenv("HOLDFAST_FAULT", spec, 1);
    write_world(NULL);
    const struct record *record = record_of(0, long_text, TEXT_BYTES);
    damage(0, record->end - 5, record->end - 4, 1);
    bool ok = hf_repository_repair(repository, NULL, HF_TEST_SYSTEM, "full", "full-1", NULL, &arena, &report, &err);
    _exit(ok || err.code != HF_IO ? 1 : 137);
}

static void write_with_fault(const char *point, const char *action)
{
    struct hf_error err = {0};
    int64_t bytes;
    HF_AUTO(free) char *spec = hf_format("%s:%s", point, action);
    setenv("HOLDFAST_FAULT", spec, 1);
    fill_texts();
    repository = hf_test_repository(directory);
    bool ok = hf_test_try_snapshot(repository, &snapshots[0], NULL, &bytes, &err);
    _exit(ok || err.code != HF_IO ? 1 : 137);
}

static bool count_snapshot(void *context, const char *kind, const char *id, int64_t file_bytes)
{
    (void)kind, (void)id, (void)file_bytes;
    ++*(int *)context;
    return true;
}

static void count_outline(void *context, const char *kind, const char *id)
{
    ck_assert_str_eq(kind, "full");
    ck_assert_str_eq(id, "full-1");
    ++*(int *)context;
}

/* At worst an outline of nothing stays, which the next start removes. */
START_TEST(interrupted_publishing_leaves_no_snapshot)
{
    bool killed = _i % 2, renamed = _i / 2;
    int status, count = 0, outlines = 0;
    struct hf_error err = {0};
    directory = hf_test_temp_directory();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        write_with_fault(renamed ? "snapshot_before_rename" : "outline_before_rename", killed ? "exit" : "error");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 137, "status %x", (unsigned)status);
    repository = hf_test_repository(directory);
    ck_assert(hf_repository_sweep(repository, NULL, NULL, &err));
    ck_assert(hf_repository_list(repository, HF_TEST_SYSTEM, count_snapshot, &count, &err));
    ck_assert_int_eq(count, 0);
    ck_assert(hf_repository_list_outlines(repository, HF_TEST_SYSTEM, count_outline, &outlines, &err));
    ck_assert_int_eq(outlines, killed && renamed);
    fill_texts();
    hf_test_write_snapshot(repository, &snapshots[0], NULL);
    read_original(0);
    assert_outline_is_right(0);
    free(originals[0].path);
    free(originals[0].data);
    hf_repository_close(repository);
    hf_test_remove_tree(directory);
    free(directory);
}
END_TEST

/* Twice for each point. */
START_TEST(interrupted_repair_leaves_the_old_file_or_the_new_one)
{
    const char *point = points[_i / 2];
    struct hf_repair_report report;
    struct hf_error err = {0};
    int status;
    directory = hf_test_temp_directory();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        repair_with_fault(point, _i % 2 ? "exit" : "error");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 137, "%s: status %x", point, (unsigned)status);
    repository = hf_test_repository(directory);
    ck_assert(hf_repository_sweep(repository, NULL, NULL, &err));
    fill_texts();
    report = repair(0);
    bool done = strcmp(point, "repair_after_exchange") == 0;
    ck_assert_msg(report.outcome == (done ? HF_REPAIR_SOUND : HF_REPAIR_HEALED), "%s: %s", point, report.what);
    assert_world_sound(point);
    hf_repository_close(repository);
    hf_test_remove_tree(directory);
    free(directory);
}
END_TEST

#endif

static TCase *add_case(Suite *suite, const char *name, void (*before)(void), void (*after)(void))
{
    TCase *cases = tcase_create(name);
    if (before)
        tcase_add_checked_fixture(cases, before, after);
    tcase_set_timeout(cases, 300);
    suite_add_tcase(suite, cases);
    return cases;
}

int main(void)
{
    Suite *suite = suite_create("repair");
    hf_arena_init(&arena);
    TCase *cases = add_case(suite, "plain", setup, teardown);
    tcase_add_test(cases, sound_files_are_not_touched);
    tcase_add_test(cases, content_comes_from_another_generation);
    tcase_add_test(cases, head_that_was_hit_is_made_again_from_what_it_describes);
    tcase_add_test(cases, lost_content_is_named_and_what_can_be_is_healed);
    tcase_add_test(cases, content_comes_from_the_primary_and_is_not_believed_blindly);
    tcase_add_test(cases, header_and_footer_are_made_again_from_the_manifest);
    tcase_add_test(cases, manifest_without_checksums_is_proven_by_the_root_hash);
    tcase_add_test(cases, manifest_that_was_cut_between_its_frames_is_not_taken_for_a_whole_one);
    tcase_add_test(cases, header_of_another_file_is_replaced);
    tcase_add_test(cases, lost_manifest_or_file_comes_from_the_mirror);
    tcase_add_test(cases, two_damaged_copies_make_a_whole_one);
    tcase_add_test(cases, swapped_files_are_swapped_back);
    tcase_add_test(cases, file_under_another_name_is_moved_back);
    tcase_add_test(cases, swapped_and_damaged_file_is_brought_back_and_mended);
    tcase_add_test(cases, file_of_another_system_goes_home_or_aside);
    tcase_add_test(cases, record_of_another_content_is_put_right);
    tcase_add_test(cases, contents_are_found_in_files_that_are_damaged_themselves);
    tcase_add_test(cases, unreadable_place_is_no_verdict);
    tcase_add_test(cases, source_that_cannot_be_read_is_no_verdict);
    tcase_add_test(cases, content_is_found_by_its_hash_in_any_sound_file);
    tcase_add_test(cases, random_harm_ends_in_healed_or_in_the_exact_list);
    cases = add_case(suite, "outlines", setup_outlined, teardown);
    tcase_add_test(cases, outline_is_written_with_the_snapshot_and_deleted_with_it);
    tcase_add_test(cases, deleted_file_is_made_again_from_other_generations);
    tcase_add_test(cases, deleted_file_lacks_only_what_is_nowhere_else);
    tcase_add_test(cases, lost_manifest_comes_from_the_outline);
    tcase_add_test(cases, outline_that_is_damaged_or_missing_is_made_again);
    tcase_add_test(cases, both_damaged_is_lost_unless_the_mirror_has_it);
    tcase_add_test(cases, outlines_that_changed_names_come_home);
    tcase_add_test(cases, swapped_files_are_swapped_back);
    tcase_add_test(cases, file_of_another_system_goes_home_or_aside);
    tcase_add_test(cases, salvage_reads_the_manifest_of_the_outline);
    tcase_add_test(cases, gap_that_nothing_refers_to_is_filled);
    tcase_add_test(cases, random_harm_ends_in_healed_or_in_the_exact_list);
    cases = add_case(suite, "encrypted outlines", setup_sealed_outlined, teardown);
    tcase_add_test(cases, random_harm_to_encrypted_files_ends_the_same_way);
    tcase_add_test(cases, deleted_file_lacks_only_what_is_nowhere_else);
    tcase_add_test(cases, lost_manifest_comes_from_the_outline);
    cases = add_case(suite, "encrypted", setup_sealed, teardown);
    tcase_add_test(cases, random_harm_to_encrypted_files_ends_the_same_way);
    tcase_add_test(cases, encrypted_file_with_one_wrong_byte_in_its_header_is_healed);
    tcase_add_test(cases, file_whose_key_is_missing_gets_no_verdict);
#ifdef HF_FAULTS
    cases = add_case(suite, "interrupted", NULL, NULL);
    tcase_add_loop_test(cases, interrupted_publishing_leaves_no_snapshot, 0, 4);
    tcase_add_loop_test(cases, interrupted_repair_leaves_the_old_file_or_the_new_one, 0, 2 * HF_TEST_COUNT(points));
#endif
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    hf_arena_done(&arena);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
