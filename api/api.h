/* What every handler shares: the service behind the requests, JSON bodies, page limits, cursors and links. */
#ifndef HF_API_API_H
#define HF_API_API_H

#include "api/request.h"
#include "core/config.h"
#include "core/digest.h"
#include "core/json.h"
#include "engine/engine.h"

#include <stdatomic.h>

struct hf_auth;

struct hf_api {
    _Atomic(struct hf_engine *) engine; /* NULL until it is ready */
    struct hf_auth *auth;
    const struct hf_config *config;
    atomic_bool stopping;
};

/* The engine, or NULL with HF_STARTING while it is not ready. Any thread. */
struct hf_engine *hf_api_engine(const struct hf_request *request, struct hf_error *err);

/* The body as a JSON object that has no fields but those named (NULL-terminated); an empty body counts as {} when
 * optional. HF_UNSUPPORTED_MEDIA unless the content type is JSON: a browser cannot send that to another site unasked.
 * Owns. */
json_t *hf_api_body_object(const struct hf_request *request, bool optional, const char *const fields[],
                           struct hf_error *err);

/* An array of different names as a list in the request's arena; absent: NULL and 0. */
HF_MUST_USE bool hf_api_name_list(struct hf_request *request, const json_t *object, const char *field, int count_max,
                                  const char *const **out, int *count_out, struct hf_error *err);

/* ?limit=, 1 to 1000, else 100. */
HF_MUST_USE bool hf_api_limit(const struct hf_request *request, int *out, struct hf_error *err);

/* Cursors carry a position as text; clients are not to read them. absent: *out stays. */
const char *hf_api_cursor_make(struct hf_request *request, const char *position);
HF_MUST_USE bool hf_api_cursor_read(struct hf_request *request, const char **out, struct hf_error *err);
/* The same for a position that is a time and an id ("" and INT64_MAX when absent). */
const char *hf_api_cursor_make_time(struct hf_request *request, int64_t at_ms, const char *id);
HF_MUST_USE bool hf_api_cursor_read_time(struct hf_request *request, int64_t *at_ms_out, const char **id_out,
                                         struct hf_error *err);

/* Ends a list: "nextCursor" in the object and Link rel="next" in the reply; cursor NULL: the last page. */
void hf_api_set_next(struct hf_request *request, struct hf_reply *reply, json_t *page, const char *cursor);

/* Sets a member; value NULL is a bug. */
void hf_api_set(json_t *object, const char *name, json_t *value);
void hf_api_set_text(json_t *object, const char *name, const char *value); /* NULL: null */
void hf_api_set_int(json_t *object, const char *name, int64_t value);
void hf_api_set_hash(json_t *object, const char *name, const struct hf_hash *hash); /* NULL: null */
/* A JSON text that the service itself stored. */
void hf_api_set_stored(json_t *object, const char *name, const char *json_text, const char *otherwise);

/* HF_NOT_FOUND for a system. */
HF_MUST_USE bool hf_api_read_system(struct hf_engine *engine, const char *system, struct hf_system_info *out,
                                    struct hf_error *err);

/* Is the answer for people? ?format=text or json, which wins over Accept. */
HF_MUST_USE bool hf_api_wants_text(const struct hf_request *request, bool *out, struct hf_error *err);

enum hf_verdict hf_api_no_content(struct hf_reply *reply);

#endif
