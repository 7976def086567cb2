/* From a method and a path to a row of the route table, and from a query string to checked parameters. */
#include "api/routes.h"

#include "core/id.h"

#include <stdio.h>
#include <string.h>

#define SEGMENTS_MAX 16
#define PARAMS_MAX   4
#define QUERY_MAX    16

static const char *const method_names[HF_METHOD_COUNT] = {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"};
static const char *const role_names[] = {"none", "viewer", "agent", "operator"};

/* A path cut at its slashes, each part decoded. */
struct segments {
    const char *texts[SEGMENTS_MAX];
    int count;
};

static bool split_path(const char *path, struct hf_arena *arena, struct segments *out, struct hf_error *err);
static bool decode(const char *text, size_t bytes, bool plus_is_space, struct hf_arena *arena, const char **out);
static int hex_digit(char c);
static int match_score(const char *pattern, const struct segments *segments);
static bool method_matches(const struct hf_route *route, enum hf_method method);
static const struct hf_route *best_row(const struct hf_route_table *table, enum hf_method method,
                                       const struct segments *segments);
static bool take_params(const struct hf_route *route, const struct segments *segments, const char *params_out[4],
                        struct hf_error *err);
static const char *allowed_methods(const struct hf_route_table *table, const struct segments *segments,
                                   struct hf_arena *arena);
static bool is_listed(const char *list, const char *word);
static bool parse_pair(const char *text, size_t bytes, struct hf_arena *arena, struct hf_query *out,
                       struct hf_error *err);
static bool check_pair(const struct hf_route *route, const struct hf_query *known, int count,
                       const struct hf_query *pair, struct hf_error *err);

const char *hf_method_name(enum hf_method method)
{
    return (unsigned)method < HF_METHOD_COUNT ? method_names[method] : "other";
}

const char *hf_role_name(enum hf_role role)
{
    return role_names[role];
}

bool hf_role_parse(const char *text, enum hf_role *out)
{
    for (int i = HF_ROLE_VIEWER; i <= HF_ROLE_OPERATOR; i++)
        if (strcmp(text, role_names[i]) == 0) {
            *out = (enum hf_role)i;
            return true;
        }
    return false;
}

bool hf_route_find_in(const struct hf_route_table *table, enum hf_method method, const char *path,
                      struct hf_arena *arena, struct hf_route_match *out, struct hf_error *err)
{
    struct segments segments;
    if (!split_path(path, arena, &segments, err))
        return false;
    const struct hf_route *route = best_row(table, method, &segments);
    if (!route) {
        const char *allow = allowed_methods(table, &segments, arena);
        if (!allow)
            return hf_error_set(err, HF_NOT_FOUND, "there is no path %.200s", path);
        out->allow = allow;
        return hf_error_set(err, HF_METHOD_NOT_ALLOWED, "the path %.200s allows %s", path, allow);
    }
    const char *params[PARAMS_MAX] = {NULL};
    if (!take_params(route, &segments, params, err))
        return false;
    out->route = route;
    memcpy(out->params, params, sizeof(params));
    return true;
}

bool hf_route_parse_query(const struct hf_route *route, const char *query, struct hf_request *request,
                          struct hf_error *err)
{
    if (!query || !*query)
        return true;
    struct hf_query *pairs = hf_arena_alloc(&request->arena, QUERY_MAX * sizeof(*pairs));
    int count = 0;
    while (*query) {
        size_t bytes = strcspn(query, "&");
        if (bytes > 0) {
            if (count == QUERY_MAX)
                return hf_error_set(err, HF_INVALID_REQUEST, "the query has more than %d parameters", QUERY_MAX);
            if (!parse_pair(query, bytes, &request->arena, &pairs[count], err) ||
                !check_pair(route, pairs, count, &pairs[count], err))
                return false;
            count++;
        }
        query += bytes + (query[bytes] == '&');
    }
    request->query = pairs;
    request->query_count = count;
    return true;
}

/* "/" has no segments; an empty segment stays one, and no row matches it. A path with more segments than any row has
 * is cut after SEGMENTS_MAX, which no row matches either. */
static bool split_path(const char *path, struct hf_arena *arena, struct segments *out, struct hf_error *err)
{
    out->count = 0;
    if (*path != '/')
        return hf_error_set(err, HF_INVALID_REQUEST, "the path \"%.100s\" does not start with a slash", path);
    if (path[1] == '\0')
        return true;
    while (*path == '/' && out->count < SEGMENTS_MAX) {
        path++;
        size_t bytes = (size_t)(strchrnul(path, '/') - path);
        const char *text;
        if (!decode(path, bytes, false, arena, &text))
            return hf_error_set(err, HF_INVALID_REQUEST,
                                "path segment %d (\"%.*s\") has a percent sign without two hex digits or encodes NUL",
                                out->count + 1, (int)(bytes < 100 ? bytes : 100), path);
        if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
            return hf_error_set(err, HF_INVALID_REQUEST, "path segment %d is \"%s\"; relative paths are refused",
                                out->count + 1, text);
        out->texts[out->count++] = text;
        path += bytes;
    }
    return true;
}

static bool decode(const char *text, size_t bytes, bool plus_is_space, struct hf_arena *arena, const char **out)
{
    char *copy = hf_arena_strndup(arena, text, bytes);
    char *to = copy;
    for (const char *from = copy; *from; from++) {
        if (*from == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0 || (high == 0 && low == 0))
                return false;
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = plus_is_space && *from == '+' ? ' ' : *from;
        }
    }
    *to = '\0';
    *out = copy;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* -1: no match; else the number of fixed segments. */
static int match_score(const char *pattern, const struct segments *segments)
{
    int score = 0;
    int i = 0;
    if (pattern[1] == '\0')
        return segments->count == 0 ? 0 : -1;
    for (; *pattern == '/'; i++) {
        pattern++;
        if (i >= segments->count)
            return -1;
        const char *text = segments->texts[i];
        if (*pattern == '{') {
            if (!*text)
                return -1;
            pattern = strchrnul(pattern, '/');
        } else {
            while (*text && *text == *pattern && *pattern != '/') /* a decoded slash is no separator */
                text++, pattern++;
            if (*text || (*pattern && *pattern != '/'))
                return -1;
            score++;
        }
    }
    return i == segments->count ? score : -1;
}

static bool method_matches(const struct hf_route *route, enum hf_method method)
{
    return route->method == method || (method == HF_HEAD && route->method == HF_GET);
}

static const struct hf_route *best_row(const struct hf_route_table *table, enum hf_method method,
                                       const struct segments *segments)
{
    const struct hf_route *best = NULL;
    int best_score = -1;
    for (int i = 0; i < table->count; i++) {
        if (!method_matches(&table->rows[i], method))
            continue;
        int score = match_score(table->rows[i].path, segments);
        if (score > best_score) {
            best = &table->rows[i];
            best_score = score;
        }
    }
    return best;
}

static bool take_params(const struct hf_route *route, const struct segments *segments, const char *params_out[4],
                        struct hf_error *err)
{
    const char *pattern = route->path;
    int param = 0;
    for (int i = 0; i < segments->count; i++) {
        pattern++;
        size_t bytes = (size_t)(strchrnul(pattern, '/') - pattern);
        if (*pattern == '{') {
            const char *text = segments->texts[i];
            HF_ASSERT(param < PARAMS_MAX);
            if (!hf_name_is_valid(text, strlen(text)))
                return hf_error_set(err, HF_INVALID_REQUEST,
                                    "%.*s is \"%.140s\"; a name has 1 to %d of A-Z a-z 0-9 . _ : - and starts with a "
                                    "letter or digit",
                                    (int)bytes - 2, pattern + 1, text, HF_NAME_MAX);
            params_out[param++] = text;
        }
        pattern += bytes;
    }
    return true;
}

/* "GET, HEAD, PUT" for a known path; NULL when no row has it. */
static const char *allowed_methods(const struct hf_route_table *table, const struct segments *segments,
                                   struct hf_arena *arena)
{
    char list[64] = "";
    for (int method = 0; method < HF_METHOD_COUNT; method++) {
        if (!best_row(table, (enum hf_method)method, segments))
            continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", used ? ", " : "", method_names[method]);
    }
    return *list ? hf_arena_strdup(arena, list) : NULL;
}

static bool is_listed(const char *list, const char *word)
{
    size_t word_bytes = strlen(word);
    while (list && *list) {
        size_t bytes = strcspn(list, " ");
        if (bytes == word_bytes && bytes > 0 && strncmp(list, word, bytes) == 0)
            return true;
        list += bytes + (list[bytes] == ' ');
    }
    return false;
}

static bool parse_pair(const char *text, size_t bytes, struct hf_arena *arena, struct hf_query *out,
                       struct hf_error *err)
{
    const char *equals = memchr(text, '=', bytes);
    size_t name_bytes = equals ? (size_t)(equals - text) : bytes;
    out->value = "";
    if (!decode(text, name_bytes, true, arena, &out->name) ||
        (equals && !decode(equals + 1, bytes - name_bytes - 1, true, arena, &out->value)))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "the query part \"%.*s\" has a percent sign without two hex digits or encodes NUL",
                            (int)(bytes < 100 ? bytes : 100), text);
    return true;
}

static bool check_pair(const struct hf_route *route, const struct hf_query *known, int count,
                       const struct hf_query *pair, struct hf_error *err)
{
    if (!is_listed(route->query, pair->name))
        return hf_error_set(err, HF_INVALID_REQUEST, "unknown query parameter \"%.64s\"; this path knows %s",
                            pair->name, route->query ? route->query : "none");
    for (int i = 0; i < count; i++)
        if (strcmp(known[i].name, pair->name) == 0)
            return hf_error_set(err, HF_INVALID_REQUEST, "query parameter %s is given twice", pair->name);
    return true;
}
