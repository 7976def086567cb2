/* Calls: one or more attempts of a request, and its answer as success or as a failure with a code. What every public
 * function sends goes through here. */
#ifndef HF_CLIENT_CALL_H
#define HF_CLIENT_CALL_H

#include "client/handle.h"
#include "client/states.h"
#include "core/json.h"

/* A wait without an end: for what the service answers when it is done, however long that takes. */
#define HF_CALL_AS_LONG_AS_IT_TAKES (-1)

struct hf_call {
    struct hf_wire_request request; /* idle_ms, once and a missing answer_bytes_max are filled in */
    bool repeatable;                /* may be sent again though it may have arrived */
    /* … but only with its Idempotency-Key, which the caller of the library may not have: given up after an attempt that
     * may have arrived, it is outcome_unknown. retry_ms counts from the first failure, as the work may take longer. */
    bool keyed;
    int timeout_ms;       /* 0: the handle's; HF_CALL_AS_LONG_AS_IT_TAKES */
    int retry_ms;         /* 0: the handle's */
    uint64_t deadline_ns; /* of the retries, in the place of retry_ms, for several calls that are one; 0: none */
    struct hf_states_answer *said; /* filled in; NULL: not asked for */
};

/* Sends it until an answer below 400 came, or trying again is of no use or not allowed. answer is initialised and is
 * what came last, also on failure; hf_wire_answer_done. answer->maybe_twice then says that an attempt before may have
 * been carried out. err is not NULL. */
bool hf_call_send(struct holdfast *service, const struct hf_call *call, struct hf_wire_answer *answer,
                  struct holdfast_error *err);

/* The same, for an answer that is a JSON object; owns *out (json_decref). */
bool hf_call_send_json(struct holdfast *service, const struct hf_call *call, json_t **out, struct holdfast_error *err);

/* "/v1/systems/SYSTEM/" and what follows; owns, free(). */
char *hf_call_target(const struct holdfast *service, const char *format, ...) HF_PRINTF(2, 3);

/* Percent-encoded for a segment or a query's value (RFC 3986); owns, free(). */
char *hf_call_escape(const char *text);

/* For answers: members that must be there; false where they are missing or of another type. */
bool hf_call_get_int(const json_t *object, const char *name, int64_t *out);
bool hf_call_get_text(const json_t *object, const char *name, char *out, size_t room); /* cut if it has no room */

/* An answer that is not what the contract says; always false. */
bool hf_call_bad_answer(struct holdfast_error *err, const char *doing, const char *what);

#endif
