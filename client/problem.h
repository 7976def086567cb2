/* Filling in a holdfast_error: failures of our own, and what the service answered (problem+json, RFC 9457). */
#ifndef HF_CLIENT_PROBLEM_H
#define HF_CLIENT_PROBLEM_H

#include "client/holdfast.h"
#include "core/error.h"

/* Codes that are ours and not the service's. */
#define HF_PROBLEM_INVALID     "invalid_argument"
#define HF_PROBLEM_UNREACHABLE "unreachable"
#define HF_PROBLEM_TIMED_OUT   "timed_out"
#define HF_PROBLEM_UNKNOWN     "outcome_unknown"
#define HF_PROBLEM_BAD_ANSWER  "bad_answer"
#define HF_PROBLEM_CANCELLED   "cancelled"
#define HF_PROBLEM_NO_MEMORY   "no_memory"

/* Sets a failure without an answer; err may be NULL. Always returns false. */
bool hf_problem_set(struct holdfast_error *err, const char *code, bool retryable, const char *format, ...)
    HF_PRINTF(4, 5);

/* A failing answer as a failure: its problem where it has one, else what its status says. doing is what was asked for
 * ("saving agent-7"); err may be NULL. Always returns false. */
struct hf_problem_answer {
    int status;
    const char *body; /* may be NULL */
    size_t bytes;
    const char *content_type;
    const char *request_id;
    bool *is_problem_out; /* whether it has a problem of the service; may be NULL */
};
bool hf_problem_read(struct holdfast_error *err, const char *doing, const struct hf_problem_answer *answer);

/* Whether err (not NULL) has this code. */
bool hf_problem_is(const struct holdfast_error *err, const char *code);

/* Whether a component's or a system's name may be sent; else invalid_argument. what: "component". */
bool hf_problem_check_name(const char *what, const char *name, struct holdfast_error *err);
/* Whether a text may stand in a header (NULL may): no control characters; else invalid_argument. */
bool hf_problem_check_header(const char *what, const char *text, struct holdfast_error *err);

#endif
