/* Keys of the repository for tests. */
#ifndef HF_TESTS_KEYS_H
#define HF_TESTS_KEYS_H

#include "repository/keys.h"

/* Two keys of a key file, and their ids. */
#define HF_TEST_KEY_ONE    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HF_TEST_KEY_ONE_ID "d6d415f15014a233"
#define HF_TEST_KEY_TWO    "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define HF_TEST_KEY_TWO_ID "e1c7adc92e52395a"

/* A signing key made for these tests, its public key, its id; and another public key. */
#define HF_TEST_SIGNING_KEY                                                                                            \
    "-----BEGIN PRIVATE KEY-----\n"                                                                                    \
    "MC4CAQAwBQYDK2VwBCIEIIOm5uBE6fWyCNwqy2cgTkg0giCwdQmPRLu/xllmCQWP\n"                                               \
    "-----END PRIVATE KEY-----\n"
#define HF_TEST_PUBLIC_KEY                                                                                             \
    "-----BEGIN PUBLIC KEY-----\n"                                                                                     \
    "MCowBQYDK2VwAyEAL/vdWKKv+om4H6mrF0qgVpmX8XGhbsgRegrlOgJPE/A=\n"                                                   \
    "-----END PUBLIC KEY-----\n"
#define HF_TEST_PUBLIC_KEY_ID "0a6ae005afb6089d"
#define HF_TEST_OTHER_PUBLIC_KEY                                                                                       \
    "-----BEGIN PUBLIC KEY-----\n"                                                                                     \
    "MCowBQYDK2VwAyEAvUzk/TVDxmq4F3nkJNC6aiZZT49LULM9Dp6jxLXPilc=\n"                                                   \
    "-----END PUBLIC KEY-----\n"

/* Writes the text for its owner alone (owns the path, free()). */
char *hf_test_key_file(const char *directory, const char *name, const char *text);

/* Loads keys from files with these texts, made in the directory; each may be NULL. A failure ends the test. Owns:
 * hf_keys_free. */
struct hf_keys *hf_test_keys(const char *directory, const char *encryption, const char *signing, const char *trusted);

#endif
