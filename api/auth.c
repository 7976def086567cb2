/* Tokens: an immutable table made from the file, swapped whole when the file changes. Who holds a principal from an
 * older table may keep it: tables are freed at close only. */
#include "api/auth.h"

#include "api/auth_file.h"
#include "core/auto.h"
#include "core/log.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define TOKEN_PREFIX    "hft_"
#define TOKEN_BYTES_MAX 128

struct hf_auth {
    char *path; /* NULL: no tokens */
    struct hf_principal anonymous;
    _Atomic(struct hf_token_table *) current; /* never NULL when path is set */
    struct stat seen;                         /* of the file as last read; only the refreshing thread looks at it */
    struct hf_token_table *tables;            /* all, newest first; likewise */
};

static bool token_in_header(const char *authorization, const char **token_out, size_t *bytes_out);
static bool token_id(const char *token, size_t bytes, char id_out[24]);
static bool same_file(const struct stat *a, const struct stat *b);
static const char *param_named(const struct hf_route *route, const char *const params[4], const char *name);
static bool allow_system(const struct hf_principal *principal, const char *system, struct hf_error *err);
static bool allow_component(const struct hf_principal *principal, const struct hf_route *route, const char *component,
                            struct hf_error *err);
static bool changes_whole_system(const struct hf_route *route);

bool hf_auth_open(struct hf_auth **out, const char *path, struct hf_error *err)
{
    struct hf_auth *auth = hf_alloc(sizeof(*auth));
    auth->anonymous = (struct hf_principal){.id = "anonymous", .role = HF_ROLE_OPERATOR};
    if (path) {
        struct hf_token_table *table = hf_token_table_read(path, &auth->seen, err);
        if (!table) {
            free(auth);
            return false;
        }
        auth->path = hf_strdup(path);
        auth->tables = table;
        atomic_init(&auth->current, table);
    }
    *out = auth;
    return true;
}

void hf_auth_close(struct hf_auth *auth)
{
    if (!auth)
        return;
    while (auth->tables) {
        struct hf_token_table *older = auth->tables->older;
        hf_token_table_free(auth->tables);
        auth->tables = older;
    }
    free(auth->path);
    free(auth);
}

bool hf_auth_has_tokens(const struct hf_auth *auth)
{
    return auth->path != NULL;
}

void hf_auth_refresh(struct hf_auth *auth)
{
    struct stat now = {0};
    if (!auth->path)
        return;
    if (stat(auth->path, &now) != 0)
        now = (struct stat){0};
    if (same_file(&now, &auth->seen))
        return;
    struct hf_error err;
    struct hf_token_table *table = hf_token_table_read(auth->path, &now, &err);
    auth->seen = now; /* a bad file is reported once, not at every look */
    if (!table) {
        hf_log(HF_LOG_WARNING, "tokens_unreadable", "the tokens file is not usable; the tokens read before stay valid",
               HF_LOG_TEXT("reason", err.text));
        return;
    }
    table->older = auth->tables;
    auth->tables = table;
    atomic_store_explicit(&auth->current, table, memory_order_release);
    hf_log(HF_LOG_INFO, "tokens_read", "the tokens file changed and was read again",
           HF_LOG_NUMBER("tokens", table->count));
}

bool hf_auth_check(struct hf_auth *auth, const char *authorization, const struct hf_principal **out,
                   struct hf_error *err)
{
    if (!auth->path) {
        *out = &auth->anonymous;
        return true;
    }
    const char *token;
    size_t bytes;
    if (!authorization)
        return hf_error_set(err, HF_UNAUTHORIZED, "there is no Authorization header; send \"Bearer hft_...\"");
    if (!token_in_header(authorization, &token, &bytes))
        return hf_error_set(err, HF_UNAUTHORIZED, "the Authorization header is not \"Bearer hft_...\"");

    char id[24] = "";
    bool shaped = token_id(token, bytes, id);
    struct hf_hash sent;
    hf_hash_of(token, bytes, &sent);
    const struct hf_token_table *table = atomic_load_explicit(&auth->current, memory_order_acquire);
    const struct hf_token *row = shaped ? hf_token_table_find(table, id) : NULL;
    /* An unknown id costs the same comparison, so that the time says nothing about which ids exist. */
    static const struct hf_hash no_hash;
    bool same = hf_bytes_equal_constant_time(sent.bytes, row ? row->hash.bytes : no_hash.bytes, HF_HASH_BYTES);
    if (!row || !same)
        return hf_error_set(err, HF_UNAUTHORIZED, "the token is not known here; it may have been removed");
    *out = &row->principal;
    return true;
}

bool hf_auth_allow(const struct hf_principal *principal, const struct hf_route *route, const char *const params[4],
                   struct hf_error *err)
{
    if (route->role == HF_ROLE_NONE)
        return true;
    if (principal->role < route->role)
        return hf_error_set(err, HF_FORBIDDEN, "this needs the role %s; token %s has the role %s",
                            hf_role_name(route->role), principal->id, hf_role_name(principal->role));
    return allow_system(principal, param_named(route, params, "{system}"), err) &&
           allow_component(principal, route, param_named(route, params, "{component}"), err);
}

bool hf_auth_component_allowed(const struct hf_principal *principal, const char *component)
{
    const char *prefix = principal->component_prefix;
    return !prefix || strncmp(component, prefix, strlen(prefix)) == 0;
}

/* The scheme's name is case-insensitive (RFC 9110 section 11.1). */
static bool token_in_header(const char *authorization, const char **token_out, size_t *bytes_out)
{
    if (strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    const char *token = authorization + 7;
    token += strspn(token, " ");
    size_t bytes = strcspn(token, " ,");
    if (bytes == 0 || bytes > TOKEN_BYTES_MAX || token[bytes] != '\0')
        return false;
    *token_out = token;
    *bytes_out = bytes;
    return true;
}

static bool token_id(const char *token, size_t bytes, char id_out[24])
{
    size_t prefix = strlen(TOKEN_PREFIX);
    if (bytes <= prefix || strncmp(token, TOKEN_PREFIX, prefix) != 0)
        return false;
    const char *end = memchr(token + prefix, '_', bytes - prefix);
    size_t id_bytes = end ? (size_t)(end - token) - prefix : 0;
    if (id_bytes == 0 || id_bytes >= 24)
        return false;
    memcpy(id_out, token + prefix, id_bytes);
    id_out[id_bytes] = '\0';
    return true;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_size == b->st_size && a->st_ino == b->st_ino;
}

/* The value of a placeholder of the route's path; NULL when the path has none of that name. */
static const char *param_named(const struct hf_route *route, const char *const params[4], const char *name)
{
    int param = 0;
    for (const char *at = strchr(route->path, '{'); at; at = strchr(at + 1, '{')) {
        if (strncmp(at, name, strlen(name)) == 0)
            return params[param];
        param++;
    }
    return NULL;
}

static bool allow_system(const struct hf_principal *principal, const char *system, struct hf_error *err)
{
    if (!principal->system)
        return true;
    if (!system)
        return hf_error_set(err, HF_FORBIDDEN, "token %s is for the system %s alone; this concerns every system",
                            principal->id, principal->system);
    if (strcmp(system, principal->system) != 0)
        return hf_error_set(err, HF_FORBIDDEN, "token %s is for the system %s, not for %s", principal->id,
                            principal->system, system);
    return true;
}

static bool allow_component(const struct hf_principal *principal, const struct hf_route *route, const char *component,
                            struct hf_error *err)
{
    if (!principal->component_prefix)
        return true;
    if (component && !hf_auth_component_allowed(principal, component))
        return hf_error_set(err, HF_FORBIDDEN, "token %s is for components named %s… only, not for %s", principal->id,
                            principal->component_prefix, component);
    if (changes_whole_system(route))
        return hf_error_set(err, HF_FORBIDDEN,
                            "token %s is for components named %s… only; this changes the whole system", principal->id,
                            principal->component_prefix);
    return true;
}

/* Its settings and its snapshots are those of every component. Uploads of several states and restores name their
 * components in the body: their handlers look. */
static bool changes_whole_system(const struct hf_route *route)
{
    static const char *const ends[] = {"/v1/systems", "/{system}", "/snapshots", "/snapshots/{id}"};
    size_t length = strlen(route->path);
    if (route->method == HF_GET)
        return false;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t bytes = strlen(ends[i]);
        if (length >= bytes && strcmp(route->path + length - bytes, ends[i]) == 0)
            return true;
    }
    return false;
}
