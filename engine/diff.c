#include "engine/diff.h"

#include "core/auto.h"
#include "core/json.h"
#include "core/json_exact.h"
#include "core/json_patch.h"

#include <stdio.h>
#include <string.h>

#define PATCH_BYTES_MAX (INT64_C(16) << 20) /* of a state; its values take some ten times that in memory */

struct hf_diff {
    struct hf_past *from, *to;
    struct hf_past_entry *from_entries, *to_entries;
    int64_t from_count, to_count;
    int64_t from_next, to_next;
};

static void compare(const struct hf_past_entry *from, const struct hf_past_entry *to, struct hf_difference *out);
static bool is_same(const struct hf_past_entry *from, const struct hf_past_entry *to);
static const char *why_not(const struct hf_difference *difference);
static bool read_value(struct hf_past *past, const struct hf_past_entry *entry, json_t **out, char *reason,
                       struct hf_error *err);

bool hf_diff_open(struct hf_engine *engine, const char *system, const struct hf_past_moment *from,
                  const struct hf_past_moment *to, struct hf_diff **out, struct hf_error *err)
{
    struct hf_diff *diff = hf_alloc(sizeof(*diff));
    bool ok = hf_past_open(engine, system, from, &diff->from, err);
    /* One after the other: whoever waits for a second session with one in hand may wait for himself. */
    if (ok)
        hf_past_leave_view(diff->from);
    if (ok)
        ok = hf_past_open(engine, system, to, &diff->to, err);
    if (!ok) {
        hf_diff_close(diff);
        return false;
    }
    hf_past_leave_view(diff->to);
    diff->from_entries = hf_past_entries(diff->from, &diff->from_count);
    diff->to_entries = hf_past_entries(diff->to, &diff->to_count);
    *out = diff;
    return true;
}

void hf_diff_close(struct hf_diff *diff)
{
    if (!diff)
        return;
    hf_past_close(diff->from);
    hf_past_close(diff->to);
    free(diff);
}

const struct hf_past_cut *hf_diff_from(const struct hf_diff *diff)
{
    return hf_past_cut(diff->from);
}

const struct hf_past_cut *hf_diff_to(const struct hf_diff *diff)
{
    return hf_past_cut(diff->to);
}

bool hf_diff_next(struct hf_diff *diff, struct hf_difference *out)
{
    while (diff->from_next < diff->from_count || diff->to_next < diff->to_count) {
        const struct hf_past_entry *from =
            diff->from_next < diff->from_count ? &diff->from_entries[diff->from_next] : NULL;
        const struct hf_past_entry *to = diff->to_next < diff->to_count ? &diff->to_entries[diff->to_next] : NULL;
        int order = !from ? 1 : !to ? -1 : strcmp(from->component, to->component);
        diff->from_next += order <= 0;
        diff->to_next += order >= 0;
        compare(order <= 0 ? from : NULL, order >= 0 ? to : NULL, out);
        if (out->from || out->to)
            return true;
    }
    return false;
}

bool hf_diff_find(const struct hf_diff *diff, const char *component, struct hf_difference *out)
{
    compare(hf_past_find(diff->from, component), hf_past_find(diff->to, component), out);
    return out->from || out->to;
}

static void compare(const struct hf_past_entry *from, const struct hf_past_entry *to, struct hf_difference *out)
{
    *out = (struct hf_difference){.from = hf_past_entry_is_present(from) ? from : NULL,
                                  .to = hf_past_entry_is_present(to) ? to : NULL,
                                  .component = from ? from->component
                                               : to ? to->component
                                                    : NULL};
    if (!out->from || !out->to)
        out->change = out->from ? HF_CHANGE_REMOVED : HF_CHANGE_ADDED;
    else
        out->change = is_same(from, to) ? HF_CHANGE_UNCHANGED : HF_CHANGE_CHANGED;
}

/* What a restore would leave alone. */
static bool is_same(const struct hf_past_entry *from, const struct hf_past_entry *to)
{
    return hf_hash_equal(&from->hash, &to->hash) && strcmp(from->content_type, to->content_type) == 0;
}

bool hf_diff_patch(struct hf_diff *diff, const struct hf_difference *difference, json_t **patch_out,
                   char reason_out[HF_DIFF_REASON_BYTES], struct hf_error *err)
{
    *patch_out = NULL;
    const char *why = why_not(difference);
    snprintf(reason_out, HF_DIFF_REASON_BYTES, "%s", why ? why : "");
    if (why)
        return true;
    HF_AUTO(json) json_t *from = NULL;
    HF_AUTO(json) json_t *to = NULL;
    if (!read_value(diff->from, difference->from, &from, reason_out, err) ||
        (from && !read_value(diff->to, difference->to, &to, reason_out, err)))
        return false;
    if (from && to)
        *patch_out = hf_json_patch_diff(from, to);
    return true;
}

static const char *why_not(const struct hf_difference *difference)
{
    const struct hf_past_entry *from = difference->from, *to = difference->to;
    if (!from || !to)
        return from ? "it was removed: there is nothing to compare with"
                    : "it was added: there is nothing to compare with";
    if (!hf_json_is_media_type(from->content_type) || !hf_json_is_media_type(to->content_type))
        return "its content type is not JSON";
    if (from->bytes > PATCH_BYTES_MAX || to->bytes > PATCH_BYTES_MAX)
        return "it is larger than 16 MiB";
    return NULL;
}

/* *out NULL with success: it cannot be read as JSON values, which reason tells. */
static bool read_value(struct hf_past *past, const struct hf_past_entry *entry, json_t **out, char *reason,
                       struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    struct hf_error why;
    if (!hf_past_read(past, entry, &blob, err))
        return false;
    *out = hf_json_parse_exact(blob->data, blob->bytes, &why);
    if (!*out)
        snprintf(reason, HF_DIFF_REASON_BYTES, "version %lld holds what a patch cannot express: %.160s",
                 (long long)entry->version, why.text);
    return true;
}

const char *hf_change_name(enum hf_change change)
{
    static const char *const names[HF_CHANGE_COUNT] = {"added", "removed", "changed", "unchanged"};
    return names[change];
}
