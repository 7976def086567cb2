/* Archives: what is written opens as a tar and reads back the same, within its bounds, and broken ends are told of. */
#include "tests/support/archives.h"
#include "tests/support/repository_fixture.h"

#include "core/auto.h"

#include "tests/support/check_main.h"

#include <string.h>

static const char *const names_written[] = {"manifest.json", "states/alpha", "states/beta",
                                            "states/empty",  "states/twin",  "states/zz.z:z-z"};

/* ---- writing ---- */

START_TEST(an_archive_is_a_tar_of_the_manifest_and_the_states_by_name)
{
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, HF_TEST_MIB);
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    hf_test_write_archive(repository, "full-1", false, &out);
    ck_assert_uint_eq(out.bytes % HF_TEST_TAR_BLOCK, 0);
    struct hf_test_tar tar;
    hf_test_tar_parse(out.data, out.bytes, &tar);
    ck_assert_int_eq(tar.count, HF_TEST_COUNT(names_written));
    for (int i = 0; i < tar.count; i++) {
        const char *head = tar.members[i].name;
        ck_assert_str_eq(head, names_written[i]);
        ck_assert_int_eq(tar.members[i].type, '0');
        ck_assert_int_eq(hf_test_tar_number(head + 100, 8), 0640);
        ck_assert_int_eq(hf_test_tar_number(head + 108, 8) + hf_test_tar_number(head + 116, 8), 0);
        ck_assert_int_gt(hf_test_tar_number(head + 136, 12), 0);
    }
    ck_assert_uint_eq(tar.members[2].bytes, strlen("state of beta"));
    ck_assert_mem_eq(tar.members[2].data, "state of beta", strlen("state of beta"));
    ck_assert_ptr_eq(strstr(tar.manifest, "\"gone\""), NULL);
    ck_assert_ptr_ne(strstr(tar.manifest, "{\"component\":\"waiting\",\"version\":0,"), NULL);
    free(tar.manifest);
}
END_TEST

START_TEST(the_same_snapshot_gives_the_same_bytes)
{
    HF_AUTO(buf) struct hf_buf one;
    HF_AUTO(buf) struct hf_buf two;
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    for (int zstd = 0; zstd < 2; zstd++) {
        hf_buf_init(&one, HF_TEST_MIB);
        hf_buf_init(&two, HF_TEST_MIB);
        hf_test_write_archive(repository, "full-1", zstd, &one);
        hf_test_write_archive(repository, "full-1", zstd, &two);
        ck_assert_uint_eq(one.bytes, two.bytes);
        ck_assert_mem_eq(one.data, two.data, one.bytes);
        hf_buf_done(&one);
        hf_buf_done(&two);
    }
    hf_buf_init(&one, 1);
    hf_buf_init(&two, 1);
}
END_TEST

START_TEST(a_damaged_content_breaks_the_archive_off_without_a_proper_end)
{
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &hf_test_archived);
    size_t bytes;
    HF_AUTO(free) char *file = hf_test_read_file(path, &bytes);
    char *at = memmem(file, bytes, "a name of signs", strlen("a name of signs"));
    ck_assert_ptr_ne(at, NULL);
    at[3] ^= 1;
    hf_test_write_file(path, file, bytes);
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, HF_TEST_MIB);
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    ck_assert(hf_chain_load(&chain, repository, HF_TEST_SYSTEM, "full-1", &err));
    ck_assert(!hf_archive_write(chain, false, NULL, &(struct hf_writer){hf_test_write_buf, &out}, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_msg(strstr(err.text, "zz.z:z-z") != NULL, "%s", err.text);
    ck_assert_ptr_eq(memmem(out.data ? out.data : "", out.bytes, "states/zz", 9), NULL);
    struct hf_error refused = {0};
    ck_assert(!hf_test_take_in(repository, out.data ? out.data : "", out.bytes, 4096, &hf_test_roomy, &refused));
    hf_chain_free(chain);
}
END_TEST

START_TEST(a_writer_that_fails_says_why)
{
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 100);
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    ck_assert(hf_chain_load(&chain, repository, HF_TEST_SYSTEM, "full-1", &err));
    ck_assert(!hf_archive_write(chain, false, NULL, &(struct hf_writer){hf_test_write_buf, &out}, &err));
    ck_assert_int_eq(err.code, HF_OVERLOADED);
    ck_assert_str_eq(err.text, "the client is gone");
    hf_chain_free(chain);
}
END_TEST

/* ---- reading back ---- */

START_TEST(what_was_written_is_read_back)
{
    static const size_t steps[] = {1, 100, 511, 1 << 20};
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    for (int zstd = 0; zstd < 2; zstd++) {
        HF_AUTO(buf) struct hf_buf out;
        hf_buf_init(&out, HF_TEST_MIB);
        hf_test_write_archive(repository, "full-1", zstd, &out);
        for (int i = 0; i < HF_TEST_COUNT(steps); i++) {
            struct hf_error err = {0};
            ck_assert_msg(hf_test_take_in(repository, out.data, out.bytes, steps[i], &hf_test_roomy, &err), "%s",
                          err.text);
            hf_test_assert_copy_is(repository, "full-1");
            hf_test_forget_copy(repository);
        }
    }
}
END_TEST

START_TEST(an_incremental_leaves_as_the_whole_system)
{
    static const struct hf_test_state later[] = {
        {"beta", "second state", 0, 3, false, NULL},
        {"twin", "", 0, 2, true, NULL},
    };
    static const struct hf_test_state whole[] = {
        {"alpha", "{\"a\":1}", 0, 1, false, NULL},
        {"beta", "second state", 0, 3, false, NULL},
        {"empty", "", 0, 3, false, NULL},
        {"zz.z:z-z", "a name of signs", 0, 7, false, NULL},
    };
    static const struct hf_test_snapshot next = {"incremental-2", "full-1",
                                                 "full-1",        12,
                                                 later,           HF_TEST_COUNT(later),
                                                 whole,           HF_TEST_COUNT(whole)};
    struct hf_blob_index *index = hf_blob_index_new();
    hf_test_write_snapshot(repository, &hf_test_archived, index);
    hf_test_write_snapshot(repository, &next, index);
    hf_blob_index_free(index);
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, HF_TEST_MIB);
    hf_test_write_archive(repository, "incremental-2", true, &out);
    struct hf_error err = {0};
    ck_assert_msg(hf_test_take_in(repository, out.data, out.bytes, 4096, &hf_test_roomy, &err), "%s", err.text);
    hf_test_assert_copy_is(repository, "incremental-2");
}
END_TEST

START_TEST(order_directories_and_leading_dots_do_not_matter)
{
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    HF_AUTO(buf) struct hf_buf out;
    HF_AUTO(buf) struct hf_buf again;
    hf_buf_init(&out, HF_TEST_MIB);
    hf_buf_init(&again, HF_TEST_MIB);
    hf_test_write_archive(repository, "full-1", false, &out);
    struct hf_test_tar tar;
    hf_test_tar_parse(out.data, out.bytes, &tar);
    struct hf_test_member beta = tar.members[2];
    tar.members[0].name = "./manifest.json";
    tar.members[1].name = "./states/alpha";
    tar.members[2] = tar.members[4];
    tar.members[4] = beta;
    hf_test_tar_insert(&tar, 0, (struct hf_test_member){"./", '5', "", 0, NULL, -1});
    hf_test_tar_insert(&tar, 2, (struct hf_test_member){"./states/", '5', "", 0, NULL, -1});
    struct hf_test_member *manifest = &tar.members[1];
    manifest->data = tar.manifest;
    manifest->bytes = strlen(tar.manifest);
    for (int i = 0; i < tar.count; i++)
        hf_test_tar_add(&again, &tar.members[i]);
    struct hf_error err = {0};
    /* Without the two blocks of zeros: nothing is lacking all the same. */
    ck_assert_msg(hf_test_take_in(repository, again.data, again.bytes, 4096, &hf_test_roomy, &err), "%s", err.text);
    hf_test_assert_copy_is(repository, "full-1");
    free(tar.manifest);
}
END_TEST

/* ---- bounds and broken ends ---- */

START_TEST(limits_hold_for_the_archive_and_for_what_it_unpacks_to)
{
    static char zeros[4 << 20];
    const struct hf_test_state large[] = {{"zeros", zeros, sizeof(zeros), 1, false, NULL}};
    const struct hf_test_snapshot snapshot = {"full-2", NULL, "full-2", 9, large, 1, NULL, 0};
    hf_test_write_snapshot(repository, &snapshot, NULL);
    HF_AUTO(buf) struct hf_buf plain;
    HF_AUTO(buf) struct hf_buf packed;
    hf_buf_init(&plain, 8 * HF_TEST_MIB);
    hf_buf_init(&packed, 8 * HF_TEST_MIB);
    hf_test_write_archive(repository, "full-2", false, &plain);
    hf_test_write_archive(repository, "full-2", true, &packed);
    ck_assert_uint_lt(packed.bytes, 100000);
    const struct {
        const struct hf_buf *archive;
        struct hf_archive_limits limits;
        const char *says;
    } cases[] = {
        {&plain, {2 * HF_TEST_MIB, 8 * HF_TEST_MIB, HF_TEST_MIB}, "larger than 2097152 bytes"},
        {&packed, {2 * HF_TEST_MIB, 8 * HF_TEST_MIB, HF_TEST_MIB}, "when it is unpacked"},
        {&packed, {8 * HF_TEST_MIB, 2 * HF_TEST_MIB, HF_TEST_MIB}, "a state may have 2097152"},
        {&packed, {8 * HF_TEST_MIB, 8 * HF_TEST_MIB, 300}, "manifest.json is larger than 300 bytes"},
    };
    for (int i = 0; i < HF_TEST_COUNT(cases); i++) {
        struct hf_error err = {0};
        ck_assert(!hf_test_take_in(repository, cases[i].archive->data, cases[i].archive->bytes, 65536, &cases[i].limits,
                                   &err));
        ck_assert_msg(err.code == HF_BODY_TOO_LARGE, "%d: %s", i, err.text);
        ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%d: %s", i, err.text);
    }
    struct hf_error err = {0};
    ck_assert_msg(hf_test_take_in(repository, packed.data, packed.bytes, 65536, &hf_test_roomy, &err), "%s", err.text);
}
END_TEST

START_TEST(what_follows_the_end_is_read_and_bounded_too)
{
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 4 * HF_TEST_MIB);
    hf_test_write_archive(repository, "full-1", false, &out);
    char *more = hf_buf_reserve(&out, (size_t)HF_TEST_MIB);
    memset(more, 0, (size_t)HF_TEST_MIB);
    out.bytes += (size_t)HF_TEST_MIB;
    struct hf_error err = {0};
    struct hf_archive_limits limits = {HF_TEST_MIB, HF_TEST_MIB, HF_TEST_MIB};
    ck_assert(!hf_test_take_in(repository, out.data, out.bytes, 4096, &limits, &err));
    ck_assert_int_eq(err.code, HF_BODY_TOO_LARGE);
    ck_assert_msg(hf_test_take_in(repository, out.data, out.bytes, 4096, &hf_test_roomy, &err), "%s", err.text);
}
END_TEST

START_TEST(an_end_that_breaks_off_says_why)
{
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, HF_TEST_MIB);
    hf_test_write_archive(repository, "full-1", false, &out);
    for (size_t at = 1; at < out.bytes; at += 700) {
        struct hf_test_source source = {out.data, out.bytes, 0, 256, at};
        const struct hf_reader reader = {hf_test_source_read, &source};
        struct hf_archive *archive = NULL;
        struct hf_error err = {0};
        bool ok = hf_archive_open(&archive, &reader, &hf_test_roomy, &err);
        if (ok) {
            struct hf_manifest_header header = *hf_archive_header(archive);
            header.system = "copy";
            struct hf_snapshot_writer *writer = NULL;
            ck_assert(hf_snapshot_writer_new(&writer, repository, &header, &err));
            ok = hf_archive_read(archive, writer, &err);
            hf_snapshot_writer_free(writer);
            hf_archive_free(archive);
        }
        ck_assert(!ok);
        ck_assert_msg(err.code == HF_OVERLOADED, "%s", err.text);
        ck_assert_str_eq(err.text, "the client was too slow");
    }
}
END_TEST

HF_TEST_MAIN_WITH("archive", setup, teardown, an_archive_is_a_tar_of_the_manifest_and_the_states_by_name,
                  the_same_snapshot_gives_the_same_bytes, a_damaged_content_breaks_the_archive_off_without_a_proper_end,
                  a_writer_that_fails_says_why, what_was_written_is_read_back,
                  an_incremental_leaves_as_the_whole_system, order_directories_and_leading_dots_do_not_matter,
                  limits_hold_for_the_archive_and_for_what_it_unpacks_to, what_follows_the_end_is_read_and_bounded_too,
                  an_end_that_breaks_off_says_why);
