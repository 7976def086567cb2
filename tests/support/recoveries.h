/* Recoveries of HF_TEST_NAME: asked for and looked at. */
#ifndef HF_TESTS_RECOVERIES_H
#define HF_TESTS_RECOVERIES_H

#include "core/json.h"
#include "tests/support/engine.h"

/* The request's system is HF_TEST_NAME, whatever it says. */
bool hf_test_recover(struct hf_test_service *service, const struct hf_recovery_request *request,
                     struct hf_recovery_row *out, struct hf_error *err);
/* "latest" or an id. */
bool hf_test_try_restore(struct hf_test_service *service, const char *snapshot, struct hf_recovery_row *out,
                         struct hf_error *err);
bool hf_test_salvage(struct hf_test_service *service, const char *snapshot, bool dry_run, struct hf_recovery_row *out,
                     struct hf_error *err);
/* A recovery that was planned. */
bool hf_test_apply(struct hf_test_service *service, const char *id, bool force, struct hf_recovery_row *out,
                   struct hf_error *err);

/* The following fail the test that calls them. */

json_t *hf_test_recovery_detail(const struct hf_recovery_row *row); /* owns, json_decref() */
void hf_test_expect_detail(const struct hf_recovery_row *row, const char *member, const char *wanted);
void hf_test_expect_unchanged(struct hf_test_service *service, const struct hf_system_info *before);
/* Its texts are in the arena. */
struct hf_recovery_row hf_test_newest_recovery(struct hf_test_service *service);
/* The snapshot's outline is gone and its file ends in its header. */
void hf_test_cut_off(struct hf_test_service *service, const struct hf_snapshot_row *row);

#endif
