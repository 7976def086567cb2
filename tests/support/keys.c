#include "tests/support/keys.h"

#include "core/auto.h"
#include "tests/support/snapshots.h"

#include <check.h>
#include <string.h>
#include <sys/stat.h>

char *hf_test_key_file(const char *directory, const char *name, const char *text)
{
    char *path = hf_format("%s/%s", directory, name);
    hf_test_write_file(path, text, strlen(text));
    ck_assert_int_eq(chmod(path, 0600), 0);
    return path;
}

struct hf_keys *hf_test_keys(const char *directory, const char *encryption, const char *signing, const char *trusted)
{
    struct hf_keys *keys = NULL;
    struct hf_error err = {0};
    HF_AUTO(free) char *encryption_path = encryption ? hf_test_key_file(directory, "encryption", encryption) : NULL;
    HF_AUTO(free) char *signing_path = signing ? hf_test_key_file(directory, "signing", signing) : NULL;
    HF_AUTO(free) char *trusted_path = trusted ? hf_test_key_file(directory, "trusted", trusted) : NULL;
    ck_assert_msg(hf_keys_load(&keys, encryption_path, signing_path, trusted_path, &err), "%s", err.text);
    return keys;
}
