#include "api/upload.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "api/api.h"
#include "api/conditions.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "engine/scheduler.h"
#include "engine/snapshot.h"

#define WRITER_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define WRITER_BYTES_MAX  64
#define ORDER_MAX         ((INT64_C(1) << 53) - 1) /* every client's numbers hold it */

/* Its one reference is never given back. */
static struct hf_blob empty_body = {.references = 1};

static void start_event_snapshot(struct hf_engine *engine, const char *system);
static bool check_content_type(const char *content_type, struct hf_error *err);
static size_t token_bytes(const char *text);

bool hf_content_type_is_json(const char *content_type)
{
    return hf_json_is_media_type(content_type);
}

bool hf_upload_read(struct hf_request *request, struct hf_upload *upload, struct hf_error *err)
{
    struct hf_save_item *item = &upload->item;
    const char *const *headers = request->headers;
    const char *encoding = headers[HF_H_CONTENT_ENCODING];
    const char *snapshot = headers[HF_H_STATE_EVENT_SNAPSHOT];
    item->component = request->params[1];
    item->body = request->body;
    upload->write.system = request->params[0];
    upload->write.items = item;
    upload->write.item_count = 1;
    item->content_type = headers[HF_H_CONTENT_TYPE] ? headers[HF_H_CONTENT_TYPE] : "application/json";
    item->if_match = headers[HF_H_IF_MATCH];
    item->event = headers[HF_H_STATE_EVENT];
    upload->write.state_epoch = -1;
    if (encoding && strcmp(encoding, "identity") != 0)
        return hf_error_set(err, HF_UNSUPPORTED_MEDIA,
                            "states are stored as they are sent: leave out Content-Encoding, or give the content type "
                            "of the compressed form");
    if (item->if_match && !hf_etag_list_check("If-Match", item->if_match, err))
        return false;
    if (headers[HF_H_IF_NONE_MATCH]) {
        if (strcmp(headers[HF_H_IF_NONE_MATCH], "*") != 0)
            return hf_error_set(err, HF_INVALID_REQUEST, "header If-None-Match of an upload can only be *");
        item->if_none_match_any = true;
    }
    if (item->event && !hf_name_is_valid(item->event, strlen(item->event)))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "header State-Event must be a name: letters, digits and . _ : - of at most %d characters",
                            HF_NAME_MAX);
    if (snapshot && strcmp(snapshot, "true") != 0 && strcmp(snapshot, "false") != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "header State-Event-Snapshot must be true or false");
    upload->snapshot_after = snapshot && strcmp(snapshot, "true") == 0;
    return hf_epoch_of_writer(request, &upload->write.state_epoch, err) &&
           hf_order_of_writer(request, &upload->write.order, err);
}

bool hf_upload_check(struct hf_save_item *item, const char *content_digest, struct hf_error *err)
{
    if (!item->body)
        item->body = &empty_body;
    if (!check_content_type(item->content_type, err))
        return false;
    hf_hash_of(item->body->data, item->body->bytes, &item->hash);
    if (content_digest && !hf_content_digest_check(content_digest, &item->hash, err))
        return false;
    return !hf_content_type_is_json(item->content_type) || hf_json_check(item->body->data, item->body->bytes, err);
}

void hf_upload_answer(struct hf_request *request, struct hf_reply *reply, const struct hf_upload *upload)
{
    struct hf_engine *engine = atomic_load_explicit(&request->api->engine, memory_order_acquire);
    const struct hf_save_item *item = &upload->item;
    struct hf_head head = {.version = item->version, .hash = item->hash, .epoch = upload->write.epoch};
    char etag[HF_ETAG_BYTES];
    hf_etag_format(&head, etag);
    struct hf_schedule schedule = hf_scheduler_next(engine, upload->write.system);
    reply->status = item->created ? 201 : 200;
    reply->content_type = "application/json";
    hf_upload_add_receipt(&reply->body, &upload->write, item, schedule.next_incremental_at_ms);
    hf_buf_add_char(&reply->body, '\n');
    hf_reply_header(request, reply, "ETag", etag);
    if (upload->snapshot_after)
        start_event_snapshot(engine, upload->write.system);
}

void hf_upload_add_receipt(struct hf_buf *out, const struct hf_write *write, const struct hf_save_item *item,
                           int64_t next_incremental_at_ms)
{
    char hash[HF_HASH_LABEL], committed[HF_TIME_BYTES];
    hf_hash_label(&item->hash, hash);
    hf_time_format(item->committed_at_ms, committed);
    /* Names hold nothing that JSON would escape. */
    hf_buf_add_text(out, "{\"system\":\"");
    hf_buf_add_text(out, write->system);
    hf_buf_add_text(out, "\",\"component\":\"");
    hf_buf_add_text(out, item->component);
    hf_buf_add_text(out, "\",\"version\":");
    hf_buf_add_u64(out, (uint64_t)item->version);
    hf_buf_add_text(out, ",\"sequence\":");
    hf_buf_add_u64(out, (uint64_t)item->sequence);
    hf_buf_add_text(out, ",\"epoch\":");
    hf_buf_add_u64(out, (uint64_t)write->epoch);
    hf_buf_add_text(out, ",\"hash\":\"");
    hf_buf_add_text(out, hash);
    hf_buf_add_text(out, "\",\"bytes\":");
    hf_buf_add_u64(out, item->body->bytes);
    hf_buf_add_text(out, item->unchanged ? ",\"unchanged\":true" : ",\"unchanged\":false");
    hf_buf_add_text(out, ",\"durability\":\"database\",\"committedAt\":\"");
    hf_buf_add_text(out, committed);
    hf_buf_add_text(out, "\",\"nextIncrementalBackup\":");
    hf_buf_add_u64(out, (uint64_t)next_incremental_at_ms);
    hf_buf_add_char(out, '}');
}

bool hf_upload_fail(struct hf_request *request, const struct hf_write *write, struct hf_error *err)
{
    char member[2 * HF_NAME_MAX];
    *err = write->error;
    if (err->code == HF_PRECONDITION) {
        HF_AUTO(buf) struct hf_buf etag;
        hf_buf_init(&etag, sizeof(member));
        hf_buf_add_json_string(&etag, write->current_etag, strlen(write->current_etag));
        hf_request_problem_member(request, "currentEtag", write->current_etag[0] ? etag.data : "null");
    }
    if (err->code == HF_STALE_EPOCH) {
        snprintf(member, sizeof(member), "%lld", (long long)write->epoch);
        hf_request_problem_member(request, "epoch", member);
    }
    if (write->failed_item >= 0 && write->item_count > 1) {
        snprintf(member, sizeof(member), "\"%s\"", write->items[write->failed_item].component);
        hf_request_problem_member(request, "component", member);
    }
    return false;
}

bool hf_epoch_of_writer(const struct hf_request *request, int64_t *out, struct hf_error *err)
{
    const char *text = request->headers[HF_H_STATE_EPOCH];
    *out = -1;
    if (!text)
        return true;
    size_t length = strlen(text);
    if (length == 0 || length > 18 || strspn(text, "0123456789") != length)
        return hf_error_set(err, HF_INVALID_REQUEST, "header State-Epoch must be a whole number");
    *out = strtoll(text, NULL, 10);
    return true;
}

bool hf_order_of_writer(const struct hf_request *request, struct hf_order *out, struct hf_error *err)
{
    const char *text = request->headers[HF_H_STATE_ORDER];
    *out = (struct hf_order){0};
    if (!text)
        return true;
    size_t writer = strspn(text, WRITER_CHARACTERS);
    const char *digits = text + writer + 1;
    size_t count = text[writer] == '/' ? strspn(digits, "0123456789") : 0;
    int64_t number = count > 0 && count <= 16 && !digits[count] ? strtoll(digits, NULL, 10) : 0;
    if (writer == 0 || writer > WRITER_BYTES_MAX || number < 1 || number > ORDER_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "header State-Order must be WRITER/NUMBER: 1 to %d of letters, digits and . _ -, then a "
                            "slash and a whole number from 1 to %lld",
                            WRITER_BYTES_MAX, (long long)ORDER_MAX);
    struct hf_hash hash;
    hf_hash_of(text, writer, &hash);
    memcpy(&out->writer, hash.bytes, sizeof(out->writer));
    out->writer |= out->writer == 0;
    out->number = number;
    return true;
}

/* The state is safe either way: a snapshot that cannot start is told to the operator, not to the agent. */
static void start_event_snapshot(struct hf_engine *engine, const char *system)
{
    const struct hf_snapshot_request snapshot = {.system = system, .trigger = "event"};
    char id[HF_SNAPSHOT_ID_MAX];
    struct hf_error err;
    if (!hf_snapshot_start(engine, &snapshot, id, &err))
        hf_log(HF_LOG_WARNING, "event_snapshot_not_started", err.text, HF_LOG_TEXT("system", system));
}

/* RFC 9110 section 8.3.1: type/subtype, then parameters, which are kept as they are. */
static bool check_content_type(const char *content_type, struct hf_error *err)
{
    size_t length = strlen(content_type);
    size_t type = token_bytes(content_type);
    size_t subtype = type && content_type[type] == '/' ? token_bytes(content_type + type + 1) : 0;
    bool good = subtype > 0 && length <= HF_CONTENT_TYPE_MAX;
    const char *rest = content_type + type + 1 + subtype;
    if (good) {
        rest += strspn(rest, " \t");
        good = *rest == '\0' || *rest == ';';
    }
    for (size_t i = 0; good && i < length; i++)
        good = content_type[i] >= ' ' && content_type[i] < 127;
    if (!good)
        return hf_error_set(
            err, HF_INVALID_REQUEST,
            "the content type must be type/subtype, optionally with parameters, of at most %d characters",
            HF_CONTENT_TYPE_MAX);
    return true;
}

static size_t token_bytes(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || (text[n] && strchr("!#$%&'*+-.^_`|~", text[n])))
        n++;
    return n;
}
