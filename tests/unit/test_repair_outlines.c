/* What outlines are for: a snapshot whose manifest, or whole file, is gone. */
#include "tests/support/repair_world.h"

#include "core/auto.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(outline_is_written_with_the_snapshot_and_deleted_with_it)
{
    struct hf_error err = {0};
    int64_t freed;
    for (int i = 0; i < HF_TEST_FILES; i++) {
        HF_AUTO(free) char *path = hf_test_outline_path(i);
        hf_test_assert_outline(i);
        ck_assert(hf_repository_delete(hf_test_world.repository, HF_TEST_SYSTEM,
                                       hf_test_world.snapshots[i].parent ? "incremental" : "full",
                                       hf_test_world.snapshots[i].id, &freed, &err));
        ck_assert_int_eq(freed, (int64_t)hf_test_world.originals[i].bytes);
        ck_assert_int_ne(access(path, F_OK), 0);
    }
}
END_TEST

/* Everything in it is elsewhere too. */
START_TEST(deleted_file_is_made_again_from_other_generations)
{
    ck_assert_int_eq(unlink(hf_test_world.originals[4].path), 0);
    struct hf_repair_report report = hf_test_repair(4);
    hf_test_assert_healed(report, "deleted");
    hf_test_assert_original(4, "deleted");
    ck_assert_int_eq(report.contents_healed, hf_test_world.originals[4].records);
    ck_assert_ptr_nonnull(strstr(report.what, "there is no snapshot file"));
    hf_test_assert_outline(4);
}
END_TEST

START_TEST(deleted_file_lacks_only_what_is_nowhere_else)
{
    ck_assert_int_eq(unlink(hf_test_world.originals[1].path), 0);
    struct hf_repair_report report = hf_test_repair(1);
    ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
    ck_assert(!report.file_lost);
    ck_assert_int_eq(report.lost_count, 1);
    const struct hf_test_record *lost = hf_test_record_of(1, hf_test_other_text, HF_TEST_TEXT_BYTES);
    ck_assert(hf_hash_equal(&report.lost[0].hash, &lost->hash));
    /* What was found is in its place again. */
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    ck_assert(hf_chain_load(&chain, hf_test_world.repository, HF_TEST_SYSTEM, "incremental-2", &err));
    ck_assert_msg(hf_chain_read(chain, hf_chain_find(chain, "b"), &blob, &err), "%s", err.text);
    ck_assert(!hf_chain_read(chain, hf_chain_find(chain, "late"), &blob, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_chain_free(chain);
    hf_test_assert_healed(hf_test_repair_with(1, hf_test_world.mirror, NULL), "mirror");
    hf_test_assert_original(1, "mirror");
}
END_TEST

START_TEST(lost_manifest_comes_from_the_outline)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        size_t middle = (hf_test_world.originals[i].manifest_at + hf_test_world.originals[i].bytes) / 2;
        for (int way = 0; way < 4; way++) {
            if (way == 0)
                hf_test_damage(i, hf_test_world.originals[i].manifest_at, hf_test_world.originals[i].bytes, 0);
            else if (way == 1)
                ck_assert_int_eq(truncate(hf_test_world.originals[i].path, (off_t)middle), 0);
            else if (way == 2)
                hf_test_damage(i, 0, hf_test_world.originals[i].header_bytes, 0);
            else
                hf_test_damage(i, middle, middle + 1, 4);
            struct hf_repair_report report = hf_test_repair(i);
            hf_test_assert_healed(report, "outline");
            hf_test_assert_original(i, "outline");
            ck_assert_str_eq(report.origin, "its outline");
        }
    }
}
END_TEST

START_TEST(outline_that_is_damaged_or_missing_is_made_again)
{
    struct hf_error err = {0};
    for (int i = 0; i < HF_TEST_FILES; i++) {
        const char *kind = hf_test_world.snapshots[i].parent ? "incremental" : "full";
        HF_AUTO(free) char *path = hf_test_outline_path(i);
        size_t bytes;
        HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
        for (size_t at = 0; at < bytes; at += 1 + bytes / 40) {
            data[at] ^= 8;
            hf_test_write_file(path, data, bytes);
            data[at] ^= 8;
            ck_assert_int_eq(hf_test_repair(i).outcome, HF_REPAIR_SOUND);
            hf_test_assert_outline(i);
        }
        ck_assert_int_eq(truncate(path, (off_t)bytes / 2), 0);
        ck_assert(hf_repository_ensure_outline(hf_test_world.repository, HF_TEST_SYSTEM, kind,
                                               hf_test_world.snapshots[i].id, &err));
        hf_test_assert_outline(i);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert(hf_repository_ensure_outline(hf_test_world.repository, HF_TEST_SYSTEM, kind,
                                               hf_test_world.snapshots[i].id, &err));
        hf_test_assert_outline(i);
        struct stat before, after;
        ck_assert_int_eq(stat(path, &before), 0);
        ck_assert(hf_repository_ensure_outline(hf_test_world.repository, HF_TEST_SYSTEM, kind,
                                               hf_test_world.snapshots[i].id, &err));
        ck_assert_int_eq(stat(path, &after), 0);
        ck_assert(before.st_ino == after.st_ino);
    }
}
END_TEST

START_TEST(both_damaged_is_lost_unless_the_mirror_has_it)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        size_t manifest = hf_test_world.originals[i].manifest_at + 30;
        HF_AUTO(free) char *path = hf_test_outline_path(i);
        hf_test_damage(i, manifest, hf_test_world.originals[i].bytes, 0x55);
        ck_assert_int_eq(truncate(path, (off_t)hf_test_world.originals[i].header_bytes + 40), 0);
        struct hf_repair_report report = hf_test_repair(i);
        ck_assert(report.file_lost);
        ck_assert_int_eq(report.outcome, HF_REPAIR_DAMAGED);
        hf_test_assert_healed(hf_test_repair_with(i, hf_test_world.mirror, NULL), "mirror");
        hf_test_assert_original(i, "mirror");
        hf_test_assert_outline(i);
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
        ck_assert_int_eq(unlink(hf_test_world.originals[i].path), 0);
    ck_assert_msg(hf_chain_salvage(&chain, hf_test_world.repository, HF_TEST_SYSTEM, "incremental-4", &whole, why,
                                   &err),
                  "%s", err.text);
    ck_assert_msg(whole, "%s", why);
    ck_assert_msg(hf_chain_read(chain, hf_chain_find(chain, "unique"), &blob, &err), "%s", err.text);
    ck_assert(!hf_chain_read(chain, hf_chain_find(chain, "late"), &blob, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_chain_free(chain);
    ck_assert(!hf_chain_load(&chain, hf_test_world.repository, HF_TEST_SYSTEM, "incremental-4", &err));
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
    ck_assert(hf_snapshot_writer_new(&writer, hf_test_world.repository, &header, &err));
    ck_assert(hf_snapshot_writer_add_blob(writer, &hash, "nobody", 6, &at, &stored, &err));
    ck_assert(hf_snapshot_writer_add_blob(writer, &entry.hash, "state of a", 10, &entry.blob_offset,
                                          &entry.blob_stored_bytes, &err));
    ck_assert(hf_snapshot_writer_add_entry(writer, &entry, &err));
    ck_assert(hf_snapshot_writer_finish(writer, &header, &file, &bytes, &err));
    hf_snapshot_writer_free(writer);
    HF_AUTO(free) char *path = hf_test_snapshot_path(hf_test_world.directory, &snapshot);
    size_t length;
    HF_AUTO(free) char *data = hf_test_read_file(path, &length);
    memset(data + at, 0, (size_t)(entry.blob_offset - at));
    hf_test_write_file(path, data, length);
    ck_assert(!hf_repository_verify(hf_test_world.repository, HF_TEST_SYSTEM, "full-8", NULL, &verify, &err));
    ck_assert_msg(hf_repository_repair(hf_test_world.repository, NULL, HF_TEST_SYSTEM, "full", "full-8", NULL,
                                       &hf_test_world.arena, &report, &err),
                  "%s", err.text);
    ck_assert_msg(report.outcome == HF_REPAIR_HEALED, "%s", report.what);
    ck_assert_msg(hf_repository_verify(hf_test_world.repository, HF_TEST_SYSTEM, "full-8", NULL, &verify, &err), "%s",
                  err.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repair_outlines");
    hf_arena_init(&hf_test_world.arena);
    TCase *cases = hf_test_add_case(suite, "outlines", hf_test_world_setup_outlined, hf_test_world_teardown);
    tcase_add_test(cases, outline_is_written_with_the_snapshot_and_deleted_with_it);
    tcase_add_test(cases, deleted_file_is_made_again_from_other_generations);
    tcase_add_test(cases, deleted_file_lacks_only_what_is_nowhere_else);
    tcase_add_test(cases, lost_manifest_comes_from_the_outline);
    tcase_add_test(cases, outline_that_is_damaged_or_missing_is_made_again);
    tcase_add_test(cases, both_damaged_is_lost_unless_the_mirror_has_it);
    tcase_add_test(cases, salvage_reads_the_manifest_of_the_outline);
    tcase_add_test(cases, gap_that_nothing_refers_to_is_filled);
    cases = hf_test_add_case(suite, "encrypted outlines", hf_test_world_setup_sealed_outlined, hf_test_world_teardown);
    tcase_add_test(cases, deleted_file_lacks_only_what_is_nowhere_else);
    tcase_add_test(cases, lost_manifest_comes_from_the_outline);
    return hf_test_world_run(suite);
}
