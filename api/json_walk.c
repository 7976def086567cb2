#include "api/json_walk.h"

#include <string.h>

static void skip_blanks(struct hf_json_walk *walk);
static struct hf_json_span take_value(struct hf_json_walk *walk);
static void skip_string(struct hf_json_walk *walk);

bool hf_json_walk_enter(struct hf_json_walk *walk, struct hf_json_span span, char kind)
{
    *walk = (struct hf_json_walk){span.at, span.at + span.bytes};
    skip_blanks(walk);
    if (walk->at == walk->end || *walk->at != kind)
        return false;
    walk->at++;
    return true;
}

bool hf_json_walk_next(struct hf_json_walk *walk, struct hf_json_span *name_out, struct hf_json_span *value_out)
{
    skip_blanks(walk);
    if (walk->at < walk->end && *walk->at == ',') {
        walk->at++;
        skip_blanks(walk);
    }
    if (walk->at >= walk->end || *walk->at == ']' || *walk->at == '}')
        return false;
    *value_out = take_value(walk);
    skip_blanks(walk);
    if (walk->at < walk->end && *walk->at == ':') { /* what was taken was a name */
        walk->at++;
        skip_blanks(walk);
        *name_out = *value_out;
        *value_out = take_value(walk);
    }
    return true;
}

static void skip_blanks(struct hf_json_walk *walk)
{
    while (walk->at < walk->end && *walk->at && strchr(" \t\r\n", *walk->at))
        walk->at++;
}

/* Brackets outside strings balance in a good text, so counting them is enough. */
static struct hf_json_span take_value(struct hf_json_walk *walk)
{
    const char *start = walk->at;
    int depth = 0;
    while (walk->at < walk->end) {
        char c = *walk->at;
        if (depth == 0 && walk->at > start && c && strchr(",:]} \t\r\n", c))
            break;
        if (c == '"')
            skip_string(walk);
        else
            walk->at++;
        if (c == '{' || c == '[')
            depth++;
        if (c == '}' || c == ']')
            depth--;
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            break;
    }
    return (struct hf_json_span){start, (size_t)(walk->at - start)};
}

static void skip_string(struct hf_json_walk *walk)
{
    walk->at++;
    while (walk->at < walk->end && *walk->at != '"')
        walk->at += *walk->at == '\\' && walk->at + 1 < walk->end ? 2 : 1;
    if (walk->at < walk->end)
        walk->at++;
}
