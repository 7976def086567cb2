/* Archives that come from elsewhere: refused unless every byte of them is right. */
#include "tests/support/archives.h"
#include "tests/support/repository_fixture.h"

#include "core/auto.h"

#include "tests/support/check_main.h"

#include <string.h>

/* ---- refusals ---- */

static void no_change(struct hf_test_tar *tar)
{
    (void)tar;
}

static void other_content(struct hf_test_tar *tar)
{
    tar->members[2].data = "state of bETA";
}

static void longer_content(struct hf_test_tar *tar)
{
    tar->members[2].data = "state of beta and more";
    tar->members[2].bytes = strlen("state of beta and more");
}

static void missing_state(struct hf_test_tar *tar)
{
    tar->members[2].name = NULL;
}

static void twice(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, tar->count, tar->members[2]);
}

static void unknown_member(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 2, (struct hf_test_member){"states/other", '0', "x", 1, NULL, -1});
}

static void member_elsewhere(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 2, (struct hf_test_member){"notes.txt", '0', "x", 1, NULL, -1});
}

static void state_of_the_stateless(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 2, (struct hf_test_member){"states/waiting", '0', "", 0, NULL, -1});
}

static void absolute(struct hf_test_tar *tar)
{
    tar->members[2].name = "/states/beta";
}

static void upwards(struct hf_test_tar *tar)
{
    tar->members[2].name = "states/../states/beta";
}

static void upwards_directory(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 1, (struct hf_test_member){"../", '5', "", 0, NULL, -1});
}

static void symbolic_link(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 2, (struct hf_test_member){"states/beta", '2', "", 0, "/etc/passwd", -1});
}

static void hard_link(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 3, (struct hf_test_member){"states/twin", '1', "", 0, "states/beta", -1});
}

static void device(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 2, (struct hf_test_member){"states/beta", '3', "", 0, NULL, -1});
}

static void pipe_member(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 2, (struct hf_test_member){"states/beta", '6', "", 0, NULL, -1});
}

static void manifest_late(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, 2, tar->members[0]);
    tar->members[0] = tar->members[1];
    tar->members[1].name = NULL;
    free(tar->manifest);
    tar->manifest = hf_strdup("{\"a\":1}");
}

static void manifest_twice(struct hf_test_tar *tar)
{
    hf_test_tar_insert(tar, tar->count, tar->members[0]);
}

static void longer_than_the_file(struct hf_test_tar *tar)
{
    tar->members[tar->count - 1].claims = 1 << 20;
}

#define IN_MANIFEST(name, from, to)                                                                                    \
    static void name(struct hf_test_tar *tar)                                                                          \
    {                                                                                                                  \
        hf_test_tar_swap(tar, from, to);                                                                               \
    }
IN_MANIFEST(other_format, "holdfast-archive", "somebody-archive")
IN_MANIFEST(newer_version, "\"version\":1,\"system\"", "\"version\":2,\"system\"")
IN_MANIFEST(unknown_field, "\"system\":", "\"colour\":\"red\",\"system\":")
IN_MANIFEST(unknown_entry_field, "\"component\":\"beta\"", "\"colour\":1,\"component\":\"beta\"")
IN_MANIFEST(field_twice, "\"kind\":\"full\"", "\"kind\":\"full\",\"kind\":\"full\"")
IN_MANIFEST(entries_twice, "\n\"entries\":[", "\"entries\":[],\n\"entries\":[")
IN_MANIFEST(no_entries, "\"entries\":", "\"entrees\":")
IN_MANIFEST(name_with_slash, "\"component\":\"beta\"", "\"component\":\"be/ta\"")
IN_MANIFEST(name_with_nul, "\"component\":\"beta\"", "\"component\":\"beta\\u0000x\"")
IN_MANIFEST(out_of_order, "\"component\":\"beta\"", "\"component\":\"aaaa\"")
IN_MANIFEST(name_twice, "\"component\":\"beta\"", "\"component\":\"alpha\"")
IN_MANIFEST(other_file, "\"file\":\"states/beta\"", "\"file\":\"states/alpha\"")
IN_MANIFEST(file_outside, "\"file\":\"states/beta\"", "\"file\":\"/etc/passwd\"")
IN_MANIFEST(negative_version, "\"version\":2", "\"version\":-2")
IN_MANIFEST(great_version, "\"version\":2", "\"version\":9007199254740992")
IN_MANIFEST(greatest_version, "\"version\":2", "\"version\":9223372036854775807")
IN_MANIFEST(great_sequence, "\"sequence\":9", "\"sequence\":9007199254740992")
IN_MANIFEST(great_epoch, "\"epoch\":3", "\"epoch\":9007199254740992")
IN_MANIFEST(negative_bytes, "\"bytes\":13", "\"bytes\":-13")
IN_MANIFEST(fraction, "\"sequence\":9", "\"sequence\":9.5")
IN_MANIFEST(content_type_with_line_end, "\"contentType\":\"", "\"contentType\":\"a/b\\r\\nSet-Cookie: x\",\"q\":\"")
IN_MANIFEST(wrong_count, "\"components\":5", "\"components\":6")
IN_MANIFEST(wrong_sum, "\"stateBytes\":", "\"stateBytes\":1")
IN_MANIFEST(bad_time, "\"cutAt\":\"2", "\"cutAt\":\"x2")
IN_MANIFEST(bad_bracket, "\n]}", "\n}]")
IN_MANIFEST(hanging_comma, "\n]}", ",\n]}")
IN_MANIFEST(an_entry_that_is_none, "\n]}", ",\n7]}")
IN_MANIFEST(text_behind, "\n]}", "\n]}{}")
IN_MANIFEST(unfinished, "\n]}", "\n")
IN_MANIFEST(newer_than_the_cut, "\"sequence\":9", "\"sequence\":0")
IN_MANIFEST(bad_dependency, "[\"alpha\"]", "[\"al pha\"]")
IN_MANIFEST(no_array, "\"dependsOn\":[]", "\"dependsOn\":{}")

static void other_hash(struct hf_test_tar *tar)
{
    char *at = strstr(strstr(tar->manifest, "\"component\":\"beta\""), "sha256:");
    at[20] = at[20] == '0' ? '1' : '0';
}

static const struct refusal {
    const char *name;
    void (*change)(struct hf_test_tar *);
    const char *says;
} refusals[] = {
    {"other_content", other_content, "states/beta does not have the hash"},
    {"longer_content", longer_content, "states/beta has 22 bytes, the manifest says 13"},
    {"missing_state", missing_state, "states/beta is missing"},
    {"twice", twice, "states/beta is given twice"},
    {"unknown_member", unknown_member, "does not speak of the member states/other"},
    {"member_elsewhere", member_elsewhere, "does not speak of the member notes.txt"},
    {"state_of_the_stateless", state_of_the_stateless, "does not speak of the member states/waiting"},
    {"absolute", absolute, "absolute name"},
    {"upwards", upwards, "\"..\" in its name"},
    {"upwards_directory", upwards_directory, "\"..\" in its name"},
    {"symbolic_link", symbolic_link, "states/beta is a link"},
    {"hard_link", hard_link, "states/twin is a link"},
    {"device", device, "neither a file nor a directory"},
    {"pipe_member", pipe_member, "neither a file nor a directory"},
    {"manifest_late", manifest_late, "the first member is states/alpha"},
    {"manifest_twice", manifest_twice, "manifest.json a second time"},
    {"longer_than_the_file", longer_than_the_file, "bytes, the manifest says 15"},
    {"other_format", other_format, "somebody-archive version 1"},
    {"newer_version", newer_version, "holdfast-archive version 2"},
    {"unknown_field", unknown_field, "colour"},
    {"unknown_entry_field", unknown_entry_field, "colour"},
    {"field_twice", field_twice, "duplicate"},
    {"entries_twice", entries_twice, "duplicate"},
    {"no_entries", no_entries, "manifest.json"},
    {"name_with_slash", name_with_slash, "no valid name"},
    {"name_with_nul", name_with_nul, "entry 2"},
    {"out_of_order", out_of_order, "field \"file\""},
    {"name_twice", name_twice, "field \"file\""},
    {"other_file", other_file, "field \"file\" is not states/beta"},
    {"file_outside", file_outside, "field \"file\" is not states/beta"},
    {"negative_version", negative_version, "field \"version\""},
    {"great_version", great_version, "field \"version\" is greater than 9007199254740991"},
    {"greatest_version", greatest_version, "field \"version\" is greater than 9007199254740991"},
    {"great_sequence", great_sequence, "field \"sequence\" is greater than"},
    {"great_epoch", great_epoch, "field \"epoch\" is greater than"},
    {"negative_bytes", negative_bytes, "field \"bytes\""},
    {"fraction", fraction, "field \"sequence\""},
    {"content_type_with_line_end", content_type_with_line_end, "q"},
    {"wrong_count", wrong_count, "6 components"},
    {"wrong_sum", wrong_sum, "but lists others"},
    {"bad_time", bad_time, "field \"cutAt\""},
    {"bad_bracket", bad_bracket, "brackets"},
    {"hanging_comma", hanging_comma, "entry 7"},
    {"an_entry_that_is_none", an_entry_that_is_none, "it is no object"},
    {"text_behind", text_behind, "manifest.json"},
    {"unfinished", unfinished, "manifest.json"},
    {"newer_than_the_cut", newer_than_the_cut, "newer than the snapshot's sequence"},
    {"bad_dependency", bad_dependency, "field \"dependsOn\""},
    {"no_array", no_array, "field \"dependsOn\""},
    {"other_hash", other_hash, "root hash"},
};

START_TEST(what_is_not_right_is_refused_by_name)
{
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, HF_TEST_MIB);
    hf_test_write_archive(repository, "full-1", false, &out);
    for (int i = -1; i < HF_TEST_COUNT(refusals); i++) {
        struct hf_test_tar tar;
        hf_test_tar_parse(out.data, out.bytes, &tar);
        (i < 0 ? no_change : refusals[i].change)(&tar);
        HF_AUTO(buf) struct hf_buf made;
        hf_buf_init(&made, 4 * HF_TEST_MIB);
        hf_test_tar_build(&tar, &made);
        free(tar.manifest);
        struct hf_error err = {0};
        bool taken = hf_test_take_in(repository, made.data, made.bytes, 4096, &hf_test_roomy, &err);
        if (i < 0) { /* the maker of tars itself is right */
            ck_assert_msg(taken, "%s", err.text);
            hf_test_forget_copy(repository);
            continue;
        }
        ck_assert_msg(!taken, "%s was taken", refusals[i].name);
        ck_assert_msg(err.code == HF_INVALID_REQUEST, "%s: %s", refusals[i].name, err.text);
        ck_assert_msg(strstr(err.text, refusals[i].says) != NULL, "%s: %s", refusals[i].name, err.text);
    }
}
END_TEST

/* Behind the end only what fills the last block: zeros. */
START_TEST(what_follows_the_end_is_refused_unless_it_is_padding)
{
    static const char zeros[20 * HF_TEST_TAR_BLOCK];
    char stray[3 * HF_TEST_TAR_BLOCK] = {0};
    stray[2 * HF_TEST_TAR_BLOCK + 7] = 'x';
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    for (int zstd = 0; zstd < 2; zstd++) {
        HF_AUTO(buf) struct hf_buf out;
        hf_buf_init(&out, HF_TEST_MIB);
        hf_test_write_archive(repository, "full-1", zstd, &out);
        size_t bytes = out.bytes;
        for (size_t step = 100; step < 1000000; step *= 10) {
            struct hf_error err = {0};
            out.bytes = bytes;
            ck_assert(hf_buf_add(&out, stray, sizeof(stray)));
            ck_assert(!hf_test_take_in(repository, out.data, out.bytes, step, &hf_test_roomy, &err));
            ck_assert_msg(err.code == HF_INVALID_REQUEST, "%s", err.text);
            out.bytes = bytes;
            ck_assert(hf_buf_add(&out, "x", 1));
            ck_assert(!hf_test_take_in(repository, out.data, out.bytes, step, &hf_test_roomy, &err));
            ck_assert_msg(err.code == HF_INVALID_REQUEST, "%s", err.text);
            if (zstd)
                continue;
            out.bytes = bytes;
            ck_assert(hf_buf_add(&out, zeros, sizeof(zeros)));
            ck_assert_msg(hf_test_take_in(repository, out.data, out.bytes, step, &hf_test_roomy, &err), "%s", err.text);
            hf_test_forget_copy(repository);
        }
    }
}
END_TEST

START_TEST(a_sparse_file_is_refused)
{
    /* The old format of GNU tar: type S, with one part of data and a hole behind it. */
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    HF_AUTO(buf) struct hf_buf out;
    HF_AUTO(buf) struct hf_buf made;
    hf_buf_init(&out, HF_TEST_MIB);
    hf_buf_init(&made, HF_TEST_MIB);
    hf_test_write_archive(repository, "full-1", false, &out);
    struct hf_test_tar tar;
    hf_test_tar_parse(out.data, out.bytes, &tar);
    tar.members[2].type = 'S';
    hf_test_tar_build(&tar, &made);
    free(tar.manifest);
    char *head = memmem(made.data, made.bytes, "states/beta", 11);
    while (head && (head - made.data) % HF_TEST_TAR_BLOCK != 0)
        head = memmem(head + 1, made.bytes - (size_t)(head + 1 - made.data), "states/beta", 11);
    ck_assert_ptr_ne(head, NULL);
    memcpy(head + 257, "ustar  ", 8);
    memcpy(head + 386, "00000000000\00000000000015", 24); /* 13 bytes at 0 */
    memcpy(head + 483, "00000000100", 12);                /* 64 in all */
    memset(head + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < HF_TEST_TAR_BLOCK; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 8, "%06o", sum);
    struct hf_error err = {0};
    ck_assert(!hf_test_take_in(repository, made.data, made.bytes, 4096, &hf_test_roomy, &err));
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert_msg(strstr(err.text, "sparse") != NULL, "%s", err.text);
}
END_TEST

START_TEST(what_is_no_archive_is_refused)
{
    static const char *const texts[] = {"", "{}", "this is no tar at all", "\x28\xb5\x2f\xfd", "\x1f\x8b\x08"};
    char zeros[4 * HF_TEST_TAR_BLOCK] = {0};
    for (int i = 0; i <= HF_TEST_COUNT(texts); i++) {
        struct hf_error err = {0};
        bool last = i == HF_TEST_COUNT(texts);
        ck_assert(!hf_test_take_in(repository, last ? zeros : texts[i], last ? sizeof(zeros) : strlen(texts[i]), 4096,
                                   &hf_test_roomy, &err));
        ck_assert_msg(err.code == HF_INVALID_REQUEST, "%d: %s", i, err.text);
    }
}
END_TEST

START_TEST(an_archive_cut_short_anywhere_is_refused_or_whole)
{
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    for (int zstd = 0; zstd < 2; zstd++) {
        HF_AUTO(buf) struct hf_buf out;
        hf_buf_init(&out, HF_TEST_MIB);
        hf_test_write_archive(repository, "full-1", zstd, &out);
        int refused = 0, taken = 0;
        for (size_t bytes = 0; bytes < out.bytes; bytes += zstd ? 3 : 41) {
            struct hf_error err = {0};
            if (hf_test_take_in(repository, out.data, bytes, 4096, &hf_test_roomy, &err)) {
                taken++;
                hf_test_assert_copy_is(repository, "full-1");
                hf_test_forget_copy(repository);
            } else {
                refused++;
                ck_assert_msg(err.code == HF_INVALID_REQUEST, "at %zu: %s", bytes, err.text);
            }
        }
        ck_assert_int_gt(refused, 50);
        ck_assert_int_lt(taken,
                         zstd ? 40 : 2 * HF_TEST_TAR_BLOCK / 41 + 14); /* only what fills the last blocks is lacking */
    }
}
END_TEST

START_TEST(a_flipped_bit_is_refused_or_without_meaning)
{
    hf_test_write_snapshot(repository, &hf_test_archived, NULL);
    for (int zstd = 0; zstd < 2; zstd++) {
        HF_AUTO(buf) struct hf_buf out;
        hf_buf_init(&out, HF_TEST_MIB);
        hf_test_write_archive(repository, "full-1", zstd, &out);
        int refused = 0;
        for (size_t at = 0; at < out.bytes; at += zstd ? 5 : 23) {
            struct hf_error err = {0};
            out.data[at] ^= (char)(1 << at % 8);
            if (hf_test_take_in(repository, out.data, out.bytes, 4096, &hf_test_roomy, &err)) {
                struct hf_chain *chain = NULL;
                ck_assert_msg(hf_chain_load(&chain, repository, "copy", "full-9", &err), "%s", err.text);
                for (int64_t i = 0; i < hf_chain_count(chain); i++) {
                    const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
                    HF_AUTO(blob) struct hf_blob *blob = NULL;
                    if (hf_manifest_entry_is_present(entry))
                        ck_assert_msg(hf_chain_read(chain, entry, &blob, &err), "%s", err.text);
                }
                hf_chain_free(chain);
                hf_test_forget_copy(repository);
            } else {
                refused++;
            }
            out.data[at] ^= (char)(1 << at % 8);
        }
        ck_assert_int_gt(refused, 50);
    }
}
END_TEST

HF_TEST_MAIN_WITH("archive_refusals", setup, teardown, what_is_not_right_is_refused_by_name,
                  what_follows_the_end_is_refused_unless_it_is_padding, a_sparse_file_is_refused,
                  what_is_no_archive_is_refused, an_archive_cut_short_anywhere_is_refused_or_whole,
                  a_flipped_bit_is_refused_or_without_meaning);
