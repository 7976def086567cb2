/* Rows of HF_TEST_SYSTEM with every column filled in, for tests of the contract. */
#ifndef HF_TESTS_STORE_ROWS_H
#define HF_TESTS_STORE_ROWS_H

#include "store/components.h"
#include "store/journal.h"
#include "store/snapshots.h"
#include "tests/support/stores.h"

#define HF_TEST_EVENTS    25
#define HF_TEST_SNAPSHOTS 7

struct hf_component_row hf_test_component_row(int64_t id, const char *name);
struct hf_snapshot_row hf_test_snapshot_row(const char *id, const char *kind, int64_t cut_at_ms);

/* s1 … s7; the odd ones are full; s3 and s4 were cut in the same millisecond; s7 failed. */
void hf_test_insert_snapshots(struct hf_session *write);
/* Every fifth is a warning; 10 ms apart, from 0 on. */
void hf_test_insert_events(struct hf_session *write);

/* What a list was found to hold, in its order. */
struct hf_test_names {
    int count;
    char joined[1024]; /* with a blank after each */
};
void hf_test_add_name(struct hf_test_names *names, const char *name);

#endif
