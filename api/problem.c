/* Problem details (RFC 9457): the one shape of every answer that is not a success. */
#include "api/request.h"

#include <string.h>

struct hf_problem_member {
    struct hf_problem_member *next;
    const char *name;
    const char *value_json;
};

static void write_problem(struct hf_request *request, struct hf_buf *out, const struct hf_error *err);
static void write_text(struct hf_buf *out, const char *before, const char *text);
static void write_members(const struct hf_problem_member *member, struct hf_buf *out);

void hf_request_problem_member(struct hf_request *request, const char *name, const char *value_json)
{
    struct hf_problem_member *member = hf_arena_alloc(&request->arena, sizeof(*member));
    member->next = request->problem_members;
    member->name = hf_arena_strdup(&request->arena, name);
    member->value_json = hf_arena_strdup(&request->arena, value_json);
    request->problem_members = member;
}

void hf_reply_problem(struct hf_request *request, struct hf_reply *reply, const struct hf_error *err)
{
    hf_reply_done(reply);
    reply->status = hf_code_status(err->code);
    reply->content_type = "application/problem+json";
    write_problem(request, &reply->body, err);
    if (reply->status == 401)
        hf_reply_header(request, reply, "WWW-Authenticate", "Bearer realm=\"holdfast\"");
    if (reply->status == 503)
        hf_reply_header(request, reply, "Retry-After", "1");
    if (reply->status == 507)
        hf_reply_header(request, reply, "Retry-After", "5");
}

static void write_problem(struct hf_request *request, struct hf_buf *out, const struct hf_error *err)
{
    const char *code = hf_code_name(err->code);
    hf_buf_add_text(out, "{\"type\":\"urn:holdfast:problem:");
    hf_buf_add_text(out, code);
    write_text(out, "\",\"title\":", hf_code_title(err->code));
    hf_buf_add_text(out, ",\"status\":");
    hf_buf_add_u64(out, (uint64_t)hf_code_status(err->code));
    write_text(out, ",\"detail\":", err->text);
    write_text(out, ",\"instance\":", request->target ? request->target : "");
    write_text(out, ",\"code\":", code);
    hf_buf_add_text(out, ",\"retryable\":");
    hf_buf_add_text(out, hf_code_retryable(err->code) ? "true" : "false");
    write_text(out, ",\"requestId\":", request->request_id);
    write_members(request->problem_members, out);
    hf_buf_add_text(out, "}\n");
}

static void write_text(struct hf_buf *out, const char *before, const char *text)
{
    hf_buf_add_text(out, before);
    hf_buf_add_json_string(out, text, strlen(text));
}

/* In the order they were given: the list is newest first. */
static void write_members(const struct hf_problem_member *member, struct hf_buf *out)
{
    if (!member)
        return;
    write_members(member->next, out);
    hf_buf_add_char(out, ',');
    hf_buf_add_json_string(out, member->name, strlen(member->name));
    hf_buf_add_char(out, ':');
    hf_buf_add_text(out, member->value_json);
}
