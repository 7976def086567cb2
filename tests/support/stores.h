/* A store for tests of the contract: every test runs once on each engine, on a database of its own. */
#ifndef HF_TESTS_STORES_H
#define HF_TESTS_STORES_H

#include "store/states.h"
#include "store/store.h"
#include "store/systems.h"

#include <check.h>
#include <stdlib.h>

#define HF_TEST_SYSTEM 7 /* id of the system that the helpers below write to */

/* Both want a struct hf_error named err in scope. */
#define HF_TEST_OK(call) ck_assert_msg((call), "%s: %s: %s", #call, hf_code_name(err.code), err.text)
#define HF_TEST_FAILS(expected, call)                                                                                  \
    do {                                                                                                               \
        ck_assert_msg(!(call), "%s succeeded", #call);                                                                 \
        ck_assert_msg(err.code == (expected), "%s: %s instead of %s: %s", #call, hf_code_name(err.code),               \
                      hf_code_name(expected), err.text);                                                               \
    } while (0)

enum hf_test_engine { HF_TEST_SQLITE, HF_TEST_POSTGRES, HF_TEST_ENGINE_COUNT };

struct hf_test_store {
    enum hf_test_engine engine;
    char *directory; /* SQLite: data directory */
    char *url;       /* PostgreSQL */
    struct hf_store_options options;
    struct hf_store *store;
    struct hf_session *write;
    struct hf_session *read;
};

/* A place without a database: an empty directory, or a new database of the server for ordinary tests. */
void hf_test_store_place(struct hf_test_store *out, enum hf_test_engine engine);
void hf_test_store_open(struct hf_test_store *test);  /* the store and one session of each role */
void hf_test_store_close(struct hf_test_store *test); /* harmless when closed */
void hf_test_store_done(struct hf_test_store *test);  /* closes and removes */

/* Changes the database behind the store's back. */
void hf_test_store_alter(const struct hf_test_store *test, const char *sql);

/* The system HF_TEST_SYSTEM at sequence 0. */
void hf_test_store_add_system(struct hf_test_store *test);

/* A place, opened, with that system in it: engine is the _i of a test. */
void hf_test_store_begin(struct hf_test_store *out, int engine);

/* A row of that system with content and everything that follows from it filled in: epoch 1, JSON, and committed at
 * sequence * 1000 ms. A NULL content makes a tombstone. */
struct hf_state_row hf_test_state(int64_t sequence, int64_t component_id, int64_t version, int64_t previous_sequence,
                                  const void *content, int64_t bytes);

/* Inserts the rows in one transaction and moves the system to the last one's sequence. */
void hf_test_store_commit(struct hf_test_store *test, const struct hf_state_row *rows, int count);

/* How many rows the statement delivers. */
int hf_test_store_count(struct hf_session *session, enum hf_statement statement, const struct hf_value *params,
                        int param_count);

/* Runs each test once per engine; the test finds the engine in _i. */
#define HF_TEST_STORE_MAIN(suite_name, ...)                                                                            \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        const TTest *tests[] = {__VA_ARGS__};                                                                          \
        return hf_test_store_main((suite_name), tests, sizeof(tests) / sizeof(tests[0]));                              \
    }                                                                                                                  \
    extern int hf_test_store_main_needs_a_semicolon
int hf_test_store_main(const char *suite_name, const TTest *const *tests, size_t count);

#endif
