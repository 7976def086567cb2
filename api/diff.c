/* What changed between two moments of a system: all components in pages, or one with its JSON patch. */
#include "api/api.h"
#include "api/auth.h"
#include "api/handlers.h"
#include "core/id.h"
#include "engine/diff.h"

#include <string.h>

HF_AUTO_DEFINE(diff, struct hf_diff *, hf_diff_close);

/* Where a page goes on. It names the cuts of the page before, so that all pages compare the same two: "now" and the
 * newest snapshot move. */
struct position {
    struct hf_past_moment from, to;
    bool from_exact, to_exact; /* as far as the first page knew */
    const char *after;         /* the last component listed; "" */
};

static bool read_position(struct hf_request *request, struct position *out, struct hf_error *err);
static bool read_moment(const struct hf_request *request, const char *name, struct hf_past_moment *out,
                        struct hf_error *err);
static bool read_cursor(struct hf_request *request, const char *cursor, struct position *out);
static bool is_still_there(const struct hf_diff *diff, const struct position *position, struct hf_error *err);
static const char *make_cursor(struct hf_request *request, const struct hf_diff *diff, const struct position *position,
                               const char *last);
static enum hf_verdict answer_page(struct hf_request *request, struct hf_reply *reply, struct hf_diff *diff,
                                   const struct position *position, int limit);
static enum hf_verdict answer_one(struct hf_request *request, struct hf_reply *reply, struct hf_diff *diff,
                                  const char *component, struct hf_error *err);
static json_t *cuts_json(const struct hf_diff *diff, const struct position *position);
static json_t *cut_json(const struct hf_past_cut *cut, bool exact);
static json_t *change_json(const struct hf_difference *difference);

enum hf_verdict hf_api_diff(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    const char *component = hf_request_query(request, "component");
    HF_AUTO(diff) struct hf_diff *diff = NULL;
    struct position position;
    int limit;
    if (!engine || !read_position(request, &position, err) || !hf_api_limit(request, &limit, err))
        return HF_FAIL;
    if (component && !hf_name_is_valid(component, strlen(component))) {
        hf_error_set(err, HF_INVALID_REQUEST, "query parameter component must be the name of a component");
        return HF_FAIL;
    }
    if (component && !hf_auth_component_allowed(request->principal, component)) {
        hf_error_set(err, HF_FORBIDDEN, "token %s is for components named %s… only, not for %s", request->principal->id,
                     request->principal->component_prefix, component);
        return HF_FAIL;
    }
    if (!hf_diff_open(engine, request->params[0], &position.from, &position.to, &diff, err) ||
        (position.after[0] && !is_still_there(diff, &position, err)))
        return HF_FAIL;
    return component ? answer_one(request, reply, diff, component, err)
                     : answer_page(request, reply, diff, &position, limit);
}

static bool read_position(struct hf_request *request, struct position *out, struct hf_error *err)
{
    const char *cursor = NULL;
    *out = (struct position){.from_exact = true, .to_exact = true, .after = ""};
    if (!read_moment(request, "from", &out->from, err) || !read_moment(request, "to", &out->to, err) ||
        !hf_api_cursor_read(request, &cursor, err))
        return false;
    if (!hf_request_query(request, "from"))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "query parameter from is missing: a snapshot id or latest, a sequence, or a time");
    return !cursor || read_cursor(request, cursor, out) ||
           hf_error_set(err, HF_INVALID_REQUEST, "query parameter cursor is not one that this list gave out");
}

static bool read_moment(const struct hf_request *request, const char *name, struct hf_past_moment *out,
                        struct hf_error *err)
{
    const char *text = hf_request_query(request, name);
    return !text || hf_past_parse(text, out, err) || hf_error_wrap(err, "query parameter %s", name);
}

/* "FROM/TO/EE/COMPONENT", as make_cursor wrote it. */
static bool read_cursor(struct hf_request *request, const char *cursor, struct position *out)
{
    char *words[4], *rest = hf_arena_strdup(&request->arena, cursor), *save = NULL;
    struct hf_error err;
    for (int i = 0; i < 4; i++, rest = NULL)
        if (!(words[i] = strtok_r(rest, "/", &save)))
            return false;
    out->from_exact = words[2][0] == 'e';
    out->to_exact = words[2][0] && words[2][1] == 'e';
    out->after = words[3];
    return hf_past_parse(words[0], &out->from, &err) && hf_past_parse(words[1], &out->to, &err);
}

/* Where history was trimmed since the first page, the nearest snapshot would be compared instead. */
static bool is_still_there(const struct hf_diff *diff, const struct position *position, struct hf_error *err)
{
    const struct hf_past_moment *moments[] = {&position->from, &position->to};
    const struct hf_past_cut *cuts[] = {hf_diff_from(diff), hf_diff_to(diff)};
    for (int i = 0; i < 2; i++)
        if (moments[i]->kind == HF_PAST_SEQUENCE && cuts[i]->sequence != moments[i]->sequence)
            return hf_error_set(err, HF_CONFLICT,
                                "the page before compared sequence %lld, which history no longer has; begin again "
                                "without the cursor",
                                (long long)moments[i]->sequence);
    return true;
}

static const char *make_cursor(struct hf_request *request, const struct hf_diff *diff, const struct position *position,
                               const char *last)
{
    const struct hf_past_cut *cuts[] = {hf_diff_from(diff), hf_diff_to(diff)};
    const char *texts[2];
    for (int i = 0; i < 2; i++)
        texts[i] = cuts[i]->snapshot[0] ? cuts[i]->snapshot
                                        : hf_arena_format(&request->arena, "%lld", (long long)cuts[i]->sequence);
    return hf_api_cursor_make(request, hf_arena_format(&request->arena, "%s/%s/%c%c/%s", texts[0], texts[1],
                                                       position->from_exact && cuts[0]->exact ? 'e' : 'n',
                                                       position->to_exact && cuts[1]->exact ? 'e' : 'n', last));
}

/* Counts all that the token reaches, lists those that differ after the position. */
static enum hf_verdict answer_page(struct hf_request *request, struct hf_reply *reply, struct hf_diff *diff,
                                   const struct position *position, int limit)
{
    HF_AUTO(json) json_t *page = cuts_json(diff, position);
    json_t *counts = json_object(), *changes = json_array();
    int64_t count[HF_CHANGE_COUNT] = {0};
    const char *last = NULL;
    bool more = false;
    struct hf_difference difference;
    while (hf_diff_next(diff, &difference)) {
        if (!hf_auth_component_allowed(request->principal, difference.component))
            continue;
        count[difference.change]++;
        if (difference.change == HF_CHANGE_UNCHANGED || strcmp(difference.component, position->after) <= 0)
            continue;
        more = (int)json_array_size(changes) == limit;
        if (more)
            continue;
        json_array_append_new(changes, change_json(&difference));
        last = difference.component;
    }
    for (int i = 0; i < HF_CHANGE_COUNT; i++)
        hf_api_set_int(counts, hf_change_name((enum hf_change)i), count[i]);
    hf_api_set(page, "counts", counts);
    hf_api_set(page, "changes", changes);
    hf_api_set_next(request, reply, page, more ? make_cursor(request, diff, position, last) : NULL);
    hf_reply_json(reply, 200, page);
    return HF_DONE;
}

static enum hf_verdict answer_one(struct hf_request *request, struct hf_reply *reply, struct hf_diff *diff,
                                  const char *component, struct hf_error *err)
{
    const struct position here = {.from_exact = true, .to_exact = true};
    struct hf_difference difference;
    char reason[HF_DIFF_REASON_BYTES];
    json_t *patch = NULL;
    if (!hf_diff_find(diff, component, &difference)) {
        hf_error_set(err, HF_NOT_FOUND, "component \"%s\" of system \"%s\" has a state at neither moment", component,
                     request->params[0]);
        return HF_FAIL;
    }
    if (!hf_diff_patch(diff, &difference, &patch, reason, err))
        return HF_FAIL;
    HF_AUTO(json) json_t *object = cuts_json(diff, &here);
    HF_AUTO(json) json_t *change = change_json(&difference);
    json_object_update(object, change);
    hf_api_set(object, "patch", patch ? patch : json_null());
    hf_api_set_text(object, "reason", patch ? NULL : reason);
    hf_reply_json(reply, 200, object);
    return HF_DONE;
}

static json_t *cuts_json(const struct hf_diff *diff, const struct position *position)
{
    json_t *object = json_object();
    hf_api_set(object, "from", cut_json(hf_diff_from(diff), position->from_exact));
    hf_api_set(object, "to", cut_json(hf_diff_to(diff), position->to_exact));
    return object;
}

static json_t *cut_json(const struct hf_past_cut *cut, bool exact)
{
    json_t *object = json_object();
    hf_api_set_int(object, "sequence", cut->sequence);
    hf_json_set_time(object, "at", cut->at_ms);
    hf_api_set_text(object, "snapshot", cut->snapshot[0] ? cut->snapshot : NULL);
    hf_api_set(object, "exact", json_boolean(exact && cut->exact));
    return object;
}

static json_t *change_json(const struct hf_difference *difference)
{
    const struct hf_past_entry *from = difference->from, *to = difference->to;
    json_t *object = json_object();
    hf_api_set_text(object, "component", difference->component);
    hf_api_set_text(object, "change", hf_change_name(difference->change));
    hf_api_set(object, "fromVersion", from ? json_integer(from->version) : json_null());
    hf_api_set(object, "toVersion", to ? json_integer(to->version) : json_null());
    hf_api_set_hash(object, "fromHash", from ? &from->hash : NULL);
    hf_api_set_hash(object, "toHash", to ? &to->hash : NULL);
    hf_api_set(object, "fromBytes", from ? json_integer(from->bytes) : json_null());
    hf_api_set(object, "toBytes", to ? json_integer(to->bytes) : json_null());
    hf_api_set_text(object, "fromContentType", from ? from->content_type : NULL);
    hf_api_set_text(object, "toContentType", to ? to->content_type : NULL);
    return object;
}
