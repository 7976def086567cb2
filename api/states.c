/* One component's state: upload, read (present and past), history. */
#include "api/states.h"

#include "api/api.h"
#include "api/conditions.h"
#include "api/handlers.h"
#include "api/upload.h"
#include "core/clock.h"
#include "core/id.h"

#include <inttypes.h>
#include <string.h>

static void state_saved(struct hf_write *write);
static bool finish_upload(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);
static bool read_moment(const struct hf_request *request, struct hf_moment *out, struct hf_error *err);
static enum hf_verdict get_latest(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                  struct hf_error *err);
static enum hf_verdict get_waiting(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                   const struct hf_moment *moment, struct hf_error *err);
static void tell_cut(struct hf_request *request, struct hf_reply *reply, const struct hf_state *state);
static enum hf_verdict answer_state(struct hf_request *request, struct hf_reply *reply, const struct hf_head *head,
                                    int64_t epoch, struct hf_blob *body, struct hf_error *err);
static enum hf_verdict refuse_range(struct hf_request *request, struct hf_reply *reply, const struct hf_head *head);
static json_t *version_json(const struct hf_version_info *version);

enum hf_verdict hf_api_state_put(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)reply;
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    struct hf_upload *upload = hf_arena_alloc(&request->arena, sizeof(*upload));
    if (!hf_upload_read(request, upload, err) ||
        !hf_upload_check(&upload->item, request->headers[HF_H_CONTENT_DIGEST], err))
        return HF_FAIL;
    upload->write.done = state_saved;
    upload->write.context = request;
    request->work = upload;
    request->finish = finish_upload;
    return hf_committer_submit(engine->committer, &upload->write, err) ? HF_LATER : HF_FAIL;
}

enum hf_verdict hf_api_state_get(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_moment moment;
    if (!engine || !read_moment(request, &moment, err))
        return HF_FAIL;
    if (request->on_worker)
        return get_waiting(request, reply, engine, &moment, err);
    return moment.kind == HF_MOMENT_LATEST ? get_latest(request, reply, engine, err) : HF_RETRY_ON_WORKER;
}

enum hf_verdict hf_api_state_versions(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    const char *cursor = NULL;
    int limit, count;
    if (!engine || !hf_api_limit(request, &limit, err) || !hf_api_cursor_read(request, &cursor, err))
        return HF_FAIL;
    int64_t before = INT64_MAX;
    char *end = NULL;
    if (cursor && ((before = strtoll(cursor, &end, 10)) < 1 || *end)) {
        hf_error_set(err, HF_INVALID_REQUEST, "query parameter cursor is not one that this list gave out");
        return HF_FAIL;
    }
    struct hf_version_info *versions;
    /* One more than asked tells whether there is a next page. */
    if (!hf_state_versions(engine, request->params[0], request->params[1], before, limit + 1, &request->arena,
                           &versions, &count, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *page = json_object();
    json_t *list = json_array();
    for (int i = 0; i < count && i < limit; i++)
        json_array_append_new(list, version_json(&versions[i]));
    hf_api_set(page, "versions", list);
    const char *next = NULL;
    if (count > limit)
        next =
            hf_api_cursor_make(request, hf_arena_format(&request->arena, "%" PRId64, versions[limit - 1].head.version));
    hf_api_set_next(request, reply, page, next);
    hf_reply_json(reply, 200, page);
    return HF_DONE;
}

/* Committer thread. */
static void state_saved(struct hf_write *write)
{
    hf_request_complete(write->context);
}

/* The request's loop thread. */
static bool finish_upload(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_upload *upload = request->work;
    if (!upload->write.ok)
        return hf_upload_fail(request, &upload->write, err);
    hf_upload_answer(request, reply, upload);
    return true;
}

static bool read_moment(const struct hf_request *request, struct hf_moment *out, struct hf_error *err)
{
    const char *at = hf_request_query(request, "at");
    const char *snapshot = hf_request_query(request, "snapshot");
    const char *sequence = hf_request_query(request, "sequence");
    *out = (struct hf_moment){.kind = HF_MOMENT_LATEST};
    int given = 0;
    if (hf_request_query(request, "version")) {
        out->kind = HF_MOMENT_VERSION;
        given++;
        if (!hf_request_query_int(request, "version", 1, INT64_MAX, &out->version, err))
            return false;
    }
    if (at) {
        out->kind = HF_MOMENT_AT;
        given++;
        if (!hf_time_parse(at, &out->at_ms))
            return hf_error_set(err, HF_INVALID_REQUEST,
                                "query parameter at must be an RFC 3339 time such as 2026-11-23T01:30:00Z");
    }
    if (sequence) {
        out->kind = HF_MOMENT_SEQUENCE;
        given++;
        if (!hf_request_query_int(request, "sequence", 1, INT64_MAX, &out->sequence, err))
            return false;
    }
    if (snapshot) {
        out->kind = HF_MOMENT_SNAPSHOT;
        given++;
        out->snapshot = snapshot;
        if (!hf_name_is_valid(snapshot, strlen(snapshot)))
            return hf_error_set(err, HF_INVALID_REQUEST, "query parameter snapshot must be a snapshot id or latest");
    }
    return given <= 1 ||
           hf_error_set(err, HF_INVALID_REQUEST, "give one of version, at, sequence and snapshot, not several");
}

/* On the loop: from memory, or not at all. */
static enum hf_verdict get_latest(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                  struct hf_error *err)
{
    const char *system = request->params[0], *component = request->params[1];
    struct hf_head head;
    struct hf_blob *body = NULL;
    int64_t epoch = 0;
    if (!hf_catalog_read_head(engine->catalog, system, component, &head, &epoch, &body)) {
        struct hf_system_info info;
        if (hf_api_read_system(engine, system, &info, err))
            hf_error_set(err, HF_NOT_FOUND, "system \"%s\" has no component \"%s\"", system, component);
        return HF_FAIL;
    }
    if (!hf_head_is_present(&head)) {
        hf_error_set(err, HF_NOT_FOUND,
                     head.deleted ? "component \"%s\" was deleted" : "component \"%s\" has no state yet", component);
        return HF_FAIL;
    }
    return body ? answer_state(request, reply, &head, epoch, body, err) : HF_RETRY_ON_WORKER;
}

static enum hf_verdict get_waiting(struct hf_request *request, struct hf_reply *reply, struct hf_engine *engine,
                                   const struct hf_moment *moment, struct hf_error *err)
{
    struct hf_state state = {0};
    if (!hf_state_read(engine, request->params[0], request->params[1], moment, &state, err))
        return HF_FAIL;
    state.head.content_type = hf_arena_strdup(&request->arena, state.head.content_type);
    tell_cut(request, reply, &state);
    return answer_state(request, reply, &state.head, state.epoch, state.body, err);
}

/* What was asked for may not be kept: which cut it is that is answered. */
static void tell_cut(struct hf_request *request, struct hf_reply *reply, const struct hf_state *state)
{
    char at[HF_TIME_BYTES];
    if (state->cut_at_ms) {
        hf_time_format(state->cut_at_ms, at);
        hf_reply_header(request, reply, "State-Cut-At", at);
    }
    if (state->cut_snapshot[0])
        hf_reply_header(request, reply, "Snapshot-Id", state->cut_snapshot);
}

/* Takes body. */
static enum hf_verdict answer_state(struct hf_request *request, struct hf_reply *reply, const struct hf_head *head,
                                    int64_t epoch, struct hf_blob *body, struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *mine = body;
    enum hf_read_condition condition;
    char etag[HF_ETAG_BYTES];
    hf_etag_format(head, etag);
    if (!hf_condition_for_read(request, head, &condition, err))
        return HF_FAIL;
    if (condition == HF_READ_FAILED)
        return hf_state_refuse_condition(request, etag, err);
    reply->blob_offset = 0;
    reply->blob_bytes = body->bytes;
    enum hf_range range = condition == HF_READ_NOT_MODIFIED
                              ? HF_RANGE_ALL
                              : hf_range_for_read(request, head, &reply->blob_offset, &reply->blob_bytes);
    if (range == HF_RANGE_OUTSIDE)
        return refuse_range(request, reply, head);
    hf_state_set_headers(request, reply, head, epoch, etag);
    hf_reply_header(request, reply, "Accept-Ranges", "bytes");
    if (condition == HF_READ_NOT_MODIFIED) {
        reply->status = 304;
        return HF_DONE;
    }
    if (range == HF_RANGE_PART)
        hf_reply_header_format(request, reply, "Content-Range", "bytes %zu-%zu/%zu", reply->blob_offset,
                               reply->blob_offset + reply->blob_bytes - 1, body->bytes);
    reply->status = range == HF_RANGE_PART ? 206 : 200;
    reply->content_type = head->content_type;
    reply->blob = mine;
    mine = NULL;
    return HF_DONE;
}

void hf_state_set_headers(struct hf_request *request, struct hf_reply *reply, const struct hf_head *head, int64_t epoch,
                          const char *etag)
{
    char modified[HF_TIME_BYTES], digest[HF_REPR_DIGEST_BYTES];
    hf_time_format_http(head->committed_at_ms, modified);
    hf_repr_digest_format(&head->hash, digest);
    hf_reply_header(request, reply, "ETag", etag);
    hf_reply_header(request, reply, "Last-Modified", modified);
    hf_reply_header(request, reply, "Repr-Digest", digest);
    hf_reply_header_int(request, reply, "State-Version", head->version);
    hf_reply_header_int(request, reply, "State-Sequence", head->sequence);
    hf_reply_header_int(request, reply, "State-Epoch", epoch);
    hf_reply_header(request, reply, "Cache-Control", "no-cache"); /* a cache must ask again */
    if (hf_content_type_is_json(head->content_type))
        return;
    /* A browser must neither guess the type of an agent's bytes nor run them here. It runs no JSON. */
    hf_reply_header(request, reply, "X-Content-Type-Options", "nosniff");
    hf_reply_header(request, reply, "Content-Security-Policy", "sandbox");
}

static enum hf_verdict refuse_range(struct hf_request *request, struct hf_reply *reply, const struct hf_head *head)
{
    struct hf_error err;
    hf_error_set(&err, HF_RANGE, "the state has %" PRId64 " bytes", head->bytes);
    hf_reply_problem(request, reply, &err);
    hf_reply_header_format(request, reply, "Content-Range", "bytes */%" PRId64, head->bytes);
    return HF_DONE;
}

enum hf_verdict hf_state_refuse_condition(struct hf_request *request, const char *etag, struct hf_error *err)
{
    /* An ETag of ours holds no character to escape but its two quotes. */
    hf_request_problem_member(request, "currentEtag",
                              hf_arena_format(&request->arena, "\"\\\"%.*s\\\"\"", (int)strlen(etag) - 2, etag + 1));
    hf_error_set(err, HF_PRECONDITION, "If-Match does not name the present version, which is %s", etag);
    return HF_FAIL;
}

static json_t *version_json(const struct hf_version_info *version)
{
    json_t *object = json_object();
    const struct hf_head *head = &version->head;
    hf_api_set_int(object, "version", head->version);
    hf_api_set_int(object, "sequence", head->sequence);
    hf_api_set_hash(object, "hash", head->deleted ? NULL : &head->hash);
    hf_api_set_int(object, "bytes", head->bytes);
    hf_api_set_text(object, "contentType", head->deleted ? NULL : head->content_type);
    hf_json_set_time(object, "committedAt", head->committed_at_ms);
    hf_api_set_text(object, "event", version->event);
    hf_api_set(object, "deleted", json_boolean(head->deleted));
    return object;
}
