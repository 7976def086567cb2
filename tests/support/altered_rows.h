/* Rows of a service's SQLite database that are altered behind its back. Every helper fails the test that calls it. */
#ifndef HF_TESTS_ALTERED_ROWS_H
#define HF_TESTS_ALTERED_ROWS_H

#include "store/states.h"
#include "tests/support/engine.h"

/* While it runs or not. */
void hf_test_alter(struct hf_test_service *service, const char *sql);

/* SQL (arena) that flips a byte in the middle of a content: of component_states or state_chunks. */
char *hf_test_flip_content(struct hf_test_service *service, const char *table, int64_t sequence);

/* Of the present state of a component. */
int64_t hf_test_sequence_of(struct hf_test_service *service, const char *component);

/* Asks the database itself, past everything that heals. */
enum hf_row_condition hf_test_row_condition(struct hf_test_service *service, int64_t sequence, const char *component,
                                            int64_t version, const char *text);

/* What a version of a component reads as (arena), or NULL with the code of the error. */
const char *hf_test_get_version(struct hf_test_service *service, const char *component, int64_t version,
                                enum hf_code *code_out);

#endif
