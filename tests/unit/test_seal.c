/* What is sealed comes back, and only when nothing of it was touched. */
#include "tests/support/keys.h"
#include "tests/support/temp.h"

#include "core/auto.h"
#include "core/id.h"
#include "repository/seal.h"

#include <check.h>
#include <string.h>

static char *directory;
static struct hf_keys *keys;
static struct hf_seal *seal;
static char key_id[HF_KEY_ID_BYTES];
static unsigned char salt[HF_SEAL_SALT_BYTES];
static struct hf_error err;

static void setup(void)
{
    directory = hf_test_temp_directory();
    keys = hf_test_keys(directory, HF_TEST_KEY_ONE "\n" HF_TEST_KEY_TWO "\n", NULL, NULL);
    ck_assert_msg(hf_seal_new(&seal, keys, key_id, salt, &err), "%s", err.text);
}

static void teardown(void)
{
    hf_seal_free(seal);
    hf_keys_free(keys);
    hf_test_remove_tree(directory);
    free(directory);
}

START_TEST(content_of_any_length_comes_back)
{
    static const size_t lengths[] = {0, 1, 15, 16, 17, 4096, 1000003};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t bytes = lengths[i];
        HF_AUTO(free) unsigned char *data = hf_alloc(bytes + 1);
        HF_AUTO(free) unsigned char *sealed = hf_alloc(bytes + HF_SEAL_EXTRA_BYTES);
        HF_AUTO(free) unsigned char *again = hf_alloc(bytes + 1);
        hf_random_bytes(data, bytes);
        ck_assert(hf_seal_close(seal, "aad", 3, data, bytes, sealed, &err));
        ck_assert_msg(hf_seal_unlock(seal, "aad", 3, sealed, bytes + HF_SEAL_EXTRA_BYTES, again, &err), "%s", err.text);
        ck_assert(memcmp(again, data, bytes) == 0);
        unsigned char *in_place = sealed + HF_SEAL_NONCE_BYTES;
        ck_assert(hf_seal_unlock(seal, "aad", 3, sealed, bytes + HF_SEAL_EXTRA_BYTES, in_place, &err));
        ck_assert(memcmp(in_place, data, bytes) == 0);
    }
}
END_TEST

START_TEST(every_flipped_bit_is_found_and_nothing_comes_out)
{
    static const char text[] = "a short state";
    unsigned char sealed[sizeof(text) + HF_SEAL_EXTRA_BYTES], out[sizeof(text)], zeros[sizeof(text)] = {0};
    ck_assert(hf_seal_close(seal, "aad", 3, text, sizeof(text), sealed, &err));
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        sealed[bit / 8] ^= (unsigned char)(1 << (bit % 8));
        ck_assert(!hf_seal_unlock(seal, "aad", 3, sealed, sizeof(sealed), out, &err));
        ck_assert_int_eq(err.code, HF_DAMAGED);
        ck_assert_mem_eq(out, zeros, sizeof(out));
        sealed[bit / 8] ^= (unsigned char)(1 << (bit % 8));
    }
    ck_assert(!hf_seal_unlock(seal, "aae", 3, sealed, sizeof(sealed), out, &err));
    ck_assert(!hf_seal_unlock(seal, "aad", 2, sealed, sizeof(sealed), out, &err));
    ck_assert(!hf_seal_unlock(seal, "aad", 3, sealed, sizeof(sealed) - 1, out, &err));
    ck_assert(!hf_seal_unlock(seal, "aad", 3, sealed, HF_SEAL_EXTRA_BYTES - 1, out, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert(hf_seal_unlock(seal, "aad", 3, sealed, sizeof(sealed), out, &err));
    ck_assert_mem_eq(out, text, sizeof(text));
}
END_TEST

START_TEST(same_content_is_never_sealed_alike)
{
    unsigned char one[4 + HF_SEAL_EXTRA_BYTES], two[4 + HF_SEAL_EXTRA_BYTES], other_salt[HF_SEAL_SALT_BYTES];
    char other_id[HF_KEY_ID_BYTES];
    struct hf_seal *other = NULL;
    ck_assert(hf_seal_close(seal, NULL, 0, "same", 4, one, &err));
    ck_assert(hf_seal_close(seal, NULL, 0, "same", 4, two, &err));
    ck_assert(memcmp(one, two, HF_SEAL_NONCE_BYTES) != 0);
    ck_assert(memcmp(one + HF_SEAL_NONCE_BYTES, two + HF_SEAL_NONCE_BYTES, 4 + HF_SEAL_TAG_BYTES) != 0);
    ck_assert(hf_seal_new(&other, keys, other_id, other_salt, &err));
    ck_assert_str_eq(other_id, key_id);
    ck_assert(memcmp(salt, other_salt, sizeof(salt)) != 0);
    unsigned char out[4];
    ck_assert(!hf_seal_unlock(other, NULL, 0, one, sizeof(one), out, &err)); /* every file has a key of its own */
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_seal_free(other);
}
END_TEST

START_TEST(key_id_and_salt_open_it_again)
{
    unsigned char sealed[4 + HF_SEAL_EXTRA_BYTES], out[4];
    struct hf_seal *again = NULL;
    ck_assert_str_eq(key_id, HF_TEST_KEY_ONE_ID);
    ck_assert(hf_seal_close(seal, NULL, 0, "same", 4, sealed, &err));
    ck_assert(hf_seal_open(&again, keys, key_id, salt, &err));
    ck_assert(hf_seal_unlock(again, NULL, 0, sealed, sizeof(sealed), out, &err));
    ck_assert_mem_eq(out, "same", 4);
    hf_seal_free(again);
    again = NULL;
    ck_assert(hf_seal_open(&again, keys, HF_TEST_KEY_TWO_ID, salt, &err));
    ck_assert(!hf_seal_unlock(again, NULL, 0, sealed, sizeof(sealed), out, &err));
    hf_seal_free(again);
}
END_TEST

START_TEST(missing_key_is_told_as_such)
{
    struct hf_seal *none = NULL;
    ck_assert(!hf_seal_open(&none, keys, "0123456789abcdef", salt, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    ck_assert(!hf_seal_open(&none, NULL, key_id, salt, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    ck_assert_ptr_null(none);
}
END_TEST

START_TEST(pieces_and_the_whole_are_one_format)
{
    unsigned char data[1000], sealed[sizeof(data) + HF_SEAL_EXTRA_BYTES], out[sizeof(data)];
    struct hf_seal_stream *stream = NULL;
    hf_random_bytes(data, sizeof(data));
    memcpy(sealed + HF_SEAL_NONCE_BYTES, data, sizeof(data));
    ck_assert(hf_seal_stream_close(&stream, seal, "head", 4, sealed, &err));
    for (size_t at = 0; at < sizeof(data); at += 100)
        ck_assert(hf_seal_stream_turn(stream, sealed + HF_SEAL_NONCE_BYTES + at, 100, &err));
    ck_assert(hf_seal_stream_end(stream, sealed + HF_SEAL_NONCE_BYTES + sizeof(data), &err));
    hf_seal_stream_free(stream);
    ck_assert_msg(hf_seal_unlock(seal, "head", 4, sealed, sizeof(sealed), out, &err), "%s", err.text);
    ck_assert_mem_eq(out, data, sizeof(data));

    unsigned char *tag = sealed + HF_SEAL_NONCE_BYTES + sizeof(data), *body = sealed + HF_SEAL_NONCE_BYTES;
    for (int wrong = 0; wrong < 2; wrong++) {
        unsigned char copy[sizeof(data)];
        memcpy(copy, body, sizeof(copy));
        copy[999] ^= (unsigned char)wrong;
        ck_assert(hf_seal_stream_unlock(&stream, seal, "head", 4, sealed, &err));
        ck_assert(hf_seal_stream_turn(stream, copy, 1, &err) && hf_seal_stream_turn(stream, copy + 1, 999, &err));
        ck_assert_int_eq(hf_seal_stream_end(stream, tag, &err), !wrong);
        ck_assert(!wrong || err.code == HF_DAMAGED);
        ck_assert(wrong || memcmp(copy, data, sizeof(data)) == 0);
        hf_seal_stream_free(stream);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seal");
    TCase *cases = tcase_create("seal");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, content_of_any_length_comes_back);
    tcase_add_test(cases, every_flipped_bit_is_found_and_nothing_comes_out);
    tcase_add_test(cases, same_content_is_never_sealed_alike);
    tcase_add_test(cases, key_id_and_salt_open_it_again);
    tcase_add_test(cases, missing_key_is_told_as_such);
    tcase_add_test(cases, pieces_and_the_whole_are_one_format);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
