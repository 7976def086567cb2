/* Problem details (RFC 9457): the one shape of every answer that is not a success. */
#include "api/request.h"
#include "core/clock.h"
#include "core/log.h"

#include <stdatomic.h>
#include <string.h>

#define TOLD_PAUSE_NS (10 * HF_SECOND_NS)

struct hf_problem_member {
    struct hf_problem_member *next;
    const char *name;
    const char *value_json;
};

static const char *detail_for_clients(const struct hf_request *request, const struct hf_error *err);
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

/* What the database says of its failures names statements and addresses: that is for the log, and there not as often
 * as clients try again. */
static const char *detail_for_clients(const struct hf_request *request, const struct hf_error *err)
{
    static _Atomic uint64_t told_ns;
    const char *detail = NULL;
    if (err->code == HF_STORE_DOWN)
        detail = "the database is away; try again soon";
    if (err->code == HF_OUTCOME_UNKNOWN && !request->tells_all)
        detail = "the database went away during the commit; the change may or may not be stored: look, or repeat it, "
                 "identical content is stored once";
    if (!detail)
        return err->text;
    uint64_t now_ns = hf_clock_monotonic_ns(), then_ns = atomic_load(&told_ns);
    if ((then_ns == 0 || now_ns - then_ns >= TOLD_PAUSE_NS) &&
        atomic_compare_exchange_strong(&told_ns, &then_ns, now_ns))
        hf_log(HF_LOG_WARNING, "request_without_database", err->text, HF_LOG_TEXT("code", hf_code_name(err->code)),
               HF_LOG_TEXT("request", request->request_id));
    return detail;
}

static void write_problem(struct hf_request *request, struct hf_buf *out, const struct hf_error *err)
{
    const char *code = hf_code_name(err->code);
    hf_buf_add_text(out, "{\"type\":\"urn:holdfast:problem:");
    hf_buf_add_text(out, code);
    write_text(out, "\",\"title\":", hf_code_title(err->code));
    hf_buf_add_text(out, ",\"status\":");
    hf_buf_add_u64(out, (uint64_t)hf_code_status(err->code));
    write_text(out, ",\"detail\":", detail_for_clients(request, err));
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
