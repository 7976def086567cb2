/* Key files: what they may hold, what is said of those that are wrong; derived keys and signatures against openssl's
 * own command line. */
#include "tests/support/keys.h"
#include "tests/support/temp.h"

#include "core/auto.h"
#include "repository/keys.h"

#include <check.h>
#include <string.h>
#include <sys/stat.h>

#define TWO_KEYS "# the newest first\n\n" HF_TEST_KEY_TWO "\r\n  " HF_TEST_KEY_ONE
/* printf root | sha256sum */
#define ROOT_HASH "4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2"
/* openssl pkeyutl -sign -inkey KEY -rawin -in MESSAGE | base64 */
#define SIGNATURE "PMEUfKoOuHb1MfQP5YEBZMNtY7zcZQ85CoQRqvfYA9+AiJjD/bmiWzrAHGAlsNVmj+UV+Pp1L6gxtr5GdluvDA=="
#define EC_PUBLIC_KEY                                                                                                  \
    "-----BEGIN PUBLIC KEY-----\n"                                                                                     \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElx22KJIwBLEc+q4uOsPehxvnvle9\n"                                               \
    "EnL1D+ljmCpO5iigfPWCX6u5Uv7erfbUtx0QfCkjNaJyDYmPpMQLho1ZyQ==\n"                                                   \
    "-----END PUBLIC KEY-----\n"
#define EC_PRIVATE_KEY                                                                                                 \
    "-----BEGIN EC PRIVATE KEY-----\n"                                                                                 \
    "MHcCAQEEINa6irQDGb4aXapHHO/tDMoqe/DEGooC7/+6bYIu2MruoAoGCCqGSM49\n"                                               \
    "AwEHoUQDQgAElx22KJIwBLEc+q4uOsPehxvnvle9EnL1D+ljmCpO5iigfPWCX6u5\n"                                               \
    "Uv7erfbUtx0QfCkjNaJyDYmPpMQLho1ZyQ==\n"                                                                           \
    "-----END EC PRIVATE KEY-----\n"
#define KEY_WITH_PASSWORD                                                                                              \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                                          \
    "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjwbcE4rVTK7AICCAAw\n"                                               \
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEH3VySHqq+GT1dXPk4yDBYoEQOXL\n"                                               \
    "2b8pSS2G/CgyIANgiC390Tn1cOEeWxUAQKov4/QFksVkGOtEbWR/VjKmhhczZ2/s\n"                                               \
    "/maqcSRvJ45q5YXnjKs=\n"                                                                                           \
    "-----END ENCRYPTED PRIVATE KEY-----\n"

enum kind { ENCRYPTION, SIGNING, TRUSTED };

static char *directory;
static struct hf_keys *keys;
static struct hf_error err;

static void setup(void)
{
    directory = hf_test_temp_directory();
    keys = NULL;
}

static void teardown(void)
{
    hf_keys_free(keys);
    hf_test_remove_tree(directory);
    free(directory);
}

static bool load_one(enum kind kind, const char *path)
{
    return hf_keys_load(&keys, kind == ENCRYPTION ? path : NULL, kind == SIGNING ? path : NULL,
                        kind == TRUSTED ? path : NULL, &err);
}

static void assert_refused(enum kind kind, const char *text, const char *why)
{
    HF_AUTO(free) char *path = hf_test_key_file(directory, "keys", text);
    ck_assert_msg(!load_one(kind, path), "a file was accepted that lacks: %s", why);
    ck_assert_int_eq(err.code, HF_CONFIG);
    ck_assert_msg(strstr(err.text, path), "no file named: %s", err.text);
    ck_assert_msg(strstr(err.text, why), "\"%s\" is not in: %s", why, err.text);
}

static struct hf_manifest_header signed_header(void)
{
    struct hf_manifest_header header = {.system = "shop",
                                        .id = "full-1",
                                        .signed_by = HF_TEST_PUBLIC_KEY_ID,
                                        .signature = SIGNATURE};
    ck_assert(hf_hash_parse(ROOT_HASH, &header.root_hash));
    return header;
}

START_TEST(first_key_encrypts_and_all_are_found)
{
    unsigned char salt[16] = {0}, file_key[HF_KEY_BYTES];
    char id[HF_KEY_ID_BYTES];
    keys = hf_test_keys(directory, TWO_KEYS, NULL, NULL);
    ck_assert(hf_keys_encrypt(keys));
    ck_assert(!hf_keys_sign(keys));
    ck_assert(hf_keys_derive(keys, NULL, salt, sizeof(salt), file_key, id, &err));
    ck_assert_str_eq(id, HF_TEST_KEY_TWO_ID);
    ck_assert(hf_keys_derive(keys, HF_TEST_KEY_ONE_ID, salt, sizeof(salt), file_key, id, &err));
    ck_assert_str_eq(id, HF_TEST_KEY_ONE_ID);
}
END_TEST

START_TEST(derived_key_is_the_one_that_openssl_derives)
{
    /* openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:... -kdfopt hexsalt:a0a1... -kdfopt info:... HKDF */
    static const unsigned char expected[HF_KEY_BYTES] = {0xc6, 0xf8, 0x13, 0x8b, 0x02, 0xaf, 0xb1, 0x2e,
                                                         0xb2, 0x54, 0x6f, 0x9e, 0xf2, 0x8e, 0xae, 0x85,
                                                         0xb9, 0x4a, 0xc3, 0x51, 0xe5, 0x96, 0x8a, 0xb2,
                                                         0xd8, 0xf8, 0x0e, 0x76, 0x4b, 0x05, 0x2b, 0xd7};
    unsigned char salt[16], file_key[HF_KEY_BYTES];
    char id[HF_KEY_ID_BYTES];
    for (int i = 0; i < 16; i++)
        salt[i] = (unsigned char)(0xa0 + i);
    keys = hf_test_keys(directory, HF_TEST_KEY_ONE "\n", NULL, NULL);
    ck_assert(hf_keys_derive(keys, HF_TEST_KEY_ONE_ID, salt, sizeof(salt), file_key, id, &err));
    ck_assert_mem_eq(file_key, expected, sizeof(expected));
}
END_TEST

START_TEST(missing_key_is_named_with_those_at_hand)
{
    unsigned char salt[16] = {0}, file_key[HF_KEY_BYTES];
    char id[HF_KEY_ID_BYTES];
    keys = hf_test_keys(directory, TWO_KEYS, NULL, NULL);
    ck_assert(!hf_keys_derive(keys, "0123456789abcdef", salt, sizeof(salt), file_key, id, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    ck_assert_ptr_nonnull(strstr(err.text, "0123456789abcdef"));
    ck_assert_ptr_nonnull(strstr(err.text, HF_TEST_KEY_ONE_ID));
    ck_assert_ptr_nonnull(strstr(err.text, HF_TEST_KEY_TWO_ID));
    ck_assert_ptr_nonnull(strstr(err.text, "PERSISTENCE_ENCRYPTION_KEY_FILE"));
    ck_assert(!hf_keys_derive(NULL, "0123456789abcdef", salt, sizeof(salt), file_key, id, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
}
END_TEST

START_TEST(no_files_are_no_keys)
{
    ck_assert(hf_keys_load(&keys, NULL, NULL, NULL, &err));
    ck_assert(!hf_keys_encrypt(keys));
    ck_assert(!hf_keys_sign(keys));
    ck_assert(!hf_keys_encrypt(NULL));
    ck_assert(!hf_keys_sign(NULL));
}
END_TEST

START_TEST(wrong_encryption_key_files_are_refused_by_line)
{
    assert_refused(ENCRYPTION, "", "no key");
    assert_refused(ENCRYPTION, "# only a comment\n", "no key");
    assert_refused(ENCRYPTION, HF_TEST_KEY_ONE "\n" HF_TEST_KEY_TWO "0\n", "line 2");
    assert_refused(ENCRYPTION, "\n" HF_TEST_KEY_ONE "\nsecret\n", "line 3");
    assert_refused(ENCRYPTION, "z" HF_TEST_KEY_ONE, "line 1");
    assert_refused(ENCRYPTION, HF_TEST_KEY_ONE "\n\n" HF_TEST_KEY_ONE "\n", "line 3");
    HF_AUTO(free) char *large = hf_alloc(((size_t)64 << 10) + 2);
    memset(large, '\n', ((size_t)64 << 10) + 1);
    assert_refused(ENCRYPTION, large, "longer than");
}
END_TEST

START_TEST(refusal_does_not_tell_the_key)
{
    HF_AUTO(free) char *path = hf_test_key_file(directory, "keys", HF_TEST_KEY_ONE "00\n");
    ck_assert(!load_one(ENCRYPTION, path));
    ck_assert_ptr_null(strstr(err.text, "000102"));
}
END_TEST

START_TEST(secret_file_open_to_everyone_is_refused)
{
    static const int modes[] = {0604, 0602, 0601, 0644};
    HF_AUTO(free) char *path = hf_test_key_file(directory, "keys", HF_TEST_KEY_ONE "\n");
    HF_AUTO(free) char *signing = hf_test_key_file(directory, "signing", HF_TEST_SIGNING_KEY);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(chmod(path, (mode_t)modes[i]), 0);
        ck_assert_int_eq(chmod(signing, (mode_t)modes[i]), 0);
        ck_assert(!load_one(ENCRYPTION, path));
        ck_assert_int_eq(err.code, HF_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "chmod o= "));
        ck_assert(!load_one(SIGNING, signing));
        ck_assert_ptr_nonnull(strstr(err.text, "chmod o= "));
    }
    ck_assert_int_eq(chmod(path, 0440), 0); /* as a secret is mounted for a group */
    ck_assert_msg(load_one(ENCRYPTION, path), "%s", err.text);
}
END_TEST

START_TEST(public_keys_may_be_read_by_everyone)
{
    HF_AUTO(free) char *path = hf_test_key_file(directory, "keys", HF_TEST_PUBLIC_KEY);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_msg(load_one(TRUSTED, path), "%s", err.text);
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
    HF_AUTO(free) char *nowhere = hf_format("%s/nowhere", directory);
    for (int kind = ENCRYPTION; kind <= TRUSTED; kind++) {
        ck_assert(!load_one((enum kind)kind, nowhere));
        ck_assert_int_eq(err.code, HF_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, nowhere));
        ck_assert(!load_one((enum kind)kind, directory));
        ck_assert_int_eq(err.code, HF_CONFIG);
    }
}
END_TEST

START_TEST(wrong_signing_and_trusted_keys_are_refused)
{
    assert_refused(SIGNING, "", "openssl genpkey");
    assert_refused(SIGNING, HF_TEST_PUBLIC_KEY, "openssl genpkey");
    assert_refused(SIGNING, EC_PRIVATE_KEY, "openssl genpkey");
    assert_refused(SIGNING, KEY_WITH_PASSWORD, "without a password");
    assert_refused(TRUSTED, "# nothing\n", "holds no key");
    assert_refused(TRUSTED, HF_TEST_PUBLIC_KEY EC_PUBLIC_KEY, "line 4");
    assert_refused(TRUSTED, HF_TEST_PUBLIC_KEY HF_TEST_SIGNING_KEY, "line 4");
    assert_refused(TRUSTED, HF_TEST_PUBLIC_KEY "\n" HF_TEST_PUBLIC_KEY, "line 5");
}
END_TEST

START_TEST(signature_is_the_one_that_openssl_makes)
{
    char signed_by[HF_KEY_ID_BYTES], signature[HF_SIGNATURE_BYTES];
    struct hf_manifest_header header = signed_header();
    keys = hf_test_keys(directory, NULL, HF_TEST_SIGNING_KEY, NULL);
    ck_assert(hf_keys_sign(keys));
    ck_assert(!hf_keys_encrypt(keys));
    ck_assert(hf_keys_sign_root(keys, "shop", "full-1", &header.root_hash, signed_by, signature, &err));
    ck_assert_str_eq(signed_by, HF_TEST_PUBLIC_KEY_ID);
    ck_assert_str_eq(signature, SIGNATURE);
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_GOOD);
}
END_TEST

START_TEST(public_key_is_enough_to_verify)
{
    struct hf_manifest_header header = signed_header();
    keys = hf_test_keys(directory, NULL, NULL, HF_TEST_OTHER_PUBLIC_KEY "# and ours\n" HF_TEST_PUBLIC_KEY);
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_GOOD);
}
END_TEST

START_TEST(own_key_may_stand_among_the_trusted_ones)
{
    struct hf_manifest_header header = signed_header();
    keys = hf_test_keys(directory, NULL, HF_TEST_SIGNING_KEY, HF_TEST_PUBLIC_KEY);
    ck_assert(hf_keys_sign(keys));
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_GOOD);
}
END_TEST

START_TEST(whatever_is_signed_cannot_be_changed)
{
    struct hf_manifest_header good = signed_header(), header;
    keys = hf_test_keys(directory, NULL, NULL, HF_TEST_PUBLIC_KEY);
    header = good, header.system = "shoq";
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_BAD);
    header = good, header.id = "full-2";
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_BAD);
    header = good, header.root_hash.bytes[31] ^= 1;
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_BAD);
    header = good,
    header.signature = "QMEUfKoOuHb1MfQP5YEBZMNtY7zcZQ85CoQRqvfYA9+AiJjD/bmiWzrAHGAlsNVmj+UV+Pp1L6gxtr5GdluvDA==";
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_BAD);
    header = good, header.signature = "short";
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_BAD);
    header = good, header.signature = "";
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_BAD);
}
END_TEST

START_TEST(unsigned_and_unknown_are_told_apart)
{
    struct hf_manifest_header header = signed_header(), bare = {.system = "shop", .id = "full-1"};
    keys = hf_test_keys(directory, NULL, NULL, HF_TEST_OTHER_PUBLIC_KEY);
    ck_assert_int_eq(hf_keys_verify_root(keys, &header), HF_SIGNATURE_UNKNOWN);
    ck_assert_int_eq(hf_keys_verify_root(NULL, &header), HF_SIGNATURE_UNKNOWN);
    ck_assert_int_eq(hf_keys_verify_root(keys, &bare), HF_SIGNATURE_NONE);
    bare.signed_by = bare.signature = "";
    ck_assert_int_eq(hf_keys_verify_root(keys, &bare), HF_SIGNATURE_NONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keys");
    TCase *cases = tcase_create("keys");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, first_key_encrypts_and_all_are_found);
    tcase_add_test(cases, derived_key_is_the_one_that_openssl_derives);
    tcase_add_test(cases, missing_key_is_named_with_those_at_hand);
    tcase_add_test(cases, no_files_are_no_keys);
    tcase_add_test(cases, wrong_encryption_key_files_are_refused_by_line);
    tcase_add_test(cases, refusal_does_not_tell_the_key);
    tcase_add_test(cases, secret_file_open_to_everyone_is_refused);
    tcase_add_test(cases, public_keys_may_be_read_by_everyone);
    tcase_add_test(cases, what_is_no_file_is_refused);
    tcase_add_test(cases, wrong_signing_and_trusted_keys_are_refused);
    tcase_add_test(cases, signature_is_the_one_that_openssl_makes);
    tcase_add_test(cases, public_key_is_enough_to_verify);
    tcase_add_test(cases, own_key_may_stand_among_the_trusted_ones);
    tcase_add_test(cases, whatever_is_signed_cannot_be_changed);
    tcase_add_test(cases, unsigned_and_unknown_are_told_apart);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
