/* A snapshot with everything it builds on: overlay, references within a generation, and what is missing or swapped. */
#include "tests/unit/chain_fixture.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <unistd.h>

#define MANY        20000
#define MANY_FILES  80 /* more than a chain keeps open */
#define READERS     4
#define CHAIN_FILES 40

START_TEST(newer_files_overlay_older_ones)
{
    write_three();
    struct hf_chain *chain = load("incremental-3");
    static const char *const names[] = {"a", "aa", "b", "c", "d", "e"};
    ck_assert_int_eq(hf_chain_count(chain), HF_TEST_COUNT(names));
    for (int i = 0; i < HF_TEST_COUNT(names); i++)
        ck_assert_str_eq(hf_chain_entry(chain, i)->component, names[i]);
    assert_text(chain, "a", "state of a");
    assert_text(chain, "aa", "new");
    assert_text(chain, "b", "second state of b");
    assert_text(chain, "c", "state of b");
    assert_text(chain, "d", "second state of d");
    ck_assert_int_eq(hf_chain_find(chain, "e")->version, 0);
    ck_assert_str_eq(hf_chain_header(chain)->id, "incremental-3");
    ck_assert_int_eq(hf_chain_header(chain)->sequence, 9);
    hf_chain_free(chain);
    chain = load("incremental-2");
    ck_assert(hf_chain_find(chain, "c")->deleted);
    assert_text(chain, "d", "state of d");
    hf_chain_free(chain);
}
END_TEST

START_TEST(content_of_an_earlier_file_is_referred_to)
{
    write_three();
    struct hf_chain *chain = load("incremental-3");
    ck_assert_str_eq(hf_chain_find(chain, "c")->blob_file, "full-1");
    ck_assert_str_eq(hf_chain_find(chain, "d")->blob_file, "incremental-3");
    hf_chain_free(chain);
}
END_TEST

START_TEST(index_from_files_knows_the_blobs_that_each_holds_itself)
{
    write_three();
    struct hf_blob_index *index = hf_blob_index_new();
    struct hf_blob_place place;
    struct hf_error err = {0};
    struct hf_hash hash;
    ck_assert(hf_blob_index_add_file(index, repository, HF_TEST_SYSTEM, "incremental", "incremental-3", &err));
    hf_hash_of("second state of d", 17, &hash);
    ck_assert(hf_blob_index_find(index, &hash, &place));
    ck_assert_str_eq(place.file, "incremental-3");
    hf_hash_of("state of b", 10, &hash);
    ck_assert_msg(!hf_blob_index_find(index, &hash, &place), "incremental-3 only refers to it");
    ck_assert(hf_blob_index_add_file(index, repository, HF_TEST_SYSTEM, "full", "full-1", &err));
    ck_assert(hf_blob_index_find(index, &hash, &place));
    ck_assert_str_eq(place.file, "full-1");
    ck_assert(!hf_blob_index_add_file(index, repository, HF_TEST_SYSTEM, "full", "full-9", &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    hf_blob_index_free(index);
}
END_TEST

START_TEST(equal_systems_have_equal_root_hashes_however_stored)
{
    write_three();
    struct hf_test_snapshot copy = {"full-9", NULL, "full-9", 99, whole_third, HF_TEST_COUNT(whole_third), NULL, 0};
    hf_test_write_snapshot(repository, &copy, NULL);
    struct hf_chain *one = load("incremental-3"), *other = load("full-9");
    ck_assert(hf_hash_equal(&hf_chain_header(one)->root_hash, &hf_chain_header(other)->root_hash));
    hf_chain_free(one);
    one = load("incremental-2");
    ck_assert(!hf_hash_equal(&hf_chain_header(one)->root_hash, &hf_chain_header(other)->root_hash));
    hf_chain_free(one);
    hf_chain_free(other);
}
END_TEST

static void assert_fails(const char *id, enum hf_code code, const char *says)
{
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    struct hf_verify_report report;
    ck_assert(!hf_chain_load(&chain, repository, HF_TEST_SYSTEM, id, &err));
    ck_assert_ptr_null(chain);
    ck_assert_msg(err.code == code, "%s", err.text);
    ck_assert_msg(strstr(err.text, says) != NULL, "\"%s\" lacks \"%s\"", err.text, says);
    ck_assert(!hf_repository_verify(repository, HF_TEST_SYSTEM, id, NULL, &report, &err));
    ck_assert_int_eq(err.code, code);
    ck_assert(!report.blobs_ok);
}

START_TEST(missing_parent_is_damage_that_names_it)
{
    write_three();
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &middle);
    ck_assert_int_eq(unlink(path), 0);
    assert_fails("incremental-3", HF_DAMAGED, "builds on incremental-2, which is missing");
    assert_fails("incremental-2", HF_NOT_FOUND, "incremental-2");
    hf_chain_free(load("full-1"));
}
END_TEST

START_TEST(missing_anchor_is_damage_that_names_it)
{
    write_three();
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &full);
    ck_assert_int_eq(unlink(path), 0);
    assert_fails("incremental-3", HF_DAMAGED, "builds on full-1, which is missing");
}
END_TEST

/* A later full of the generation refers to the anchor's blobs: its own manifest is complete, its states are not. */
START_TEST(missing_file_of_a_referred_blob_is_damage)
{
    struct hf_blob_index *index = hf_blob_index_new();
    struct hf_test_snapshot later = {"full-5", NULL, "full-1", 20, first, HF_TEST_COUNT(first), NULL, 0};
    struct hf_verify_report report;
    struct hf_error err = {0};
    struct hf_blob *blob = NULL;
    hf_test_write_snapshot(repository, &full, index);
    hf_test_write_snapshot(repository, &later, index);
    hf_blob_index_free(index);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &full);
    ck_assert_int_eq(unlink(path), 0);
    struct hf_chain *chain = load("full-5");
    ck_assert(!hf_chain_read(chain, hf_chain_find(chain, "a"), &blob, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_msg(strstr(err.text, "full-1, which is missing") != NULL, "%s", err.text);
    hf_chain_free(chain);
    ck_assert(!hf_repository_verify(repository, HF_TEST_SYSTEM, "full-5", NULL, &report, &err));
    ck_assert(report.root_hash_ok && !report.blobs_ok);
}
END_TEST

START_TEST(swapped_files_are_found)
{
    write_three();
    HF_AUTO(free) char *one = hf_test_snapshot_path(directory, &middle);
    HF_AUTO(free) char *other = hf_test_snapshot_path(directory, &last);
    HF_AUTO(free) char *aside = hf_format("%s/aside", directory);
    ck_assert_int_eq(rename(one, aside), 0);
    ck_assert_int_eq(rename(other, one), 0);
    ck_assert_int_eq(rename(aside, other), 0);
    assert_fails("incremental-2", HF_DAMAGED, "under another name");
    assert_fails("incremental-3", HF_DAMAGED, "under another name");
}
END_TEST

START_TEST(file_in_the_directory_of_the_other_kind_is_found)
{
    write_three();
    HF_AUTO(free) char *from = hf_test_snapshot_path(directory, &middle);
    HF_AUTO(free) char *to = hf_format("%s/full/" HF_TEST_SYSTEM "/incremental-2.snapshot", directory);
    ck_assert_int_eq(rename(from, to), 0);
    assert_fails("incremental-2", HF_DAMAGED, "other kind");
}
END_TEST

START_TEST(wrong_root_hash_is_found)
{
    struct hf_test_snapshot wrong = full;
    wrong.whole = whole_second;
    wrong.whole_count = HF_TEST_COUNT(whole_second);
    hf_test_write_snapshot(repository, &wrong, NULL);
    assert_fails("full-1", HF_DAMAGED, "root hash");
}
END_TEST

START_TEST(parent_of_another_generation_or_a_newer_one_is_refused)
{
    struct hf_test_snapshot stranger = middle, early = middle;
    stranger.generation = "full-0";
    early.id = "incremental-early";
    early.sequence = 3;
    hf_test_write_snapshot(repository, &full, NULL);
    hf_test_write_snapshot(repository, &stranger, NULL);
    hf_test_write_snapshot(repository, &early, NULL);
    assert_fails("incremental-2", HF_DAMAGED, "another generation");
    assert_fails("incremental-early", HF_DAMAGED, "which is newer");
}
END_TEST

START_TEST(circle_of_parents_is_found)
{
    struct hf_test_snapshot snapshot = middle;
    char ids[CHAIN_FILES][32];
    for (int i = 0; i < CHAIN_FILES; i++)
        snprintf(ids[i], sizeof(ids[i]), "incremental-%02d", i);
    for (int i = 0; i < CHAIN_FILES; i++) {
        snapshot.id = ids[i];
        snapshot.parent = ids[i + 1 < CHAIN_FILES ? i + 1 : 7];
        hf_test_write_snapshot(repository, &snapshot, NULL);
    }
    assert_fails(ids[0], HF_DAMAGED, "builds on itself");
}
END_TEST

static void *read_many(void *context)
{
    struct hf_chain *chain = context;
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        struct hf_error err;
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        if (!hf_chain_read(chain, entry, &blob, &err) ||
            strncmp((const char *)blob->data, entry->component, strlen(entry->component)) != 0)
            return chain;
    }
    return NULL;
}

/* Each file changes one component more, so that the states lie scattered over all of them. */
START_TEST(chain_of_many_files_is_read_by_many_threads)
{
    static char names[MANY_FILES][32], ids[MANY_FILES][32], texts[MANY_FILES][64];
    static struct hf_test_state states[MANY_FILES];
    for (int i = 0; i < MANY_FILES; i++) {
        snprintf(names[i], sizeof(names[i]), "component-%03d", i);
        snprintf(texts[i], sizeof(texts[i]), "component-%03d has a state", i);
        snprintf(ids[i], sizeof(ids[i]), i ? "incremental-%03d" : "full-%03d", i);
        states[i] = (struct hf_test_state){names[i], texts[i], 0, 1, false, NULL};
        struct hf_test_snapshot snapshot = {ids[i], i ? ids[i - 1] : NULL, ids[0], i, &states[i], 1, states, i + 1};
        hf_test_write_snapshot(repository, &snapshot, NULL);
    }
    struct hf_chain *chain = load(ids[MANY_FILES - 1]);
    pthread_t threads[READERS];
    ck_assert_int_eq(hf_chain_count(chain), MANY_FILES);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_many, chain), 0);
    for (int i = 0; i < READERS; i++) {
        void *failure;
        ck_assert_int_eq(pthread_join(threads[i], &failure), 0);
        ck_assert_ptr_null(failure);
    }
    hf_chain_free(chain);
}
END_TEST

START_TEST(manifest_of_many_entries_is_read_in_order)
{
    struct hf_test_state *states = hf_alloc(MANY * sizeof(*states));
    char(*names)[16] = hf_alloc(MANY * sizeof(*names));
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "c%07d", i);
        states[i] = (struct hf_test_state){names[i], i % 3 ? names[i] : "common", 0, 1 + i, false, NULL};
    }
    struct hf_test_snapshot snapshot = {"full-1", NULL, "full-1", 4, states, MANY, NULL, 0};
    hf_test_write_snapshot(repository, &snapshot, NULL);
    struct hf_chain *chain = load("full-1");
    ck_assert_int_eq(hf_chain_count(chain), MANY);
    for (int i = 0; i < MANY; i++) {
        ck_assert_str_eq(hf_chain_entry(chain, i)->component, names[i]);
        ck_assert_int_eq(hf_chain_entry(chain, i)->version, 1 + i);
    }
    assert_text(chain, names[MANY - 1], MANY % 3 == 1 ? "common" : names[MANY - 1]);
    assert_text(chain, names[0], "common");
    ck_assert_ptr_null(hf_chain_find(chain, "c00000000"));
    hf_chain_free(chain);
    free(states);
    free(names);
}
END_TEST

HF_TEST_MAIN_WITH("chain", setup, teardown, newer_files_overlay_older_ones, content_of_an_earlier_file_is_referred_to,
                  index_from_files_knows_the_blobs_that_each_holds_itself,
                  equal_systems_have_equal_root_hashes_however_stored, missing_parent_is_damage_that_names_it,
                  missing_anchor_is_damage_that_names_it, missing_file_of_a_referred_blob_is_damage,
                  swapped_files_are_found, file_in_the_directory_of_the_other_kind_is_found, wrong_root_hash_is_found,
                  parent_of_another_generation_or_a_newer_one_is_refused, circle_of_parents_is_found,
                  chain_of_many_files_is_read_by_many_threads, manifest_of_many_entries_is_read_in_order);
