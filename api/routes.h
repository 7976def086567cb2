/* The route table: one row an operation. It drives dispatch, roles, 404, 405 with Allow, body limits, allowed query
 * parameters, metric labels and the check against openapi.yaml. */
#ifndef HF_API_ROUTES_H
#define HF_API_ROUTES_H

#include "api/request.h"

enum hf_role { HF_ROLE_NONE, HF_ROLE_VIEWER, HF_ROLE_AGENT, HF_ROLE_OPERATOR }; /* each includes those before it */

enum hf_body_kind {
    HF_BODY_NONE,  /* a body is refused */
    HF_BODY_SMALL, /* JSON of at most 1 MiB */
    HF_BODY_STATE, /* PERSISTENCE_MAX_STATE_BYTES */
    HF_BODY_BATCH  /* PERSISTENCE_MAX_BATCH_BYTES */
};

enum hf_where {
    HF_ON_LOOP,          /* never waits for anything */
    HF_ON_WORKER,        /* may read the database and files */
    HF_ON_LOOP_IF_SMALL  /* on the loop when the body is at most HF_SMALL_BODY_BYTES, else on a worker */
};
#define HF_SMALL_BODY_BYTES (64 * 1024)

typedef enum hf_verdict hf_handler(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);

struct hf_route {
    enum hf_method method;
    const char *path;        /* segments; {system} and {component} are names, {id} a snapshot or recovery id */
    hf_handler *handler;
    enum hf_role role;
    enum hf_body_kind body;
    enum hf_where where;
    const char *label;       /* metric label and operationId */
    const char *query;       /* allowed query parameters, separated by spaces; NULL: none */
};
extern const struct hf_route hf_routes[];
extern const int hf_route_count;

/* Finds the row for method and path (percent-encoded, without the query). Segments are decoded after splitting, so %2F
 * never splits; ".." and names that break the rule are HF_INVALID_REQUEST naming the segment. Unknown path:
 * HF_NOT_FOUND; known path, other method: HF_METHOD_NOT_ALLOWED with *allow_out set ("GET, HEAD, PUT", arena). HEAD
 * matches a GET row. */
HF_MUST_USE bool hf_route_find(enum hf_method method, const char *path, struct hf_arena *arena,
                               const struct hf_route **route_out, const char *params_out[4], const char **allow_out,
                               struct hf_error *err);

/* Parses "a=b&c" (percent-decoded, '+' is a space) and refuses names that the route does not list, twice-given names,
 * NUL and bad encoding. */
HF_MUST_USE bool hf_route_parse_query(const struct hf_route *route, const char *query, struct hf_request *request,
                                      struct hf_error *err);

#endif
