#include "core/digest.h"

#include <pthread.h>
#include <string.h>

#include "tests/support/check_main.h"

#define EMPTY_HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_HEX   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void check_hash(const void *data, size_t bytes, const char *expected)
{
    struct hf_hash hash;
    char hex[HF_HASH_HEX];
    hf_hash_of(data, bytes, &hash);
    hf_hash_hex(&hash, hex);
    ck_assert_str_eq(hex, expected);
}

START_TEST(hashes_match_the_published_vectors)
{
    check_hash("", 0, EMPTY_HEX);
    check_hash("abc", 3, ABC_HEX);
    check_hash("", 0, EMPTY_HEX);
}
END_TEST

START_TEST(streaming_gives_the_same_hash_and_starts_anew_after_finish)
{
    struct hf_hasher *hasher = hf_hasher_new();
    char thousand[1000];
    memset(thousand, 'a', sizeof(thousand));
    for (int i = 0; i < 1000; i++)
        hf_hasher_add(hasher, thousand, sizeof(thousand));
    struct hf_hash hash, expected;
    ck_assert(hf_hash_parse(MILLION_A, &expected));
    hf_hasher_finish(hasher, &hash);
    ck_assert(hf_hash_equal(&hash, &expected));
    hf_hasher_add(hasher, "a", 1);
    hf_hasher_add(hasher, "bc", 2);
    hf_hasher_finish(hasher, &hash);
    ck_assert(hf_hash_parse(ABC_HEX, &expected));
    ck_assert(hf_hash_equal(&hash, &expected));
    hf_hasher_free(hasher);
    hf_hasher_free(NULL);
}
END_TEST

static void *hash_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++)
        check_hash("abc", 3, ABC_HEX);
    return NULL;
}

START_TEST(threads_hash_at_the_same_time)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hash_often, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

START_TEST(labels_and_hex_are_read_back)
{
    struct hf_hash hash, again;
    char label[HF_HASH_LABEL];
    hf_hash_of("abc", 3, &hash);
    hf_hash_label(&hash, label);
    ck_assert_str_eq(label, "sha256:" ABC_HEX);
    ck_assert(hf_hash_parse(label, &again));
    ck_assert(hf_hash_equal(&hash, &again));
    again.bytes[31] ^= 1;
    ck_assert(!hf_hash_equal(&hash, &again));
}
END_TEST

START_TEST(malformed_hashes_are_refused)
{
    static const char *const cases[] = {
        "",
        "sha256:",
        "abc",
        ABC_HEX "0",
        "sha512:" ABC_HEX,
        "Sha256:" ABC_HEX,
        "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_hash hash;
        ck_assert_msg(!hf_hash_parse(cases[i], &hash), "%s", cases[i]);
    }
}
END_TEST

START_TEST(constant_time_equality_compares_every_byte)
{
    ck_assert(hf_bytes_equal_constant_time("secret", "secret", 6));
    ck_assert(!hf_bytes_equal_constant_time("secret", "secreT", 6));
    ck_assert(!hf_bytes_equal_constant_time("Secret", "secret", 6));
    ck_assert(hf_bytes_equal_constant_time("a", "b", 0));
}
END_TEST

START_TEST(base64_matches_the_vectors_of_the_standard)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[16];
        unsigned char data[16];
        size_t bytes = 99;
        ck_assert_uint_eq(hf_base64_encode(cases[i][0], strlen(cases[i][0]), text), strlen(cases[i][1]));
        ck_assert_str_eq(text, cases[i][1]);
        ck_assert(hf_base64_decode(text, strlen(text), data, &bytes));
        ck_assert_uint_eq(bytes, strlen(cases[i][0]));
        ck_assert_mem_eq(data, cases[i][0], bytes);
    }
}
END_TEST

START_TEST(base64_that_is_not_strict_is_refused)
{
    static const char *const cases[] = {"Z",    "Zg",   "Zg=",      "Z===",       "====",         "Zg==Zg==",
                                        "Zh==", "Zm9=", "Zm 9v",    "Zm9v\n",     "Zm9v\n\n\n\n", "Zm-_",
                                        "=Zm9", "Z=m9", "Zm9vYg=a", "Zm\xc3\xa4", "Zg==\n\n\n\n"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char data[16];
        size_t bytes;
        ck_assert_msg(!hf_base64_decode(cases[i], strlen(cases[i]), data, &bytes), "%s", cases[i]);
    }
}
END_TEST

HF_TEST_MAIN("digest", hashes_match_the_published_vectors, streaming_gives_the_same_hash_and_starts_anew_after_finish,
             threads_hash_at_the_same_time, labels_and_hex_are_read_back, malformed_hashes_are_refused,
             constant_time_equality_compares_every_byte, base64_matches_the_vectors_of_the_standard,
             base64_that_is_not_strict_is_refused);
