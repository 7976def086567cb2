/* What is left of a chain whose files are damaged or gone. */
#include "tests/unit/chain_fixture.h"

#include "repository/place.h"

#include "tests/support/check_main.h"

#include <unistd.h>

static struct hf_chain *salvage(const char *id, bool *whole, char why[480])
{
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    ck_assert_msg(hf_chain_salvage(&chain, repository, HF_TEST_SYSTEM, id, whole, why, &err), "%s", err.text);
    return chain;
}

START_TEST(salvage_of_a_sound_chain_is_the_whole_of_it)
{
    bool whole = false;
    char why[480] = "x";
    write_three();
    struct hf_chain *chain = salvage("incremental-3", &whole, why);
    ck_assert(whole);
    ck_assert_str_eq(why, "");
    ck_assert_int_eq(hf_chain_count(chain), 6);
    hf_chain_free(chain);
}
END_TEST

START_TEST(salvage_goes_on_past_an_ancestor_that_is_gone)
{
    bool whole = true;
    char why[480] = "";
    repository->has_outlines = false;
    write_three();
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &middle);
    for (int way = 0; way < 2; way++) {
        if (way == 0)
            damage_manifest(&middle);
        else
            ck_assert_int_eq(unlink(path), 0);
        struct hf_chain *chain = salvage("incremental-3", &whole, why);
        ck_assert(!whole);
        ck_assert_msg(strstr(why, "incremental-2") != NULL, "%s", why);
        ck_assert_str_eq(hf_chain_header(chain)->id, "incremental-3");
        assert_text(chain, "a", "state of a");
        assert_text(chain, "c", "state of b");
        assert_text(chain, "d", "second state of d");
        ck_assert_ptr_null(hf_chain_find(chain, "aa"));
        hf_chain_free(chain);
    }
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(salvage_without_the_anchor_keeps_what_is_newer)
{
    bool whole = true;
    char why[480] = "";
    struct hf_blob *blob = NULL;
    struct hf_error err = {0};
    repository->has_outlines = false;
    write_three();
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &full);
    ck_assert_int_eq(unlink(path), 0);
    struct hf_chain *chain = salvage("incremental-3", &whole, why);
    ck_assert(!whole);
    ck_assert_ptr_null(hf_chain_find(chain, "a"));
    assert_text(chain, "aa", "new");
    assert_text(chain, "b", "second state of b");
    ck_assert_msg(!hf_chain_read(chain, hf_chain_find(chain, "c"), &blob, &err), "its content lay in the anchor");
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_chain_free(chain);
}
END_TEST

START_TEST(salvage_takes_nothing_of_another_generation)
{
    bool whole = true;
    char why[480] = "";
    struct hf_test_snapshot stranger = {"full-0", NULL, "full-0", 3, first, HF_TEST_COUNT(first), NULL, 0};
    struct hf_test_snapshot lost = middle;
    lost.parent = "full-0";
    hf_test_write_snapshot(repository, &stranger, NULL);
    hf_test_write_snapshot(repository, &lost, NULL);
    struct hf_chain *chain = salvage("incremental-2", &whole, why);
    ck_assert(!whole);
    ck_assert_msg(strstr(why, "another generation") != NULL, "%s", why);
    ck_assert_int_eq(hf_chain_count(chain), HF_TEST_COUNT(second));
    hf_chain_free(chain);
}
END_TEST

START_TEST(salvage_needs_the_snapshots_own_manifest)
{
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    bool whole;
    char why[480];
    repository->has_outlines = false;
    write_three();
    damage_manifest(&last);
    ck_assert(!hf_chain_salvage(&chain, repository, HF_TEST_SYSTEM, "incremental-3", &whole, why, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert(!hf_chain_salvage(&chain, repository, HF_TEST_SYSTEM, "incremental-9", &whole, why, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert_ptr_null(chain);
}
END_TEST

START_TEST(salvage_says_that_the_root_hash_does_not_fit)
{
    bool whole = true;
    char why[480] = "";
    struct hf_test_snapshot wrong = full;
    wrong.whole = whole_second;
    wrong.whole_count = HF_TEST_COUNT(whole_second);
    hf_test_write_snapshot(repository, &wrong, NULL);
    struct hf_chain *chain = salvage("full-1", &whole, why);
    ck_assert(!whole);
    ck_assert_msg(strstr(why, "root hash") != NULL, "%s", why);
    assert_text(chain, "a", "state of a");
    hf_chain_free(chain);
}
END_TEST

HF_TEST_MAIN_WITH("chain salvage", setup, teardown, salvage_of_a_sound_chain_is_the_whole_of_it,
                  salvage_goes_on_past_an_ancestor_that_is_gone, salvage_without_the_anchor_keeps_what_is_newer,
                  salvage_takes_nothing_of_another_generation, salvage_needs_the_snapshots_own_manifest,
                  salvage_says_that_the_root_hash_does_not_fit);
