#include "core/error.h"

#include <errno.h>
#include <string.h>

#include "tests/support/check_main.h"

START_TEST(setting_returns_false_and_keeps_code_and_text)
{
    struct hf_error err;
    ck_assert(!hf_error_set(&err, HF_NOT_FOUND, "no component \"%s\"", "agent-7"));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    ck_assert_str_eq(err.text, "no component \"agent-7\"");
}
END_TEST

START_TEST(an_argument_may_be_the_errors_own_text)
{
    struct hf_error err;
    hf_error_set(&err, HF_IO, "inner");
    hf_error_set(&err, HF_DAMAGED, "outer (%s)", err.text);
    ck_assert_str_eq(err.text, "outer (inner)");
    hf_error_wrap(&err, "again %s", err.text);
    ck_assert_str_eq(err.text, "again outer (inner): outer (inner)");
}
END_TEST

START_TEST(wrapping_puts_the_prefix_first_and_keeps_the_code)
{
    struct hf_error err;
    hf_error_set(&err, HF_STORE_DOWN, "connection refused");
    ck_assert(!hf_error_wrap(&err, "system %d", 3));
    ck_assert_int_eq(err.code, HF_STORE_DOWN);
    ck_assert_str_eq(err.text, "system 3: connection refused");
}
END_TEST

START_TEST(a_long_text_is_cut_and_terminated)
{
    struct hf_error err;
    char longer[2 * sizeof(err.text)];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    memset(&err, 'y', sizeof(err));
    hf_error_set(&err, HF_INTERNAL, "%s", longer);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
    hf_error_wrap(&err, "prefix");
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
    ck_assert_int_eq(strncmp(err.text, "prefix: xxx", 11), 0);
    hf_error_errno(&err, EIO, "%s", longer);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

START_TEST(a_full_disk_has_its_own_code)
{
    struct hf_error err;
    ck_assert(!hf_error_errno(&err, ENOSPC, "writing %s", "f"));
    ck_assert_int_eq(err.code, HF_STORAGE_FULL);
    ck_assert_str_eq(err.text, "writing f: No space left on device");
    hf_error_errno(&err, EDQUOT, "writing");
    ck_assert_int_eq(err.code, HF_STORAGE_FULL);
    hf_error_errno(&err, EACCES, "writing");
    ck_assert_int_eq(err.code, HF_IO);
}
END_TEST

START_TEST(every_code_has_a_name_of_its_own_a_title_and_a_status)
{
    for (int i = 0; i < HF_CODE_COUNT; i++) {
        enum hf_code code = (enum hf_code)i;
        ck_assert_uint_gt(strlen(hf_code_title(code)), 0);
        ck_assert(hf_code_status(code) == 200 || (hf_code_status(code) >= 400 && hf_code_status(code) < 600));
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(hf_code_name(code), hf_code_name((enum hf_code)j));
    }
    ck_assert_str_eq(hf_code_name(HF_STALE_EPOCH), "stale_epoch");
    ck_assert_int_eq(hf_code_status(HF_STORAGE_FULL), 507);
    ck_assert(hf_code_retryable(HF_OVERLOADED));
    ck_assert(!hf_code_retryable(HF_PRECONDITION));
}
END_TEST

HF_TEST_MAIN("error", setting_returns_false_and_keeps_code_and_text, an_argument_may_be_the_errors_own_text,
             wrapping_puts_the_prefix_first_and_keeps_the_code, a_long_text_is_cut_and_terminated,
             a_full_disk_has_its_own_code, every_code_has_a_name_of_its_own_a_title_and_a_status);
