/* Damage of every kind to every part of every file: it ends in healed, or in damaged with the exact list. */
#include "tests/support/repair_world.h"
#include "tests/support/temp.h"

#include "core/auto.h"
#include "repository/format.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(sound_files_are_not_touched)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        struct stat before, after;
        ck_assert_int_eq(stat(hf_test_world.originals[i].path, &before), 0);
        struct hf_repair_report report = hf_test_repair_with(i, hf_test_world.mirror, NULL);
        ck_assert_int_eq(report.outcome, HF_REPAIR_SOUND);
        ck_assert_str_eq(report.what, "");
        ck_assert_int_eq(report.bytes_written, 0);
        ck_assert_int_ge(report.bytes_read,
                         (int64_t)(hf_test_world.originals[i].bytes - hf_test_world.originals[i].header_bytes) - 184);
        ck_assert_int_eq(stat(hf_test_world.originals[i].path, &after), 0);
        ck_assert(before.st_ino == after.st_ino);
    }
}
END_TEST

START_TEST(content_comes_from_another_generation)
{
    const struct hf_test_record *record = hf_test_record_of(0, hf_test_long_text, HF_TEST_TEXT_BYTES);
    hf_test_damage(0, record->end - 5, record->end - 4, 1);
    struct hf_repair_report report = hf_test_repair(0);
    hf_test_assert_healed(report, "text");
    hf_test_assert_original(0, "text");
    ck_assert_int_eq(report.contents_healed, 1);
    ck_assert_str_eq(report.origin, "snapshot file full-5");
    ck_assert(!report.file_replaced && !report.file_lost);
}
END_TEST

START_TEST(head_that_was_hit_is_made_again_from_what_it_describes)
{
    const struct hf_test_record *record = hf_test_record_of(3, "nobody else has this", 20);
    hf_test_damage(3, record->offset, record->offset + hf_test_world.originals[3].record_bytes, 0);
    struct hf_repair_report report = hf_test_repair(3);
    hf_test_assert_healed(report, "head");
    hf_test_assert_original(3, "head");
    ck_assert_int_eq(report.contents_healed, 1);
    ck_assert_ptr_nonnull(strstr(report.origin, "own stored bytes"));
}
END_TEST

START_TEST(lost_content_is_named_and_what_can_be_is_healed)
{
    struct hf_test_original *original = &hf_test_world.originals[1];
    hf_test_damage(1, original->record[0].offset, original->manifest_at, 0x40);
    struct hf_repair_report report = hf_test_repair(1);
    ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
    ck_assert_int_eq(report.contents_healed, 1);
    ck_assert_int_eq(report.lost_count, 1);
    ck_assert(!report.file_lost);
    struct hf_test_record *lost = hf_test_record_of(1, hf_test_other_text, HF_TEST_TEXT_BYTES);
    ck_assert(hf_hash_equal(&report.lost[0].hash, &lost->hash));
    ck_assert_int_eq(report.lost[0].offset, (int64_t)lost->offset);
    /* Still provably damaged, and nothing more is to be done about it. */
    struct stat before, after;
    ck_assert_int_eq(stat(original->path, &before), 0);
    report = hf_test_repair(1);
    ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
    ck_assert_int_eq(report.lost_count, 1);
    ck_assert_int_eq(report.bytes_written, 0);
    ck_assert_int_eq(stat(original->path, &after), 0);
    ck_assert(before.st_ino == after.st_ino);
    /* Until the mirror comes back. */
    hf_test_assert_healed(hf_test_repair_with(1, hf_test_world.mirror, NULL), "mirror");
    hf_test_assert_original(1, "mirror");
}
END_TEST

START_TEST(content_comes_from_the_primary_and_is_not_believed_blindly)
{
    const struct hf_content_source source = {hf_test_find_in_source, NULL},
                                   liar = {hf_test_find_in_source, &hf_test_world.arena};
    const struct hf_test_record *record = hf_test_record_of(3, "nobody else has this", 20);
    hf_test_damage(3, record->end - 1, record->end, 1);
    struct hf_repair_report report = hf_test_repair_with(3, NULL, &liar);
    ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
    ck_assert_int_eq(report.lost_count, 1);
    report = hf_test_repair_with(3, NULL, &source);
    hf_test_assert_healed(report, "primary");
    ck_assert_str_eq(report.origin, "the primary");
    hf_test_assert_original(3, "primary");
}
END_TEST

START_TEST(header_and_footer_are_made_again_from_the_manifest)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        size_t bytes = hf_test_world.originals[i].bytes;
        hf_test_damage(i, 0, hf_test_world.originals[i].header_bytes, 0);
        hf_test_assert_healed(hf_test_repair(i), "header");
        hf_test_assert_original(i, "header");
        hf_test_damage(i, bytes - HF_FORMAT_FOOTER_BYTES, bytes, 0);
        hf_test_assert_healed(hf_test_repair(i), "footer");
        hf_test_assert_original(i, "footer");
        ck_assert_int_eq(truncate(hf_test_world.originals[i].path, (off_t)bytes - 60), 0);
        hf_test_assert_healed(hf_test_repair(i), "half a footer");
        hf_test_assert_original(i, "half a footer");
        HF_AUTO(free) char *data = hf_alloc(bytes + 1000);
        memcpy(data, hf_test_world.originals[i].data, bytes);
        hf_test_write_file(hf_test_world.originals[i].path, data, bytes + 1000);
        hf_test_assert_healed(hf_test_repair(i), "something appended");
        hf_test_assert_original(i, "something appended");
        memset(data, 0, hf_test_world.originals[i].header_bytes);
        memset(data + bytes - HF_FORMAT_FOOTER_BYTES, 0xff, HF_FORMAT_FOOTER_BYTES);
        hf_test_write_file(hf_test_world.originals[i].path, data, bytes);
        hf_test_assert_healed(hf_test_repair(i), "both ends");
        hf_test_assert_original(i, "both ends");
    }
}
END_TEST

/* Makes the file one of an older program, whose manifests had no checksums of their own. */
static void write_without_checksums(int which)
{
    struct hf_test_original *original = &hf_test_world.originals[which];
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
    for (int i = 0; i < HF_TEST_FILES; i++)
        write_without_checksums(i);
    hf_test_assert_world_sound("no checksums");
    for (int i = 0; i < HF_TEST_FILES; i++) {
        hf_test_damage(i, hf_test_world.originals[i].bytes - HF_FORMAT_FOOTER_BYTES, hf_test_world.originals[i].bytes,
                       0);
        hf_test_assert_healed(hf_test_repair(i), "no checksums");
        hf_test_assert_original(i, "no checksums");
    }
    /* Without what it builds on an incremental has no proof. */
    hf_test_damage(1, hf_test_world.originals[1].bytes - HF_FORMAT_FOOTER_BYTES, hf_test_world.originals[1].bytes, 0);
    ck_assert_int_eq(unlink(hf_test_world.originals[0].path), 0);
    struct hf_repair_report report = hf_test_repair(1);
    ck_assert(report.file_lost);
}
END_TEST

/* Both frames of the manifest have checksums, and nothing in the first says that there was a second. */
START_TEST(manifest_that_was_cut_between_its_frames_is_not_taken_for_a_whole_one)
{
    static const char magic[4] = {0x28, (char)0xb5, 0x2f, (char)0xfd};
    for (int i = 0; i < HF_TEST_FILES; i++) {
        const struct hf_test_original *original = &hf_test_world.originals[i];
        const char *manifest = original->data + original->manifest_at;
        const char *entries = memmem(manifest + 4, original->bytes - original->manifest_at - 4, magic, sizeof(magic));
        ck_assert_ptr_nonnull(entries);
        ck_assert_int_eq(truncate(original->path, entries - original->data), 0);
        ck_assert(hf_test_repair(i).file_lost);
        hf_test_world_restore();
        hf_test_damage(i, (size_t)(entries - original->data), original->bytes, 0);
        ck_assert(hf_test_repair(i).file_lost);
        hf_test_assert_healed(hf_test_repair_with(i, hf_test_world.mirror, NULL), "cut between frames");
    }
}
END_TEST

/* The start of one file in front of the rest of another: both ends are sound, and they do not belong together. */
START_TEST(header_of_another_file_is_replaced)
{
    HF_AUTO(free) char *data = hf_alloc(hf_test_world.originals[1].bytes);
    memcpy(data, hf_test_world.originals[1].data, hf_test_world.originals[1].bytes);
    memcpy(data, hf_test_world.originals[2].data, hf_test_world.originals[2].header_bytes);
    hf_test_write_file(hf_test_world.originals[1].path, data, hf_test_world.originals[1].bytes);
    hf_test_assert_healed(hf_test_repair(1), "header of another file");
    hf_test_assert_original(1, "header of another file");
}
END_TEST

START_TEST(lost_manifest_or_file_comes_from_the_mirror)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        size_t middle =
            (hf_test_world.originals[i].manifest_at + hf_test_world.originals[i].bytes - HF_FORMAT_FOOTER_BYTES) / 2;
        for (int way = 0; way < 3; way++) {
            if (way == 0)
                hf_test_damage(i, middle, middle + 1, 4);
            else if (way == 1)
                ck_assert_int_eq(truncate(hf_test_world.originals[i].path, (off_t)middle), 0);
            else
                ck_assert_int_eq(unlink(hf_test_world.originals[i].path), 0);
            struct hf_repair_report report = hf_test_repair(i);
            ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
            ck_assert(report.file_lost);
            ck_assert_int_eq(report.lost_count, 0);
            report = hf_test_repair_with(i, hf_test_world.mirror, NULL);
            hf_test_assert_healed(report, "mirror");
            hf_test_assert_original(i, "mirror");
            ck_assert(report.file_replaced && !report.file_lost);
            ck_assert_str_eq(report.origin, "the mirror");
        }
    }
}
END_TEST

/* The mirror has the manifest, and what it has lost itself is still in what it replaces. */
START_TEST(two_damaged_copies_make_a_whole_one)
{
    struct hf_test_original *original = &hf_test_world.originals[3];
    const struct hf_test_record *record = hf_test_record_of(3, "nobody else has this", 20);
    HF_AUTO(free) char *place = hf_format("%s/mirror", hf_test_world.directory);
    HF_AUTO(free) char *path = hf_test_snapshot_path(place, &hf_test_world.snapshots[3]);
    HF_AUTO(free) char *data = hf_alloc(original->bytes);
    memcpy(data, original->data, original->bytes);
    data[record->end - 3] ^= 1;
    hf_test_write_file(path, data, original->bytes);
    hf_test_damage(3, original->manifest_at + 30, original->bytes, 0x55);
    struct hf_repair_report report = hf_test_repair_with(3, hf_test_world.mirror, NULL);
    hf_test_assert_healed(report, "two damaged copies");
    ck_assert(report.file_replaced);
    ck_assert_int_eq(report.contents_healed, 1);
    hf_test_assert_original(3, "two damaged copies");
}
END_TEST

START_TEST(record_of_another_content_is_put_right)
{
    /* Two records of the same length change places. */
    const struct hf_test_record *one = hf_test_record_of(0, "state of a", 10),
                                *two = hf_test_record_of(0, "state of b", 10);
    size_t length = one->end - one->offset;
    ck_assert_uint_eq(length, two->end - two->offset);
    HF_AUTO(free) char *data = hf_alloc(hf_test_world.originals[0].bytes);
    memcpy(data, hf_test_world.originals[0].data, hf_test_world.originals[0].bytes);
    memcpy(data + one->offset, hf_test_world.originals[0].data + two->offset, length);
    memcpy(data + two->offset, hf_test_world.originals[0].data + one->offset, length);
    hf_test_write_file(hf_test_world.originals[0].path, data, hf_test_world.originals[0].bytes);
    struct hf_repair_report report = hf_test_repair_with(0, hf_test_world.mirror, NULL);
    hf_test_assert_healed(report, "exchanged records");
    ck_assert_int_eq(report.contents_healed, 2);
    hf_test_assert_original(0, "exchanged records");
}
END_TEST

/* A source whose own manifest is gone still has its records. */
START_TEST(contents_are_found_in_files_that_are_damaged_themselves)
{
    const struct hf_test_record *record = hf_test_record_of(0, hf_test_long_text, HF_TEST_TEXT_BYTES);
    hf_test_damage(0, record->end - 5, record->end - 4, 1);
    hf_test_damage(4, hf_test_world.originals[4].manifest_at + 20, hf_test_world.originals[4].bytes, 0);
    struct hf_repair_report report = hf_test_repair(0);
    ck_assert_int_eq(report.outcome, HF_REPAIR_HEALED);
    hf_test_assert_original(0, "unsound source");
}
END_TEST

START_TEST(unreadable_place_is_no_verdict)
{
    struct hf_repair_report report;
    struct hf_error err = {0};
    ck_assert_int_eq(unlink(hf_test_world.originals[0].path), 0);
    ck_assert_int_eq(symlink("/dev/null", hf_test_world.originals[0].path), 0);
    ck_assert(!hf_repository_repair(hf_test_world.repository, hf_test_world.mirror, HF_TEST_SYSTEM, "full", "full-1",
                                    NULL, &hf_test_world.arena, &report, &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert(!hf_repository_repair(hf_test_world.repository, hf_test_world.mirror, "..", "full", "full-1", NULL,
                                    &hf_test_world.arena, &report, &err));
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
    const struct hf_test_record *unique = hf_test_record_of(3, "nobody else has this", 20),
                                *shared = hf_test_record_of(0, hf_test_noise, HF_TEST_NOISE_BYTES);
    HF_AUTO(free) char *place = hf_format("%s/mirror/incremental/" HF_TEST_SYSTEM, hf_test_world.directory);
    HF_AUTO(free) char *aside = hf_format("%s/aside", hf_test_world.directory);
    ck_assert_int_eq(rename(place, aside), 0);
    hf_test_write_file(place, "not a directory", 15);
    hf_test_damage(3, unique->end - 1, unique->end, 1);
    HF_AUTO(free) char *before = hf_test_read_file(hf_test_world.originals[3].path, &bytes);
    ck_assert(!hf_repository_repair(hf_test_world.repository, hf_test_world.mirror, HF_TEST_SYSTEM, "incremental",
                                    "incremental-4", NULL, &hf_test_world.arena, &report, &err));
    ck_assert_int_eq(err.code, HF_IO);
    HF_AUTO(free) char *after = hf_test_read_file(hf_test_world.originals[3].path, &bytes);
    ck_assert_mem_eq(before, after, bytes);
    ck_assert(hf_test_no_temporary_files());
    hf_test_damage(0, shared->end - 1, shared->end, 1);
    ck_assert_int_eq(hf_test_repair_with(0, hf_test_world.mirror, NULL).outcome, HF_REPAIR_HEALED);
    ck_assert_int_eq(unlink(place), 0);
    ck_assert_int_eq(rename(aside, place), 0);
    hf_test_assert_healed(hf_test_repair_with(3, hf_test_world.mirror, NULL), "mirror back");
}
END_TEST

START_TEST(content_is_found_by_its_hash_in_any_sound_file)
{
    struct hf_hash hash;
    struct hf_blob *blob = NULL;
    struct hf_error err = {0};
    char origin[HF_ORIGIN_BYTES] = "";
    bool found = false;
    hf_hash_of(hf_test_long_text, HF_TEST_TEXT_BYTES, &hash);
    hf_test_damage(0, hf_test_world.originals[0].record[0].offset, hf_test_world.originals[0].manifest_at, 0);
    ck_assert(hf_repository_find_content(hf_test_world.repository, HF_TEST_SYSTEM, &hash, &blob, origin, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(origin, "snapshot file full-5");
    ck_assert_uint_eq(blob->bytes, HF_TEST_TEXT_BYTES);
    ck_assert(memcmp(blob->data, hf_test_long_text, HF_TEST_TEXT_BYTES) == 0);
    hf_blob_unref(blob);
    hash.bytes[3] ^= 1;
    ck_assert(hf_repository_find_content(hf_test_world.repository, HF_TEST_SYSTEM, &hash, &blob, origin, &found, &err));
    ck_assert(!found);
}
END_TEST

START_TEST(encrypted_file_with_one_wrong_byte_in_its_header_is_healed)
{
    for (size_t at = 0; at < hf_test_world.originals[1].header_bytes; at += 7) {
        hf_test_damage(1, at, at + 1, 0x21);
        hf_test_assert_healed(hf_test_repair(1), "one byte");
    }
    hf_test_damage(1, hf_test_world.originals[1].bytes - HF_FORMAT_FOOTER_BYTES, hf_test_world.originals[1].bytes, 0);
    hf_test_assert_healed(hf_test_repair(1), "footer");
}
END_TEST

START_TEST(file_whose_key_is_missing_gets_no_verdict)
{
    struct hf_repair_report report;
    struct hf_verify_report verify;
    struct hf_error err = {0};
    size_t bytes;
    const struct hf_test_record *record = &hf_test_world.originals[0].record[0];
    hf_test_damage(0, record->offset + 10, record->end, 0x21);
    HF_AUTO(free) char *before = hf_test_read_file(hf_test_world.originals[0].path, &bytes);
    hf_repository_use_keys(hf_test_world.repository, NULL);
    ck_assert(!hf_repository_repair(hf_test_world.repository, NULL, HF_TEST_SYSTEM, "full", "full-1", NULL,
                                    &hf_test_world.arena, &report, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    ck_assert(!hf_repository_verify(hf_test_world.repository, HF_TEST_SYSTEM, "full-1", NULL, &verify, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    HF_AUTO(free) char *after = hf_test_read_file(hf_test_world.originals[0].path, &bytes);
    ck_assert_mem_eq(before, after, bytes);
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
    hf_test_world_write(NULL);
    const struct hf_test_record *record = hf_test_record_of(0, hf_test_long_text, HF_TEST_TEXT_BYTES);
    hf_test_damage(0, record->end - 5, record->end - 4, 1);
    bool ok = hf_repository_repair(hf_test_world.repository, NULL, HF_TEST_SYSTEM, "full", "full-1", NULL,
                                   &hf_test_world.arena, &report, &err);
    _exit(ok || err.code != HF_IO ? 1 : 137);
}

static void write_with_fault(const char *point, const char *action)
{
    struct hf_error err = {0};
    int64_t bytes;
    HF_AUTO(free) char *spec = hf_format("%s:%s", point, action);
    setenv("HOLDFAST_FAULT", spec, 1);
    hf_test_fill_texts();
    hf_test_world.repository = hf_test_repository(hf_test_world.directory);
    bool ok = hf_test_try_snapshot(hf_test_world.repository, &hf_test_world.snapshots[0], NULL, &bytes, &err);
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
    hf_test_world.directory = hf_test_temp_directory();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        write_with_fault(renamed ? "snapshot_before_rename" : "outline_before_rename", killed ? "exit" : "error");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 137, "status %x", (unsigned)status);
    hf_test_world.repository = hf_test_repository(hf_test_world.directory);
    ck_assert(hf_repository_sweep(hf_test_world.repository, NULL, NULL, &err));
    ck_assert(hf_repository_list(hf_test_world.repository, HF_TEST_SYSTEM, count_snapshot, &count, &err));
    ck_assert_int_eq(count, 0);
    ck_assert(hf_repository_list_outlines(hf_test_world.repository, HF_TEST_SYSTEM, count_outline, &outlines, &err));
    ck_assert_int_eq(outlines, killed && renamed);
    hf_test_fill_texts();
    hf_test_write_snapshot(hf_test_world.repository, &hf_test_world.snapshots[0], NULL);
    hf_test_world_read_original(0);
    hf_test_assert_outline(0);
    free(hf_test_world.originals[0].path);
    free(hf_test_world.originals[0].data);
    hf_repository_close(hf_test_world.repository);
    hf_test_remove_tree(hf_test_world.directory);
    free(hf_test_world.directory);
}
END_TEST

/* Twice for each point. */
START_TEST(interrupted_repair_leaves_the_old_file_or_the_new_one)
{
    const char *point = points[_i / 2];
    struct hf_repair_report report;
    struct hf_error err = {0};
    int status;
    hf_test_world.directory = hf_test_temp_directory();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        repair_with_fault(point, _i % 2 ? "exit" : "error");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 137, "%s: status %x", point, (unsigned)status);
    hf_test_world.repository = hf_test_repository(hf_test_world.directory);
    ck_assert(hf_repository_sweep(hf_test_world.repository, NULL, NULL, &err));
    hf_test_fill_texts();
    report = hf_test_repair(0);
    bool done = strcmp(point, "repair_after_exchange") == 0;
    ck_assert_msg(report.outcome == (done ? HF_REPAIR_SOUND : HF_REPAIR_HEALED), "%s: %s", point, report.what);
    hf_test_assert_world_sound(point);
    hf_repository_close(hf_test_world.repository);
    hf_test_remove_tree(hf_test_world.directory);
    free(hf_test_world.directory);
}
END_TEST

#endif

int main(void)
{
    Suite *suite = suite_create("repair");
    hf_arena_init(&hf_test_world.arena);
    TCase *cases = hf_test_add_case(suite, "plain", hf_test_world_setup, hf_test_world_teardown);
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
    tcase_add_test(cases, record_of_another_content_is_put_right);
    tcase_add_test(cases, contents_are_found_in_files_that_are_damaged_themselves);
    tcase_add_test(cases, unreadable_place_is_no_verdict);
    tcase_add_test(cases, source_that_cannot_be_read_is_no_verdict);
    tcase_add_test(cases, content_is_found_by_its_hash_in_any_sound_file);
    cases = hf_test_add_case(suite, "encrypted", hf_test_world_setup_sealed, hf_test_world_teardown);
    tcase_add_test(cases, encrypted_file_with_one_wrong_byte_in_its_header_is_healed);
    tcase_add_test(cases, file_whose_key_is_missing_gets_no_verdict);
#ifdef HF_FAULTS
    cases = hf_test_add_case(suite, "interrupted", NULL, NULL);
    tcase_add_loop_test(cases, interrupted_publishing_leaves_no_snapshot, 0, 4);
    tcase_add_loop_test(cases, interrupted_repair_leaves_the_old_file_or_the_new_one, 0, 2 * HF_TEST_COUNT(points));
#endif
    return hf_test_world_run(suite);
}
