/* holdfast_call: any request. */
#include "client/call.h"
#include "client/problem.h"
#include "core/digest.h"

#include <string.h>
#include <strings.h>

static const char *check(const struct holdfast_request *request, struct holdfast_error *err);
static bool check_headers(const struct holdfast_request *request, struct holdfast_error *err);
static bool has_key(const struct holdfast_request *request);
static void hand_over(struct hf_wire_answer *from, struct holdfast_answer *out);
static void label_of(const char *digest, char out[72]);

bool holdfast_call(struct holdfast *service, const struct holdfast_request *request, struct holdfast_answer *out,
                   struct holdfast_error *err)
{
    struct holdfast_error unused;
    err = err ? err : &unused;
    HF_AUTO(free) char *target = NULL;
    const char *method = check(request, err);
    if (!method)
        return false;
    target = request->path[0] == '/' ? hf_strdup(request->path) : hf_call_target(service, "%s", request->path);
    /* A query may hold what does not belong into messages. */
    HF_AUTO(free) char *doing = hf_format("%s %.*s", method, (int)strcspn(target, "?"), target);
    bool keyed = strcmp(method, "POST") == 0 && has_key(request);
    bool has_body = request->body || request->read;
    const struct hf_call call = {
        .request = {.doing = doing,
                    .method = method,
                    .target = target,
                    .body = request->body,
                    .bytes = request->bytes,
                    .content_type = request->content_type ? request->content_type
                                    : has_body            ? "application/json"
                                                          : NULL,
                    .accept = request->accept,
                    .headers = request->headers,
                    .answer_bytes_max = service->state_bytes_max,
                    .read = request->read,
                    .upload_bytes = request->upload_bytes,
                    .write = request->write,
                    .progress = request->progress,
                    .context = request->context},
        .repeatable = request->idempotent || keyed || (strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0),
        .keyed = keyed,
        .timeout_ms = request->timeout_ms,
        .retry_ms = request->retry_ms,
    };
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    hf_wire_answer_init(&answer);
    if (!hf_call_send(service, &call, &answer, err))
        return false;
    if (out)
        hand_over(&answer, out);
    return true;
}

void holdfast_answer_free(struct holdfast_answer *answer)
{
    if (!answer)
        return;
    free(answer->body);
    *answer = (struct holdfast_answer){0};
}

/* The method; NULL: something is refused. */
static const char *check(const struct holdfast_request *request, struct holdfast_error *err)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"};
    const char *method = NULL;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (strcmp(request->method ? request->method : "GET", methods[i]) == 0)
            method = methods[i];
    if (!method) {
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "the method must be GET, HEAD, PUT, POST, PATCH or DELETE");
        return NULL;
    }
    if (!request->path || !request->path[0]) {
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "no path is given");
        return NULL;
    }
    for (const unsigned char *at = (const unsigned char *)request->path; *at; at++)
        if (*at <= 0x20 || *at >= 0x7f || *at == '#') {
            hf_problem_set(err, HF_PROBLEM_INVALID, false, "the path holds a character that must be percent-encoded");
            return NULL;
        }
    return check_headers(request, err) ? method : NULL;
}

static bool check_headers(const struct holdfast_request *request, struct holdfast_error *err)
{
    if (!hf_problem_check_header("the content type", request->content_type, err) ||
        !hf_problem_check_header("the accepted type", request->accept, err))
        return false;
    for (const char *const *line = request->headers; line && *line; line++) {
        if (!hf_problem_check_header("a header", *line, err))
            return false;
        size_t name_bytes = strcspn(*line, ":");
        if (name_bytes == 0 || !(*line)[name_bytes])
            return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a header must be like \"Name: value\"");
    }
    return true;
}

static bool has_key(const struct holdfast_request *request)
{
    static const char name[] = "Idempotency-Key:";
    for (const char *const *line = request->headers; line && *line; line++)
        if (strncasecmp(*line, name, sizeof(name) - 1) == 0 &&
            (*line)[sizeof(name) - 1 + strspn(*line + sizeof(name) - 1, " ")]) /* else libcurl leaves it out */
            return true;
    return false;
}

static void hand_over(struct hf_wire_answer *from, struct holdfast_answer *out)
{
    struct holdfast_answer answer = {.status = from->status};
    if (from->body.data || !from->began_writing)
        answer.body = hf_buf_take(&from->body, &answer.bytes);
    memcpy(answer.content_type, from->content_type, sizeof(answer.content_type));
    memcpy(answer.etag, from->etag, sizeof(answer.etag));
    memcpy(answer.location, from->location, sizeof(answer.location));
    memcpy(answer.request_id, from->request_id, sizeof(answer.request_id));
    label_of(from->repr_digest[0] ? from->repr_digest : from->content_digest, answer.digest);
    *out = answer;
}

/* "sha-256=:BASE64:" (RFC 9530) as "sha256:" and hexadecimal digits; other algorithms are passed over. */
static void label_of(const char *digest, char out[72])
{
    static const char name[] = "sha-256=:";
    struct hf_hash hash;
    size_t bytes = 0;
    const char *text = strstr(digest, name);
    text = text ? text + sizeof(name) - 1 : "";
    unsigned char raw[3 * (80 / 4)];
    if (hf_base64_decode(text, strcspn(text, ":"), raw, &bytes) && bytes == sizeof(hash.bytes)) {
        memcpy(hash.bytes, raw, sizeof(hash.bytes));
        hf_hash_label(&hash, out);
    }
}
