/* What answers about one state have in common. */
#ifndef HF_API_STATES_H
#define HF_API_STATES_H

#include "api/request.h"
#include "engine/catalog.h"

/* ETag, Last-Modified, Repr-Digest, version, sequence, epoch, and how it may be cached and shown. */
void hf_state_set_headers(struct hf_request *request, struct hf_reply *reply, const struct hf_head *head, int64_t epoch,
                          const char *etag);

/* A read whose If-Match did not hold. */
enum hf_verdict hf_state_refuse_condition(struct hf_request *request, const char *etag, struct hf_error *err);

#endif
