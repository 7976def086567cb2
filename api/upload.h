/* What an upload must satisfy before it is queued, and what its sender is told afterwards. */
#ifndef HF_API_UPLOAD_H
#define HF_API_UPLOAD_H

#include "api/request.h"
#include "engine/committer.h"

#define HF_CONTENT_TYPE_MAX 200

/* Is it application/json or anything with the suffix +json? */
bool hf_content_type_is_json(const char *content_type);

/* An upload of one state under way. */
struct hf_upload {
    struct hf_write write;
    struct hf_save_item item;
    bool snapshot_after; /* State-Event-Snapshot */
};

/* Fills a zeroed upload from the path and the headers: conditions, epoch, event, content type. It borrows from the
 * request, and must stay where it is. */
HF_MUST_USE bool hf_upload_read(struct hf_request *request, struct hf_upload *upload, struct hf_error *err);

/* The epoch that the sender of a change knows (header State-Epoch); -1: it does not say. */
HF_MUST_USE bool hf_epoch_of_writer(const struct hf_request *request, int64_t *out, struct hf_error *err);

/* The sender's place among its writes (header State-Order); writer 0: it does not say. */
HF_MUST_USE bool hf_order_of_writer(const struct hf_request *request, struct hf_order *out, struct hf_error *err);

/* Checks the content type, the Content-Digest (NULL: none sent) and, where the type is JSON, the body; sets the hash.
 * The item's body may be NULL for an empty one: it is set to a shared empty blob. Any thread; takes as long as hashing
 * the body. */
HF_MUST_USE bool hf_upload_check(struct hf_save_item *item, const char *content_digest, struct hf_error *err);

/* Answers an upload that is committed: receipt, ETag, and the snapshot that was asked for is started. */
void hf_upload_answer(struct hf_request *request, struct hf_reply *reply, const struct hf_upload *upload);

/* Appends the receipt of a committed item as a JSON object. */
void hf_upload_add_receipt(struct hf_buf *out, const struct hf_write *write, const struct hf_save_item *item,
                           int64_t next_incremental_at_ms);

/* Makes the error of a write that failed the request's: currentEtag, epoch and, of several, component. Returns false.
 */
bool hf_upload_fail(struct hf_request *request, const struct hf_write *write, struct hf_error *err);

#endif
