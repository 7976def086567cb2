#include "client/call.h"

#include "client/problem.h"
#include "client/retry.h"
#include "core/clock.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define JSON_BYTES_MAX ((size_t)256 * 1024 * 1024)

/* What is known of all attempts of a call so far. */
struct attempts {
    int count;
    bool may_have_arrived; /* an earlier one */
    bool unanswered;       /* one of them, so that it is not known what it did */
    uint64_t began_ns;
    uint64_t deadline_ns;
};

static bool attempt(struct holdfast *service, const struct hf_wire_request *request, struct hf_wire_answer *answer,
                    struct holdfast_error *err);
static bool is_worth_repeating(const struct hf_wire_answer *answer, const struct holdfast_error *err);
static bool was_not_processed(const struct hf_wire_answer *answer, const struct holdfast_error *err);
static bool pause_before_next(struct holdfast *service, const struct attempts *attempts,
                              const struct hf_wire_answer *answer, const atomic_bool *stop);
static bool say_elsewhere(const struct hf_wire_request *request, const struct hf_wire_answer *answer,
                          struct holdfast_error *err);
static bool is_unanswered(const struct hf_wire_answer *answer, const struct holdfast_error *err);
static bool tells_of_key(const struct hf_wire_answer *answer, const struct holdfast_error *err);
static bool say_unknown(struct holdfast_error *err);
static bool give_up(struct holdfast *service, const struct attempts *attempts, const atomic_bool *stop,
                    struct holdfast_error *err);

bool hf_call_send(struct holdfast *service, const struct hf_call *call, struct hf_wire_answer *answer,
                  struct holdfast_error *err)
{
    struct hf_wire_request request = call->request;
    int retry_ms = call->retry_ms ? call->retry_ms : service->retry_ms;
    request.idle_ms = call->timeout_ms ? call->timeout_ms : service->timeout_ms;
    request.once = !call->repeatable;
    if (request.answer_bytes_max == 0)
        request.answer_bytes_max = JSON_BYTES_MAX;
    struct attempts attempts = {.began_ns = hf_clock_monotonic_ns()};
    attempts.deadline_ns = attempts.began_ns + (retry_ms > 0 ? (uint64_t)retry_ms * HF_MS_NS : 0);
    if (call->deadline_ns)
        attempts.deadline_ns = call->deadline_ns;
    for (;;) {
        bool ok = attempt(service, &request, answer, err);
        if (call->said)
            *call->said = (struct hf_states_answer){answer->is_problem, answer->retry_after_ms};
        attempts.count++;
        bool was_refused = !ok && was_not_processed(answer, err);
        bool arrived_before = attempts.may_have_arrived;
        attempts.may_have_arrived = arrived_before || answer->maybe_twice || (!ok && !was_refused);
        attempts.unanswered = attempts.unanswered || answer->maybe_twice;
        if (ok || !is_worth_repeating(answer, err)) {
            answer->maybe_twice = answer->maybe_twice || arrived_before;
            bool is_unknown = !ok && call->keyed && attempts.unanswered && !tells_of_key(answer, err);
            return is_unknown ? say_unknown(err) : ok;
        }
        attempts.unanswered = attempts.unanswered || is_unanswered(answer, err);
        if (!was_refused && !call->repeatable)
            return is_unanswered(answer, err) ? say_unknown(err) : false;
        if (call->keyed && attempts.count == 1 && retry_ms > 0)
            attempts.deadline_ns = hf_clock_monotonic_ns() + (uint64_t)retry_ms * HF_MS_NS;
        bool began = answer->began_reading || answer->began_writing;
        if (began || retry_ms < 0 || !pause_before_next(service, &attempts, answer, request.stop)) {
            answer->maybe_twice = attempts.may_have_arrived;
            give_up(service, &attempts, request.stop, err);
            bool is_unknown = call->keyed && attempts.unanswered && !hf_problem_is(err, HF_PROBLEM_CANCELLED);
            return is_unknown ? say_unknown(err) : false;
        }
    }
}

bool hf_call_send_json(struct holdfast *service, const struct hf_call *call, json_t **out, struct holdfast_error *err)
{
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    struct hf_error why;
    hf_wire_answer_init(&answer);
    if (!hf_call_send(service, call, &answer, err))
        return false;
    json_t *json = hf_json_parse(answer.body.data ? answer.body.data : "", answer.body.bytes, &why);
    if (!json_is_object(json)) {
        json_decref(json);
        return hf_call_bad_answer(err, call->request.doing, "it is no JSON object");
    }
    *out = json;
    return true;
}

char *hf_call_target(const struct holdfast *service, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    HF_AUTO(free) char *rest = hf_format_args(format, args);
    va_end(args);
    return hf_format("/v1/systems/%s/%s", service->system, rest);
}

char *hf_call_escape(const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);
    HF_ASSERT(escaped); /* no memory */
    char *copy = hf_strdup(escaped);
    curl_free(escaped);
    return copy;
}

bool hf_call_get_int(const json_t *object, const char *name, int64_t *out)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value))
        return false;
    *out = json_integer_value(value);
    return true;
}

bool hf_call_get_text(const json_t *object, const char *name, char *out, size_t room)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (!text)
        return false;
    snprintf(out, room, "%s", text);
    return true;
}

bool hf_call_bad_answer(struct holdfast_error *err, const char *doing, const char *what)
{
    return hf_problem_set(err, HF_PROBLEM_BAD_ANSWER, false, "%s: the answer is not what was to be expected: %s", doing,
                          what);
}

static bool attempt(struct holdfast *service, const struct hf_wire_request *request, struct hf_wire_answer *answer,
                    struct holdfast_error *err)
{
    if (!hf_wire_send(service->wire, request, answer, err))
        return false;
    if (hf_wire_is_success(request, answer->status))
        return true;
    if (answer->status < 400)
        return say_elsewhere(request, answer, err);
    return hf_problem_read(err, request->doing,
                           &(struct hf_problem_answer){
                               .status = answer->status,
                               .body = answer->body.data,
                               .bytes = answer->body.bytes,
                               .content_type = answer->content_type,
                               .request_id = answer->request_id,
                               .is_problem_out = &answer->is_problem,
                           });
}

/* No answer, or one that says "later": 507 and 500 may be retryable, but not within seconds. */
static bool is_worth_repeating(const struct hf_wire_answer *answer, const struct holdfast_error *err)
{
    int status = answer->status;
    return err->retryable && (status == 0 || status == 429 || status == 502 || status == 503 || status == 504);
}

/* Whether the request certainly changed nothing. A 503 says so only in the service's own words: a proxy's may come
 * after it passed the request on. */
static bool was_not_processed(const struct hf_wire_answer *answer, const struct holdfast_error *err)
{
    if (answer->status == 0)
        return !answer->may_have_arrived;
    return answer->status == 429 ||
           (answer->is_problem && (hf_problem_is(err, "overloaded") || hf_problem_is(err, "starting") ||
                                   hf_problem_is(err, "shutting_down")));
}

/* False: there is no time left, or the handle was cancelled. */
static bool pause_before_next(struct holdfast *service, const struct attempts *attempts,
                              const struct hf_wire_answer *answer, const atomic_bool *stop)
{
    uint64_t now_ns = hf_clock_monotonic_ns();
    if (now_ns >= attempts->deadline_ns)
        return false;
    int64_t left_ms = (int64_t)((attempts->deadline_ns - now_ns) / HF_MS_NS);
    int64_t pause_ms = hf_retry_pause_after_ms(attempts->count, hf_retry_random(), answer->retry_after_ms);
    if (answer->retry_after_ms > left_ms)
        return false;
    return hf_wire_pause(service->wire, pause_ms < left_ms ? pause_ms : left_ms, stop);
}

/* A redirection, mostly of something in between that wants a login first: nothing was done. */
static bool say_elsewhere(const struct hf_wire_request *request, const struct hf_wire_answer *answer,
                          struct holdfast_error *err)
{
    hf_problem_set(err, HF_PROBLEM_BAD_ANSWER, false, "%s: the answer was %d%s%.256s, which the service never gives",
                   request->doing, answer->status, answer->location[0] ? " to " : "", answer->location);
    err->status = answer->status;
    snprintf(err->request_id, sizeof(err->request_id), "%s", answer->request_id);
    return false;
}

/* Nothing was said that tells whether it was done: by nobody, or not by the service itself. */
static bool is_unanswered(const struct hf_wire_answer *answer, const struct holdfast_error *err)
{
    bool by_other = answer->status >= 400 && !answer->is_problem;
    bool arrived = answer->status != 0 || answer->may_have_arrived;
    return arrived && (by_other || hf_problem_is(err, HF_PROBLEM_UNREACHABLE) ||
                       hf_problem_is(err, HF_PROBLEM_TIMED_OUT) || hf_problem_is(err, HF_PROBLEM_UNKNOWN));
}

/* The service looked the key up and found nothing done: whom it does not let in, it does not tell. */
static bool tells_of_key(const struct hf_wire_answer *answer, const struct holdfast_error *err)
{
    bool let_in = answer->is_problem && answer->status != 401 && answer->status != 403;
    return let_in || hf_problem_is(err, HF_PROBLEM_CANCELLED);
}

static bool say_unknown(struct holdfast_error *err)
{
    if (hf_problem_is(err, HF_PROBLEM_UNKNOWN)) /* in the service's words */
        return false;
    int status = err->status;
    hf_problem_set(err, HF_PROBLEM_UNKNOWN, true,
                   "%.380s; it may have been done all the same: look before you repeat it", err->text);
    err->status = status;
    return false;
}

static bool give_up(struct holdfast *service, const struct attempts *attempts, const atomic_bool *stop,
                    struct holdfast_error *err)
{
    if (hf_wire_is_cancelled(service->wire) || (stop && atomic_load(stop)))
        return hf_problem_set(err, HF_PROBLEM_CANCELLED, false, "%.380s; then it was cancelled", err->text);
    if (attempts->count > 1) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof(err->text) - used, " (%d attempts in %.1f s)", attempts->count,
                 (double)(hf_clock_monotonic_ns() - attempts->began_ns) / (double)HF_SECOND_NS);
    }
    return false;
}
