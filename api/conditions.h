/* Conditional requests (RFC 9110 section 13), Idempotency-Key, single ranges (section 14) and digests (RFC 9530). */
#ifndef HF_API_CONDITIONS_H
#define HF_API_CONDITIONS_H

#include "api/request.h"
#include "engine/catalog.h"

#define HF_REPR_DIGEST_BYTES 64 /* room for sha-256=:…: */

/* Is this "*" or a list of entity tags? HF_INVALID_REQUEST names the header: an ETag without its quotes would otherwise
 * just never match. */
HF_MUST_USE bool hf_etag_list_check(const char *header, const char *text, struct hf_error *err);

enum hf_read_condition { HF_READ_GO, HF_READ_NOT_MODIFIED, HF_READ_FAILED };

/* If-Match and If-None-Match of a GET or HEAD. If-Modified-Since is left out on purpose: its seconds are too coarse for
 * states that change several times a second, and the standard lets us ignore it. */
HF_MUST_USE bool hf_condition_for_read(struct hf_request *request, const struct hf_head *head,
                                       enum hf_read_condition *out, struct hf_error *err);

enum hf_range { HF_RANGE_ALL, HF_RANGE_PART, HF_RANGE_OUTSIDE };

/* Range with If-Range of a GET. More than one range, other units and malformed ones are ignored, as RFC 9110 allows;
 * so is the range when If-Range is a date or another ETag. PART sets offset and bytes. */
enum hf_range hf_range_for_read(const struct hf_request *request, const struct hf_head *head, size_t *offset_out,
                                size_t *bytes_out);

/* The Idempotency-Key, or NULL. HF_INVALID_REQUEST: it is too long, or holds what a key cannot. */
HF_MUST_USE bool hf_idempotency_key_read(const struct hf_request *request, const char **out, struct hf_error *err);

/* Content-Digest against the body's SHA-256; algorithms other than sha-256 are ignored. HF_DIGEST_MISMATCH,
 * HF_INVALID_REQUEST when malformed. */
HF_MUST_USE bool hf_content_digest_check(const char *header, const struct hf_hash *hash, struct hf_error *err);
/* The sha-256 of a Repr-Digest, which must have one. */
HF_MUST_USE bool hf_repr_digest_read(const char *header, struct hf_hash *out, struct hf_error *err);
void hf_repr_digest_format(const struct hf_hash *hash, char out[HF_REPR_DIGEST_BYTES]);

#endif
