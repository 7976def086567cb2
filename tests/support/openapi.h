/* Holds answers against the API's own description: a status, a content type or a field that the description does not
 * name fails the test, and so does a required field that is missing. */
#ifndef HF_TESTS_SUPPORT_OPENAPI_H
#define HF_TESTS_SUPPORT_OPENAPI_H

#include "tests/support/client.h"

#include <jansson.h>

struct hf_openapi; /* opaque */

struct hf_openapi *hf_openapi_load(struct hf_client *client); /* GET /v1/openapi.json; owns: hf_openapi_free */
struct hf_openapi *hf_openapi_new(json_t *document);          /* borrows the document's reference by adding one */
void hf_openapi_free(struct hf_openapi *openapi);

/* What is wrong with the answer to method and path (owns: free()), or NULL. A success is remembered as exercised. */
char *hf_openapi_find_fault(struct hf_openapi *openapi, const char *method, const char *path,
                            const struct hf_answer *answer);

bool hf_openapi_exercised(const struct hf_openapi *openapi, const char *operation_id);

/* The operation of this method ("get") and path template; NULL: not described. Borrowed. */
const json_t *hf_openapi_operation(const struct hf_openapi *openapi, const char *method, const char *path);
const json_t *hf_openapi_document(const struct hf_openapi *openapi);

#endif
