/* The main function of a Check program: one suite made of one table of tests. Include it last in a test_*.c. */
#ifndef HF_TESTS_CHECK_MAIN_H
#define HF_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

/* HF_TEST_MAIN("buf", test_one, test_two): runs them and exits 0 when all passed. Names are sentences. */
#define HF_TEST_MAIN(suite_name, ...) HF_TEST_MAIN_WITH(suite_name, NULL, NULL, __VA_ARGS__)

/* The same, with a checked fixture around every test. */
#define HF_TEST_MAIN_WITH(suite_name, setup_each, teardown_each, ...)                                                  \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        const TTest *tests[] = {__VA_ARGS__};                                                                          \
        Suite *suite = suite_create(suite_name);                                                                       \
        TCase *cases = tcase_create(suite_name);                                                                       \
        tcase_add_checked_fixture(cases, setup_each, teardown_each);                                                   \
        tcase_set_timeout(cases, 300);                                                                                 \
        for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)                                                  \
            tcase_add_test(cases, tests[i]);                                                                           \
        suite_add_tcase(suite, cases);                                                                                 \
        SRunner *runner = srunner_create(suite);                                                                       \
        srunner_run_all(runner, CK_ENV);                                                                               \
        int failed = srunner_ntests_failed(runner);                                                                    \
        srunner_free(runner);                                                                                          \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                                   \
    }                                                                                                                  \
    extern int hf_test_main_needs_a_semicolon

#endif
