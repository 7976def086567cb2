/* Many components of one system in one transaction: all or nothing. */
#include "api/api.h"
#include "api/auth.h"
#include "api/batch_body.h"
#include "api/conditions.h"
#include "api/handlers.h"
#include "api/upload.h"
#include "core/auto.h"
#include "core/buf.h"
#include "core/clock.h"
#include "engine/scheduler.h"

#include <string.h>

#define ANSWER_BYTES_MAX (64 * 1024 * 1024)

/* A batch under way; lives in the request's arena. */
struct batch {
    struct hf_write write;          /* first: the committer hands it back */
    int64_t next_incremental_at_ms; /* 0: not asked yet; once, so that a repetition gets the same answer */
    char *replayed;                 /* owns; NULL: not a repetition */
};

static bool read_key(const struct hf_request *request, struct hf_write *write, struct hf_error *err);
static bool check_scope(const struct hf_request *request, const struct hf_write *write, struct hf_error *err);
static char *make_answer(struct hf_write *write);
static void write_answer(struct hf_buf *out, struct batch *batch);
static int64_t next_incremental(const struct hf_request *request);
static void batch_saved(struct hf_write *write);
static bool finish_batch(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);

enum hf_verdict hf_api_states_batch(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)reply;
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    struct batch *batch = hf_arena_alloc(&request->arena, sizeof(*batch));
    struct hf_write *write = &batch->write;
    write->system = request->params[0];
    write->done = batch_saved;
    write->context = request;
    if (!hf_epoch_of_writer(request, &write->state_epoch, err) || !hf_order_of_writer(request, &write->order, err) ||
        !read_key(request, write, err) || !hf_batch_body_read(request, &write->items, &write->item_count, err))
        return HF_FAIL;
    request->work = batch;
    request->finish = finish_batch;
    if (check_scope(request, write, err) && hf_committer_submit(engine->committer, write, err))
        return HF_LATER;
    hf_batch_items_free(write->items, write->item_count);
    return HF_FAIL;
}

static bool read_key(const struct hf_request *request, struct hf_write *write, struct hf_error *err)
{
    const char *key;
    if (!hf_idempotency_key_read(request, &key, err))
        return false;
    if (!key)
        return true;
    write->idempotency_key = key;
    write->make_answer = make_answer;
    if (request->body)
        hf_hash_of(request->body->data, request->body->bytes, &write->body_hash);
    return true;
}

static bool check_scope(const struct hf_request *request, const struct hf_write *write, struct hf_error *err)
{
    for (int i = 0; i < write->item_count; i++)
        if (!hf_auth_component_allowed(request->principal, write->items[i].component))
            return hf_error_set(err, HF_FORBIDDEN, "token %s is for components named %s… only, not for %s",
                                request->principal->id, request->principal->component_prefix,
                                write->items[i].component);
    return true;
}

/* Committer thread: the text that the same key gets again later. */
static char *make_answer(struct hf_write *write)
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, ANSWER_BYTES_MAX);
    write_answer(&text, (struct batch *)write);
    return text.failed ? NULL : hf_buf_take(&text, NULL);
}

static void write_answer(struct hf_buf *out, struct batch *batch)
{
    const struct hf_write *write = &batch->write;
    if (!batch->next_incremental_at_ms)
        batch->next_incremental_at_ms = next_incremental(write->context);
    int64_t sequence = 0;
    for (int i = 0; i < write->item_count; i++)
        if (write->items[i].sequence > sequence)
            sequence = write->items[i].sequence;
    hf_buf_add_text(out, "{\"sequence\":");
    hf_buf_add_u64(out, (uint64_t)sequence);
    hf_buf_add_text(out, ",\"results\":[");
    for (int i = 0; i < write->item_count; i++) {
        if (i > 0)
            hf_buf_add_char(out, ',');
        hf_upload_add_receipt(out, write, &write->items[i], batch->next_incremental_at_ms);
    }
    hf_buf_add_text(out, "]}\n");
}

/* The answer to a key is made before its commit: a system that comes into being with it has no schedule yet. */
static int64_t next_incremental(const struct hf_request *request)
{
    struct hf_engine *engine = atomic_load_explicit(&request->api->engine, memory_order_acquire);
    int64_t next_ms = hf_scheduler_next(engine, request->params[0]).next_incremental_at_ms;
    return next_ms ? next_ms : hf_clock_now_ms() + request->api->config->incremental_interval_ms;
}

/* Committer thread, which frees its own copy of a repeated answer right after this. */
static void batch_saved(struct hf_write *write)
{
    struct batch *batch = (struct batch *)write;
    batch->replayed = write->replayed_answer ? hf_strdup(write->replayed_answer) : NULL;
    hf_request_complete(write->context);
}

/* The request's loop thread. */
static bool finish_batch(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct batch *batch = request->work;
    struct hf_write *write = &batch->write;
    if (write->ok && batch->replayed)
        hf_buf_add_text(&reply->body, batch->replayed);
    else if (write->ok)
        write_answer(&reply->body, batch);
    else
        hf_upload_fail(request, write, err);
    hf_batch_items_free(write->items, write->item_count);
    free(batch->replayed);
    batch->replayed = NULL;
    reply->status = 200;
    reply->content_type = "application/json";
    return write->ok;
}
