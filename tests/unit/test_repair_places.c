/* Files and outlines that lie under names of others: all of them come home, and none is written over. */
#include "tests/support/repair_world.h"

#include "core/auto.h"

#include <string.h>
#include <unistd.h>

static void swap_paths(const char *one, const char *other)
{
    HF_AUTO(free) char *aside = hf_format("%s/aside", hf_test_world.directory);
    ck_assert_int_eq(rename(one, aside), 0);
    ck_assert_int_eq(rename(other, one), 0);
    ck_assert_int_eq(rename(aside, other), 0);
}

START_TEST(swapped_files_are_swapped_back)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        for (int j = 0; j < HF_TEST_FILES; j++) {
            if (i == j)
                continue;
            swap_paths(hf_test_world.originals[i].path, hf_test_world.originals[j].path);
            struct hf_repair_report report = hf_test_repair(i);
            hf_test_assert_healed(report, "swapped");
            ck_assert(report.file_replaced);
            ck_assert_int_eq(report.bytes_written, 0);
            ck_assert_int_eq(hf_test_repair(j).outcome, HF_REPAIR_SOUND);
            hf_test_assert_original(i, "swapped");
            hf_test_assert_original(j, "swapped");
        }
    }
}
END_TEST

START_TEST(file_under_another_name_is_moved_back)
{
    HF_AUTO(free) char *elsewhere = hf_format("%s/full/" HF_TEST_SYSTEM "/full-99.snapshot", hf_test_world.directory);
    ck_assert_int_eq(rename(hf_test_world.originals[2].path, elsewhere), 0);
    struct hf_repair_report report = hf_test_repair(2);
    hf_test_assert_healed(report, "renamed");
    hf_test_assert_original(2, "renamed");
    ck_assert_int_ne(access(elsewhere, F_OK), 0);
    ck_assert_ptr_nonnull(strstr(report.origin, "full-99"));
}
END_TEST

/* Swapped, and one of the two has a bad content besides. */
START_TEST(swapped_and_damaged_file_is_brought_back_and_mended)
{
    const struct hf_test_record *record = hf_test_record_of(1, "second state of b", 17);
    hf_test_damage(1, record->end - 2, record->end, 0x11);
    swap_paths(hf_test_world.originals[1].path, hf_test_world.originals[2].path);
    struct hf_repair_report report = hf_test_repair(1);
    hf_test_assert_healed(report, "swapped and damaged");
    ck_assert(report.file_replaced);
    ck_assert_int_eq(report.contents_healed, 1);
    hf_test_assert_original(1, "swapped and damaged");
    hf_test_assert_original(2, "swapped and damaged");
}
END_TEST

static void write_other_system(struct hf_repository *to, const char *text)
{
    struct hf_manifest_header header = hf_test_header(&hf_test_world.snapshots[0]);
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
    write_other_system(hf_test_world.repository, "of another system");
    HF_AUTO(free) char *home = hf_format("%s/full/other/full-1.snapshot", hf_test_world.directory);
    HF_AUTO(free) char *aside = hf_format("%s.displaced-0", hf_test_world.originals[0].path);
    ck_assert_int_eq(rename(home, hf_test_world.originals[0].path), 0);
    struct hf_repair_report report = hf_test_repair(0);
    ck_assert(report.file_lost == !hf_test_world.outlined);
    ck_assert_ptr_nonnull(strstr(report.what, "other/full-1 under another name"));
    hf_test_assert_healed(hf_test_repair_with(0, hf_test_world.mirror, NULL), "other system");
    ck_assert_msg(hf_repository_verify(hf_test_world.repository, "other", "full-1", NULL, &verify, &err), "%s",
                  err.text);
    /* A copy of what lies at home is no loss. */
    HF_AUTO(free) char *data = hf_test_read_file(home, &bytes);
    hf_test_write_file(hf_test_world.originals[0].path, data, bytes);
    hf_test_assert_healed(hf_test_repair_with(0, hf_test_world.mirror, NULL), "copy of another system");
    ck_assert_msg(hf_repository_verify(hf_test_world.repository, "other", "full-1", NULL, &verify, &err), "%s",
                  err.text);
    /* Another one of the same name is. */
    ck_assert_int_eq(rename(home, hf_test_world.originals[0].path), 0);
    write_other_system(hf_test_world.repository, "and what became of it");
    ck_assert_int_eq(hf_test_repair_with(0, hf_test_world.mirror, NULL).outcome, HF_REPAIR_HEALED);
    hf_test_assert_world_sound("stranger");
    ck_assert_int_eq(access(aside, F_OK), 0);
    ck_assert(hf_repository_verify(hf_test_world.repository, "other", "full-1", NULL, &verify, &err));
}
END_TEST

/* Whatever took whose name: nothing is lost by it, and nothing is written over that is needed. */
START_TEST(outlines_that_changed_names_come_home)
{
    for (int i = 0; i < HF_TEST_FILES; i++) {
        for (int j = 0; j < 2 * HF_TEST_FILES; j++) {
            bool with_outline = j < HF_TEST_FILES;
            HF_AUTO(free) char *one = hf_test_outline_path(i);
            HF_AUTO(free)
            char *other =
                with_outline ? hf_test_outline_path(j) : hf_strdup(hf_test_world.originals[j - HF_TEST_FILES].path);
            if (strcmp(one, other) == 0)
                continue;
            for (int back = 0; back < 2; back++) {
                swap_paths(one, other);
                for (int turn = 0; turn < 2; turn++) { /* what could not be done at once is done then */
                    for (int k = 0; k < HF_TEST_FILES; k++) {
                        int which = back ? HF_TEST_FILES - 1 - k : k;
                        struct hf_repair_report report = hf_test_repair(which);
                        ck_assert_msg(report.outcome != HF_REPAIR_DAMAGED, "%s and %s: %s: %s", one, other,
                                      hf_test_world.snapshots[which].id, report.what);
                    }
                }
                hf_test_assert_world_sound("changed names");
                for (int k = 0; k < HF_TEST_FILES; k++) {
                    hf_test_assert_original(k, "changed names");
                    hf_test_assert_outline(k);
                }
            }
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repair_places");
    hf_arena_init(&hf_test_world.arena);
    TCase *cases = hf_test_add_case(suite, "plain", hf_test_world_setup, hf_test_world_teardown);
    tcase_add_test(cases, swapped_files_are_swapped_back);
    tcase_add_test(cases, file_under_another_name_is_moved_back);
    tcase_add_test(cases, swapped_and_damaged_file_is_brought_back_and_mended);
    tcase_add_test(cases, file_of_another_system_goes_home_or_aside);
    cases = hf_test_add_case(suite, "outlines", hf_test_world_setup_outlined, hf_test_world_teardown);
    tcase_add_test(cases, swapped_files_are_swapped_back);
    tcase_add_test(cases, file_of_another_system_goes_home_or_aside);
    tcase_add_test(cases, outlines_that_changed_names_come_home);
    return hf_test_world_run(suite);
}
