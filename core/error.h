/* One error for the whole house: a code from one table and a sentence for people.
 *
 * The caller owns the struct; a failing function fills it and returns false. The table gives each code its wire
 * name, its HTTP status and whether the same request may succeed later. */
#ifndef HF_CORE_ERROR_H
#define HF_CORE_ERROR_H

#include <stdbool.h>

#define HF_MUST_USE                         __attribute__((warn_unused_result))
#define HF_PRINTF(format_index, args_index) __attribute__((format(printf, format_index, args_index)))

/* code, wire name, HTTP status, retryable, RFC 9457 title */
#define HF_CODE_TABLE(X)                                                                                               \
    X(HF_OK, "ok", 200, false, "OK")                                                                                   \
    X(HF_INVALID_REQUEST, "invalid_request", 400, false, "The request is malformed")                                   \
    X(HF_DIGEST_MISMATCH, "digest_mismatch", 400, false, "The body does not match its digest")                         \
    X(HF_UNAUTHORIZED, "unauthorized", 401, false, "A valid bearer token is required")                                 \
    X(HF_FORBIDDEN, "forbidden", 403, false, "The token does not allow this")                                          \
    X(HF_NOT_FOUND, "not_found", 404, false, "There is no such thing")                                                 \
    X(HF_METHOD_NOT_ALLOWED, "method_not_allowed", 405, false, "The path has no such method")                          \
    X(HF_STALE_EPOCH, "stale_epoch", 409, false, "The system was restored since")                                      \
    X(HF_SUPERSEDED, "superseded", 409, false, "A newer write of the same writer is stored")                           \
    X(HF_DEPENDENCY_CYCLE, "dependency_cycle", 409, false, "The dependencies would form a cycle")                      \
    X(HF_SNAPSHOT_IN_USE, "snapshot_in_use", 409, false, "The snapshot is in use")                                     \
    X(HF_PLAN_CHANGED, "plan_changed", 409, false, "The system moved on since the plan")                               \
    X(HF_CONFLICT, "conflict", 409, false, "The request conflicts with the present state")                             \
    X(HF_PRECONDITION, "precondition_failed", 412, false, "A precondition did not hold")                               \
    X(HF_BODY_TOO_LARGE, "body_too_large", 413, false, "The body is too large")                                        \
    X(HF_URI_TOO_LONG, "uri_too_long", 414, false, "The URL is too long")                                              \
    X(HF_UNSUPPORTED_MEDIA, "unsupported_media_type", 415, false, "The content type is not supported here")            \
    X(HF_RANGE, "range_not_satisfiable", 416, false, "The range lies outside the content")                             \
    X(HF_IDEMPOTENCY_REUSED, "idempotency_key_reused", 422, false, "The key was used with another body")               \
    X(HF_INTERNAL, "internal_error", 500, false, "Something went wrong in the service")                                \
    X(HF_DAMAGED, "data_damaged", 500, false, "Stored bytes do not match their hash")                                  \
    X(HF_KEY_MISSING, "encryption_key_missing", 500, false, "The key that this is encrypted with is not at hand")      \
    X(HF_IO, "io_error", 500, true, "A file could not be read or written")                                             \
    X(HF_CONFIG, "configuration_error", 500, false, "A setting is wrong")                                              \
    X(HF_OVERLOADED, "overloaded", 503, true, "The service is at its limit")                                           \
    X(HF_STORE_DOWN, "store_unavailable", 503, true, "The database is away")                                           \
    X(HF_STARTING, "starting", 503, true, "The service is starting")                                                   \
    X(HF_SHUTTING_DOWN, "shutting_down", 503, true, "The service is stopping")                                         \
    X(HF_OUTCOME_UNKNOWN, "outcome_unknown", 503, true, "Whether the change was stored is not known")                  \
    X(HF_STORAGE_FULL, "storage_full", 507, true, "There is no space left")

enum hf_code {
#define X(code, name, status, retryable, title) code,
    HF_CODE_TABLE(X)
#undef X
        HF_CODE_COUNT
};

struct hf_error {
    enum hf_code code;
    char text[480]; /* for people; always terminated; never holds bodies or secrets */
};

/* Sets code and text; always returns false, so that a failure is one line: return hf_error_set(err, ...). */
bool hf_error_set(struct hf_error *err, enum hf_code code, const char *format, ...) HF_PRINTF(3, 4);

/* Puts "prefix: " before the text and keeps the code; always returns false. */
bool hf_error_wrap(struct hf_error *err, const char *format, ...) HF_PRINTF(2, 3);

/* Sets the code from errno (ENOSPC and EDQUOT: HF_STORAGE_FULL, else HF_IO) with strerror appended; returns false. */
bool hf_error_errno(struct hf_error *err, int error_number, const char *format, ...) HF_PRINTF(3, 4);

const char *hf_code_name(enum hf_code code);
const char *hf_code_title(enum hf_code code);
int hf_code_status(enum hf_code code);
bool hf_code_retryable(enum hf_code code);

/* Our own invariants, checked in release builds too: prints file, line and the condition, then aborts. */
#define HF_ASSERT(condition) ((condition) ? (void)0 : hf_assert_failed(#condition, __FILE__, __LINE__))
_Noreturn void hf_assert_failed(const char *condition, const char *file, int line);

#endif
