/* A service whose snapshots are validated by the test alone, and what came of it. Every helper fails the test that
 * calls it. */
#ifndef HF_TESTS_JUDGING_H
#define HF_TESTS_JUDGING_H

#include "engine/validation.h"
#include "tests/support/engine.h"

#define HF_JUDGING_PATIENCE_MS 60000 /* for what happens in the background */

extern struct hf_judging {
    struct hf_test_service service;
    struct hf_validation verdict; /* of the last validation */
} hf_judging;

/* Nothing is validated but by the tests. more and value: one flag besides, or NULL. */
void hf_judging_open(const char *more, const char *value);
const char *hf_judging_run(const struct hf_snapshot_row *row, bool deep); /* the status */

const struct hf_validation_check *hf_judging_check(const char *name); /* of the last validation */
const struct hf_validation_check *hf_judging_check_in(const struct hf_validation *validation, const char *name);
void hf_judging_expect_score(double expected);

struct hf_snapshot_row hf_judging_row(const struct hf_snapshot_row *row); /* as it is now */
void hf_judging_expect_row(const struct hf_snapshot_row *row, const char *state, const char *validation_status);
struct hf_snapshot_row hf_judging_incremental(void); /* that there is one is checked */
const char *hf_judging_path(const struct hf_snapshot_row *row);

int hf_judging_count_told(const char *type);
/* So many events of the type; they are written soon after they happen. */
void hf_judging_expect_told(const char *type, int count);
void hf_judging_await_told(const char *type);
void hf_judging_await_valid(const struct hf_snapshot_row *row);

/* Changes the database behind the service's back. */
void hf_judging_alter(const char *sql);

#endif
