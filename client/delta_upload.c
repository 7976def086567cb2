#include "client/delta_upload.h"

#include "client/problem.h"
#include "core/delta.h"

#include <string.h>

#define SIGNATURE_TYPE  "application/vnd.holdfast.rsync-signature"
#define DELTA_TYPE      "application/vnd.holdfast.rsync-delta"
#define STATE_BYTES_MAX ((size_t)480 * 1024 * 1024) /* what the service applies deltas to, with room for the delta */
#define DELTA_BYTES_MAX ((size_t)64 * 1024 * 1024)  /* what it takes */
#define WORTH_PART      4                           /* a delta has to save at least this part of the state */
#define ATTEMPTS        2                           /* when others keep overtaking, the whole state ends it */

/* One attempt, for the state that is there now. */
struct attempt {
    struct holdfast *service;
    const struct hf_upload *upload;
    char etag[64];
    bool same; /* the state has the content already */
};

static enum hf_delta_outcome attempt_once(struct attempt *attempt, bool *overtaken_out, struct holdfast_receipt *out,
                                          struct holdfast_error *err);
static enum hf_delta_outcome look(struct attempt *attempt, struct holdfast_error *err);
static bool fits(const struct attempt *attempt, const struct hf_wire_answer *answer);
static enum hf_delta_outcome sign(const struct attempt *attempt, struct hf_buf *signature, bool *overtaken_out,
                                  struct holdfast_error *err);
static enum hf_delta_outcome send_delta(const struct attempt *attempt, const struct hf_buf *delta, bool *overtaken_out,
                                        struct holdfast_receipt *out, struct holdfast_error *err);
static enum hf_delta_outcome judge(const struct holdfast_error *err);
static char *repr_digest(const struct hf_hash *hash);

enum hf_delta_outcome hf_delta_upload(struct holdfast *service, const struct hf_upload *upload,
                                      struct holdfast_receipt *out, struct holdfast_error *err)
{
    struct attempt attempt = {.service = service, .upload = upload};
    if (upload->options->if_absent || upload->bytes > STATE_BYTES_MAX)
        return HF_DELTA_WHOLE;
    for (int i = 0; i < ATTEMPTS; i++) {
        bool overtaken = false;
        enum hf_delta_outcome outcome = attempt_once(&attempt, &overtaken, out, err);
        if (!overtaken)
            return outcome;
    }
    return HF_DELTA_WHOLE;
}

static enum hf_delta_outcome attempt_once(struct attempt *attempt, bool *overtaken_out, struct holdfast_receipt *out,
                                          struct holdfast_error *err)
{
    const struct hf_upload *upload = attempt->upload;
    struct hf_error unmade;
    HF_AUTO(buf) struct hf_buf signature, delta;
    size_t delta_bytes_max = upload->bytes - upload->bytes / WORTH_PART;
    hf_buf_init(&signature, upload->bytes);
    hf_buf_init(&delta, delta_bytes_max < DELTA_BYTES_MAX ? delta_bytes_max : DELTA_BYTES_MAX);
    enum hf_delta_outcome outcome = look(attempt, err);
    if (outcome != HF_DELTA_SAVED)
        return outcome;
    outcome = sign(attempt, &signature, overtaken_out, err);
    if (outcome != HF_DELTA_SAVED || *overtaken_out)
        return outcome;
    if (!hf_delta_make(signature.data, signature.bytes, upload->data, upload->bytes, &delta, &unmade))
        return HF_DELTA_WHOLE;
    return send_delta(attempt, &delta, overtaken_out, out, err);
}

/* What is there: HF_DELTA_SAVED means that a delta may be made for it. */
static enum hf_delta_outcome look(struct attempt *attempt, struct holdfast_error *err)
{
    const struct hf_upload *upload = attempt->upload;
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    HF_AUTO(free) char *target = hf_call_target(attempt->service, "components/%s/state", upload->component);
    const struct hf_call call = {
        .request = {.doing = upload->doing, .method = "HEAD", .target = target, .stop = upload->terms->stop},
        .repeatable = true,
        .deadline_ns = upload->deadline_ns,
        .said = upload->terms->answer,
    };
    hf_wire_answer_init(&answer);
    if (!hf_call_send(attempt->service, &call, &answer, err))
        return judge(err);
    if (!fits(attempt, &answer))
        return HF_DELTA_WHOLE;
    HF_AUTO(free) char *digest = repr_digest(&upload->hash);
    attempt->same = strcmp(answer.repr_digest, digest) == 0;
    memcpy(attempt->etag, answer.etag, sizeof(attempt->etag));
    return HF_DELTA_SAVED;
}

/* A delta keeps the content type, and has the one condition that it is for this state. */
static bool fits(const struct attempt *attempt, const struct hf_wire_answer *answer)
{
    const struct holdfast_save_options *options = attempt->upload->options;
    const char *type = options->content_type ? options->content_type : "application/json";
    return answer->etag[0] && strcmp(answer->content_type, type) == 0 &&
           (!options->if_match || strcmp(options->if_match, answer->etag) == 0);
}

/* Where the content is there already, its signature needs not be fetched: that the service looks at the epoch, at the
 * conditions and at the event, and notes the activity, then costs a delta of a few bytes. */
static enum hf_delta_outcome sign(const struct attempt *attempt, struct hf_buf *signature, bool *overtaken_out,
                                  struct holdfast_error *err)
{
    const struct hf_upload *upload = attempt->upload;
    struct hf_error unmade;
    if (attempt->same)
        return hf_delta_sign(upload->data, upload->bytes, signature, &unmade) ? HF_DELTA_SAVED : HF_DELTA_WHOLE;
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    HF_AUTO(free) char *target = hf_call_target(attempt->service, "components/%s/state/signature", upload->component);
    HF_AUTO(free) char *condition = hf_format("If-Match: %s", attempt->etag);
    const char *const headers[] = {condition, NULL};
    const struct hf_call call = {
        .request = {.doing = upload->doing,
                    .method = "GET",
                    .target = target,
                    .accept = SIGNATURE_TYPE,
                    .headers = headers,
                    .stop = upload->terms->stop,
                    .answer_bytes_max = upload->bytes},
        .repeatable = true,
        .deadline_ns = upload->deadline_ns,
        .said = upload->terms->answer,
    };
    hf_wire_answer_init(&answer);
    bool ok = hf_call_send(attempt->service, &call, &answer, err);
    *overtaken_out = !ok && err->status == 412;
    if (!ok)
        return judge(err);
    if (strcmp(answer.content_type, SIGNATURE_TYPE) != 0 || !hf_buf_add(signature, answer.body.data, answer.body.bytes))
        return HF_DELTA_WHOLE;
    return HF_DELTA_SAVED;
}

static enum hf_delta_outcome send_delta(const struct attempt *attempt, const struct hf_buf *delta, bool *overtaken_out,
                                        struct holdfast_receipt *out, struct holdfast_error *err)
{
    struct hf_upload upload = *attempt->upload;
    struct holdfast_save_options options = *upload.options;
    struct hf_hash delta_hash;
    HF_AUTO(upload_lines) struct hf_upload_lines lines;
    HF_AUTO(free) char *target = hf_call_target(attempt->service, "components/%s/state", upload.component);
    HF_AUTO(free) char *digest = repr_digest(&upload.hash);
    options.if_match = attempt->etag;
    upload.options = &options;
    hf_hash_of(delta->data, delta->bytes, &delta_hash);
    hf_upload_lines_make(&upload, &delta_hash, &lines);
    hf_upload_lines_add(&lines, hf_format("Repr-Digest: %s", digest));
    const struct hf_call call = {
        .request = {.doing = upload.doing,
                    .method = "PATCH",
                    .target = target,
                    .body = delta->data,
                    .bytes = delta->bytes,
                    .content_type = DELTA_TYPE,
                    .headers = (const char *const *)lines.line,
                    .stop = upload.terms->stop},
        .repeatable = true, /* its condition holds once */
        .deadline_ns = upload.deadline_ns,
        .said = upload.terms->answer,
    };
    if (hf_upload_send(attempt->service, &upload, &call, out, err))
        return HF_DELTA_SAVED;
    bool asked_for = attempt->upload->options->if_match != NULL;
    *overtaken_out = err->status == 412 && !asked_for;
    return err->status == 412 && asked_for ? HF_DELTA_FAILED : judge(err);
}

/* Some failures would come again: those without an answer, and those about who asks or when. The rest may be because
 * the service, or something on the way to it, knows no deltas. */
static enum hf_delta_outcome judge(const struct holdfast_error *err)
{
    static const char *const lasting[] = {
        HF_PROBLEM_UNREACHABLE, HF_PROBLEM_TIMED_OUT, HF_PROBLEM_CANCELLED, HF_PROBLEM_UNKNOWN,
        "unauthorized",         "stale_epoch",        "superseded"};
    for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++)
        if (hf_problem_is(err, lasting[i]))
            return HF_DELTA_FAILED;
    return err->status == 503 ? HF_DELTA_FAILED : HF_DELTA_WHOLE;
}

static char *repr_digest(const struct hf_hash *hash)
{
    char digest[4 * ((HF_HASH_BYTES + 2) / 3) + 1];
    hf_base64_encode(hash->bytes, HF_HASH_BYTES, digest);
    return hf_format("sha-256=:%s:", digest);
}
