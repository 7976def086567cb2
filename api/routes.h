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
    HF_BODY_BATCH, /* PERSISTENCE_MAX_BATCH_BYTES */
    HF_BODY_STREAM /* PERSISTENCE_MAX_IMPORT_BYTES; the handler starts before the body has come and reads it as it does;
                      only with HF_ON_TRANSFER */
};

enum hf_where {
    HF_ON_LOOP,         /* never waits for anything */
    HF_ON_WORKER,       /* may read the database and files */
    HF_ON_TASK,         /* on one of the few threads for what may rightly take long; its client waits as long */
    HF_ON_TRANSFER,     /* on one of the few threads for archives: may take as long as the client reads or sends */
    HF_ON_LOOP_IF_SMALL /* on the loop when the body is at most HF_SMALL_BODY_BYTES, else on a worker */
};
#define HF_SMALL_BODY_BYTES (64 * 1024)

typedef enum hf_verdict hf_handler(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);

struct hf_route {
    enum hf_method method;
    const char *path; /* segments; {system} and {component} are names, {id} a snapshot or recovery id */
    hf_handler *handler;
    enum hf_role role;
    enum hf_body_kind body;
    enum hf_where where;
    const char *label; /* metric label and operationId */
    const char *query; /* allowed query parameters, separated by spaces; NULL: none */
};
extern const struct hf_route hf_routes[];
extern const int hf_route_count;

struct hf_route_table {
    const struct hf_route *rows;
    int count;
};

/* What a path leads to. */
struct hf_route_match {
    const struct hf_route *route;
    const char *params[4]; /* decoded, in the arena */
    const char *allow;     /* with HF_METHOD_NOT_ALLOWED: "GET, HEAD, PUT", in the arena */
};

/* Finds the row for method and path (percent-encoded, without the query). Segments are decoded after splitting, so %2F
 * never splits; ".." and names that break the rule are HF_INVALID_REQUEST naming the segment. Unknown path:
 * HF_NOT_FOUND; known path, other method: HF_METHOD_NOT_ALLOWED with out->allow set. HEAD matches a GET row; a method
 * the service does not know is HF_METHOD_COUNT. Where two rows match, the one with more fixed segments wins. */
HF_MUST_USE bool hf_route_find_in(const struct hf_route_table *table, enum hf_method method, const char *path,
                                  struct hf_arena *arena, struct hf_route_match *out, struct hf_error *err);

/* The same in the product's own table. Inline, so that only its callers need the table when they are linked. */
HF_MUST_USE static inline bool hf_route_find(enum hf_method method, const char *path, struct hf_arena *arena,
                                             struct hf_route_match *out, struct hf_error *err)
{
    const struct hf_route_table table = {hf_routes, hf_route_count};
    return hf_route_find_in(&table, method, path, arena, out, err);
}

const char *hf_method_name(enum hf_method method);
const char *hf_role_name(enum hf_role role);
/* "viewer", "agent" or "operator". */
bool hf_role_parse(const char *text, enum hf_role *out);

/* Parses "a=b&c" (percent-decoded, '+' is a space) and refuses names that the route does not list, twice-given names,
 * NUL and bad encoding. */
HF_MUST_USE bool hf_route_parse_query(const struct hf_route *route, const char *query, struct hf_request *request,
                                      struct hf_error *err);

#endif
