/* Changing a part of a state: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7396), and deltas of any content
 * (state_delta.h). The patch is applied here to the present state, and the result is saved like an upload, on the
 * condition that the state is still the one it was made from; when it is not, and the client's own conditions still
 * hold, it is made again. */
#include "api/api.h"
#include "api/conditions.h"
#include "api/handlers.h"
#include "api/state_delta.h"
#include "api/turns.h"
#include "api/upload.h"
#include "core/fault.h"
#include "core/json_exact.h"
#include "core/json_merge.h"
#include "core/json_patch.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#define MERGE_TYPE   "application/merge-patch+json"
#define PATCH_TYPE   "application/json-patch+json"
#define ATTEMPTS_MAX 10
/* Of states and patches that are being worked on, and of a patch that waits. As trees they take up to twenty times the
 * memory. */
#define BYTES_MAX ((size_t)64 * 1024 * 1024)
/* Nothing becomes a tree when a delta is applied. */
#define DELTA_LIGHTER 8

enum kind { MERGE, PATCH, DELTA, NO_PATCH };

struct state_patch {
    struct hf_request *request;
    struct hf_engine *engine;
    struct hf_upload upload;
    struct hf_turn turn; /* one patch of a component at a time: of several at once all but one would be made again */
    enum kind kind;
    struct hf_hash wanted; /* of a delta: what it must make */
    json_t *patch;
    struct hf_state state; /* the present one */
    struct hf_blob *body;  /* the changed one; owns */
    size_t bytes_taken;    /* of bytes_under_way */
};

/* What one attempt came to. */
enum outcome { SAVED, FAILED, OVERTAKEN };

static atomic_size_t bytes_under_way;

static enum kind kind_of(const struct hf_request *request);
static enum hf_verdict refuse_type(struct hf_request *request, struct hf_reply *reply);
static bool read_request(struct state_patch *p, struct hf_error *err);
static enum hf_verdict go_on(struct state_patch *p, struct hf_reply *reply, struct hf_error *err);
static bool read_patch(struct state_patch *p, struct hf_error *err);
static bool patch_and_save(struct state_patch *p, struct hf_error *err);
static void drop_state(struct state_patch *p);
static enum outcome attempt(struct state_patch *p, struct hf_error *err);
static bool read_state(struct state_patch *p, struct hf_error *err);
static bool check_conditions(struct state_patch *p, struct hf_error *err);
static bool take_bytes(struct state_patch *p, struct hf_error *err);
static bool make_state(struct state_patch *p, struct hf_error *err);
static json_t *apply(const struct state_patch *p, json_t *document, struct hf_error *err);
static struct hf_blob *write_state(struct state_patch *p, const json_t *value, struct hf_error *err);
static enum outcome save(struct state_patch *p, struct hf_error *err);
static bool too_large(struct state_patch *p, size_t limit, const char *what, struct hf_error *err);

enum hf_verdict hf_api_state_patch(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    if (request->resumed)
        return go_on(request->work, reply, err);
    struct hf_engine *engine = hf_api_engine(request, err);
    if (!engine)
        return HF_FAIL;
    enum kind kind = kind_of(request);
    if (kind == NO_PATCH)
        return refuse_type(request, reply);
    struct state_patch *p = hf_arena_alloc(&request->arena, sizeof(*p));
    *p = (struct state_patch){.request = request, .engine = engine, .kind = kind};
    if (!read_request(p, err))
        return HF_FAIL;
    request->work = p;
    switch (hf_turn_take(&p->turn, err)) {
    case HF_TURN_NOW:
        return go_on(p, reply, err);
    case HF_TURN_LATER:
        return HF_LATER;
    default:
        return HF_FAIL;
    }
}

static enum kind kind_of(const struct hf_request *request)
{
    static const char *const types[] = {[MERGE] = MERGE_TYPE, [PATCH] = PATCH_TYPE, [DELTA] = HF_DELTA_TYPE};
    const char *type = request->headers[HF_H_CONTENT_TYPE];
    size_t bytes = type ? strcspn(type, "; \t") : 0;
    int kind = MERGE;
    while (kind < NO_PATCH && (bytes != strlen(types[kind]) || strncasecmp(type, types[kind], bytes) != 0))
        kind++;
    return (enum kind)kind;
}

/* RFC 5789 section 2.2: the answer says what would be understood. */
static enum hf_verdict refuse_type(struct hf_request *request, struct hf_reply *reply)
{
    struct hf_error err;
    hf_error_set(&err, HF_UNSUPPORTED_MEDIA,
                 "the content type of a patch must be " MERGE_TYPE ", " PATCH_TYPE " or " HF_DELTA_TYPE);
    hf_reply_problem(request, reply, &err);
    hf_reply_header(request, reply, "Accept-Patch", MERGE_TYPE ", " PATCH_TYPE ", " HF_DELTA_TYPE);
    return HF_DONE;
}

static bool read_request(struct state_patch *p, struct hf_error *err)
{
    const struct hf_request *request = p->request;
    const char *digest = request->headers[HF_H_CONTENT_DIGEST];
    const struct hf_blob *body = request->body;
    const void *data = body ? (const void *)body->data : "";
    size_t bytes = body ? body->bytes : 0;
    struct hf_hash hash;
    if (!hf_upload_read(p->request, &p->upload, err) ||
        (p->kind == DELTA && !hf_state_delta_read(request, &p->wanted, err)))
        return false;
    if (bytes > BYTES_MAX)
        return too_large(p, BYTES_MAX, "a patch", err);
    hf_hash_of(data, bytes, &hash);
    if (digest && !hf_content_digest_check(digest, &hash, err))
        return false;
    /* Half of the workers at most, so that patches never keep all other requests waiting. */
    int64_t workers = request->api->config->workers;
    p->turn = (struct hf_turn){.request = p->request,
                               .system = request->params[0],
                               .component = request->params[1],
                               .bytes = bytes,
                               .at_work_max = workers > 1 ? (int)(workers / 2) : 1};
    return true;
}

/* The patch's turn has come. */
static enum hf_verdict go_on(struct state_patch *p, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_request *request = p->request;
    bool ok = request->given_up ? hf_error_set(err, HF_OVERLOADED, "the client was answered before the patch's turn")
                                : read_patch(p, err) && patch_and_save(p, err);
    if (ok)
        hf_upload_answer(request, reply, &p->upload);
    drop_state(p);
    json_decref(p->patch);
    hf_turn_end(&p->turn);
    return ok ? HF_DONE : HF_FAIL;
}

/* Only now: as a tree it takes many times its bytes. */
static bool read_patch(struct state_patch *p, struct hf_error *err)
{
    const struct hf_blob *body = p->request->body;
    if (p->kind == DELTA)
        return true;
    p->patch = hf_json_parse_exact(body ? (const void *)body->data : "", body ? body->bytes : 0, err);
    return p->patch || hf_error_wrap(err, "the patch");
}

static bool patch_and_save(struct state_patch *p, struct hf_error *err)
{
    enum outcome outcome = OVERTAKEN;
    for (int i = 0; outcome == OVERTAKEN && i < ATTEMPTS_MAX; i++) {
        drop_state(p);
        outcome = attempt(p, err);
        atomic_fetch_sub(&bytes_under_way, p->bytes_taken);
        p->bytes_taken = 0;
    }
    if (outcome == OVERTAKEN)
        return hf_error_set(err, HF_CONFLICT,
                            "others changed the state %d times while the patch was being applied; nothing was changed: "
                            "send it again",
                            ATTEMPTS_MAX);
    return outcome == SAVED;
}

static void drop_state(struct state_patch *p)
{
    hf_blob_unref(p->state.body);
    hf_blob_unref(p->body);
    p->state.body = p->body = NULL;
}

static enum outcome attempt(struct state_patch *p, struct hf_error *err)
{
    if (!read_state(p, err) || !check_conditions(p, err) || !take_bytes(p, err) || !make_state(p, err))
        return FAILED;
    return save(p, err);
}

/* From memory when it is there. */
static bool read_state(struct state_patch *p, struct hf_error *err)
{
    const char *system = p->request->params[0], *component = p->request->params[1];
    const struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state *state = &p->state;
    if (hf_catalog_read_head(p->engine->catalog, system, component, &state->head, &state->epoch, &state->body) &&
        hf_head_is_present(&state->head) && state->body)
        return true;
    return hf_state_read(p->engine, system, component, &latest, state, err);
}

/* Before the patch is applied (RFC 9110 section 13.2.1): a client that is behind shall hear that, and not that its
 * patch does not fit. The commit checks the epoch again, and that the state is still this one. */
static bool check_conditions(struct state_patch *p, struct hf_error *err)
{
    struct hf_write *write = &p->upload.write;
    const struct hf_save_item *item = &p->upload.item;
    const char *component = item->component;
    hf_etag_format(&p->state.head, write->current_etag);
    write->epoch = p->state.epoch;
    write->failed_item = 0;
    if (write->state_epoch >= 0 && write->state_epoch < p->state.epoch)
        hf_error_set(&write->error, HF_STALE_EPOCH,
                     "State-Epoch %" PRId64 " is from before a restore: system %s is at epoch %" PRId64
                     "; fetch the state again and go on from there",
                     write->state_epoch, write->system, p->state.epoch);
    else if (item->if_none_match_any)
        hf_error_set(&write->error, HF_PRECONDITION,
                     "component %s has a state (ETag %s); If-None-Match: * failed, and a patch always needs one",
                     component, write->current_etag);
    else if (p->request->headers[HF_H_IF_MATCH] && !hf_etag_matches(p->request->headers[HF_H_IF_MATCH], &p->state.head))
        hf_error_set(&write->error, HF_PRECONDITION, "component %s is at ETag %s; If-Match failed", component,
                     write->current_etag);
    else
        return true;
    return hf_upload_fail(p->request, write, err);
}

static bool take_bytes(struct state_patch *p, struct hf_error *err)
{
    size_t bytes = p->state.body->bytes + (p->request->body ? p->request->body->bytes : 0);
    size_t lighter = p->kind == DELTA ? DELTA_LIGHTER : 1;
    if (bytes / lighter > BYTES_MAX)
        return too_large(p, BYTES_MAX * lighter, "a state and its patch together", err);
    bytes /= lighter;
    p->bytes_taken = bytes;
    if (atomic_fetch_add(&bytes_under_way, bytes) + bytes > BYTES_MAX)
        return hf_error_set(err, HF_OVERLOADED, "too many large states are being patched; try again soon");
    return true;
}

/* Sets body: the bytes of the changed state; the present ones when the patch changes nothing. */
static bool make_state(struct state_patch *p, struct hf_error *err)
{
    const struct hf_blob *body = p->state.body;
    if (p->kind == DELTA)
        return (p->body = hf_state_delta_apply(p->request, &p->state, &p->wanted, err)) != NULL;
    if (!hf_content_type_is_json(p->state.head.content_type))
        return hf_error_set(err, HF_CONFLICT,
                            "the state is %.100s and no JSON: it can only be replaced as a whole, or by a delta",
                            p->state.head.content_type);
    HF_AUTO(json) json_t *before = hf_json_parse_exact(body->data, body->bytes, err);
    if (!before && err->code == HF_INVALID_REQUEST) {
        err->code = HF_CONFLICT;
        return hf_error_wrap(err, "the present state would be altered by writing it again, so it can only be replaced "
                                  "as a whole");
    }
    HF_AUTO(json) json_t *after = before ? apply(p, before, err) : NULL;
    if (!after)
        return false;
    p->body = hf_json_same(after, before, NULL) ? hf_blob_ref(p->state.body) : write_state(p, after, err);
    return p->body != NULL;
}

/* Owns; NULL on failure. */
static json_t *apply(const struct state_patch *p, json_t *document, struct hf_error *err)
{
    if (p->kind == MERGE) {
        json_t *merged = hf_json_merge(document, p->patch);
        if (!merged)
            hf_error_set(err, HF_OVERLOADED, "there is not enough memory to apply the patch");
        return merged;
    }
    json_t *patched = json_incref(document);
    if (hf_json_patch_apply(p->patch, &patched, err))
        return patched;
    json_decref(patched);
    if (err->code == HF_PRECONDITION) /* a failed test: the client will want to know what it met */
        hf_request_problem_member(p->request, "currentEtag",
                                  hf_arena_format(&p->request->arena, "\"\\\"%.*s\\\"\"",
                                                  (int)strlen(p->upload.write.current_etag) - 2,
                                                  p->upload.write.current_etag + 1));
    return NULL;
}

static struct hf_blob *write_state(struct state_patch *p, const json_t *value, struct hf_error *err)
{
    size_t limit = (size_t)p->request->api->config->state_bytes_max;
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, limit);
    if (!hf_json_write(&text, value)) {
        too_large(p, limit, "the changed state", err);
        return NULL;
    }
    struct hf_blob *blob = hf_blob_copy(text.data, text.bytes);
    if (!blob)
        hf_error_set(err, HF_OVERLOADED, "there is not enough memory to apply the patch");
    return blob;
}

static enum outcome save(struct state_patch *p, struct hf_error *err)
{
    struct hf_upload *upload = &p->upload;
    char etag[HF_ETAG_BYTES];
    hf_etag_format(&p->state.head, etag);
    upload->item.if_match = etag;
    upload->item.body = p->body;
    upload->item.content_type = p->state.head.content_type;
    hf_hash_of(p->body->data, p->body->bytes, &upload->item.hash);
    if (hf_fault("patch_before_save"))
        return OVERTAKEN;
    if (hf_committer_write(p->engine->committer, &upload->write, err))
        return SAVED;
    if (err->code == HF_PRECONDITION)
        return OVERTAKEN;
    if (err->code == HF_STALE_EPOCH)
        hf_upload_fail(p->request, &upload->write, err);
    return FAILED;
}

static bool too_large(struct state_patch *p, size_t limit, const char *what, struct hf_error *err)
{
    hf_request_problem_member(p->request, "limit", hf_arena_format(&p->request->arena, "%zu", limit));
    return hf_error_set(err, HF_BODY_TOO_LARGE, "%s can have at most %zu bytes", what, limit);
}
