/* What the verification of a snapshot reads of its chain, and what it reports. */
#include "tests/unit/chain_fixture.h"

#include "repository/keys.h"

#include "tests/support/check_main.h"

START_TEST(verification_reads_every_state_of_the_chain)
{
    struct hf_verify_report report;
    struct hf_error err = {0};
    write_three();
    ck_assert_msg(hf_repository_verify(repository, HF_TEST_SYSTEM, "incremental-3", NULL, &report, &err), "%s",
                  err.text);
    ck_assert(report.structure_ok && report.chain_ok && report.root_hash_ok && report.blobs_ok);
    ck_assert_int_eq(report.blobs, 5);
    ck_assert_int_eq(report.bytes, 10 + 3 + 17 + 10 + 17);
}
END_TEST

/* ---- ways of verifying ---- */

struct told {
    int contents, nameless, stop_after, reads;
    int64_t bytes_read;
    char names[256];
};

static void note_content(void *context, const struct hf_manifest_entry *entry, const struct hf_blob *blob)
{
    struct told *told = context;
    struct hf_hash hash;
    told->contents++;
    told->nameless += entry == NULL;
    if (!entry)
        return;
    hf_hash_of(blob->data, blob->bytes, &hash);
    ck_assert(hf_hash_equal(&hash, &entry->hash));
    size_t used = strlen(told->names);
    snprintf(told->names + used, sizeof(told->names) - used, "%s ", entry->component);
}

static bool note_pace(void *context, int64_t bytes)
{
    struct told *told = context;
    told->bytes_read += bytes;
    return ++told->reads != told->stop_after;
}

static bool verify(const char *id, bool deep, struct told *told, struct hf_verify_report *report, struct hf_error *err)
{
    struct hf_verify_options options = {deep, note_content, note_pace, told};
    return hf_repository_verify(repository, HF_TEST_SYSTEM, id, &options, report, err);
}

START_TEST(shallow_verification_reads_the_files_own_contents)
{
    struct told told = {0};
    struct hf_verify_report report;
    struct hf_error err = {0};
    write_three();
    ck_assert_msg(verify("incremental-3", false, &told, &report, &err), "%s", err.text);
    ck_assert(report.structure_ok && report.manifest_ok && report.chain_ok && report.root_hash_ok && report.blobs_ok &&
              report.signature_ok);
    ck_assert_int_eq(report.signature, HF_SIGNATURE_NONE);
    ck_assert_int_eq(report.blobs, 1);
    ck_assert_str_eq(told.names, "d ");
    ck_assert_int_gt(told.bytes_read, 0);
    told = (struct told){0};
    ck_assert(verify("incremental-3", true, &told, &report, &err));
    ck_assert_str_eq(told.names, "d a c aa b ");
    ck_assert_int_eq(report.blobs, 5);
    told = (struct told){.stop_after = 1};
    ck_assert(!verify("incremental-3", true, &told, &report, &err));
    ck_assert_int_eq(err.code, HF_SHUTTING_DOWN);
    ck_assert_int_eq(told.reads, 1);
}
END_TEST

/* The last blob of the anchor is the state of d, which nothing refers to in the end; the first is that of a. */
START_TEST(shallow_verification_looks_at_the_heads_that_it_refers_to)
{
    struct told told = {0};
    struct hf_verify_report report;
    struct hf_error err = {0};
    size_t bytes;
    write_three();
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &full);
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    char *text = memmem(data, bytes, "state of a", 10);
    ck_assert_ptr_nonnull(text);
    text[0] ^= 1;
    hf_test_write_file(path, data, bytes);
    ck_assert_msg(verify("incremental-3", false, &told, &report, &err), "%s", err.text);
    ck_assert(!verify("incremental-3", true, &told, &report, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_msg(strstr(err.text, "the state of a: snapshot file " HF_TEST_SYSTEM "/full-1") != NULL, "%s", err.text);
    ck_assert(report.root_hash_ok && !report.blobs_ok);
    text[0] ^= 1;
    text[-20] ^= 1; /* in the hash of the head before it */
    hf_test_write_file(path, data, bytes);
    ck_assert(!verify("incremental-3", false, &told, &report, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_msg(strstr(err.text, "the state of a") != NULL, "%s", err.text);
}
END_TEST

START_TEST(content_that_several_components_have_is_told_once_for_each)
{
    static const struct hf_test_state twins[] = {{"one", "the same", 0, 1, false, NULL},
                                                 {"two", "the same", 0, 1, false, NULL}};
    struct hf_test_snapshot snapshot = {"full-1", NULL, "full-1", 4, twins, 2, NULL, 0};
    struct told told = {0};
    struct hf_verify_report report;
    struct hf_error err = {0};
    hf_test_write_snapshot(repository, &snapshot, NULL);
    ck_assert(verify("full-1", false, &told, &report, &err));
    ck_assert_str_eq(told.names, "one two ");
    ck_assert_int_eq(told.nameless, 0);
    ck_assert_int_eq(report.blobs, 1);
}
END_TEST

START_TEST(first_step_that_fails_is_the_last_that_is_reported)
{
    struct told told = {0};
    struct hf_verify_report report;
    struct hf_error err = {0};
    write_three();
    damage_manifest(&last);
    ck_assert(!verify("incremental-3", true, &told, &report, &err));
    ck_assert(report.structure_ok && !report.manifest_ok && !report.chain_ok);
    damage_manifest(&last);
    damage_manifest(&middle);
    ck_assert(!verify("incremental-3", true, &told, &report, &err));
    ck_assert(report.manifest_ok && !report.chain_ok && !report.root_hash_ok);
    ck_assert_int_eq(told.contents, 0);
}
END_TEST

HF_TEST_MAIN_WITH("chain verification", setup, teardown, verification_reads_every_state_of_the_chain,
                  shallow_verification_reads_the_files_own_contents,
                  shallow_verification_looks_at_the_heads_that_it_refers_to,
                  content_that_several_components_have_is_told_once_for_each,
                  first_step_that_fails_is_the_last_that_is_reported);
