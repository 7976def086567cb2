/* Forks in a service of a test, and what they and their origins hold. Every helper fails the test that calls it. */
#ifndef HF_TESTS_FORKS_H
#define HF_TESTS_FORKS_H

#include "engine/fork.h"
#include "tests/support/engine.h"

struct hf_past_moment hf_test_now(void);

struct hf_fork hf_test_fork(struct hf_test_service *service, const char *from, const char *name,
                            struct hf_past_moment moment);

/* Of HF_TEST_NAME as it is now. */
struct hf_fork hf_test_fork_now(struct hf_test_service *service, const char *name);

void hf_test_put_in(struct hf_test_service *service, const char *system, const char *component, const char *text);

/* From the database: what a fork was given is not in memory. In the arena; NULL: there is no such state. */
const char *hf_test_text_of(struct hf_test_service *service, const char *system, const char *component);

struct hf_snapshot_row hf_test_full_of(struct hf_test_service *service, const char *system);

bool hf_test_is_known(struct hf_test_service *service, const char *system);

#endif
