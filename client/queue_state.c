#include "client/queue_state.h"

#include "client/problem.h"
#include "core/clock.h"

#include <stdio.h>
#include <string.h>

static bool check_options(const struct holdfast_save_options *options, struct holdfast_error *err);
static bool is_printable(const char *text);

struct hf_queue_state *hf_queue_state_new(const char *component, const void *data, size_t bytes,
                                          const struct holdfast_save_options *options, struct holdfast_error *err)
{
    static const struct holdfast_save_options defaults;
    if (!options)
        options = &defaults;
    if (!hf_problem_check_name("component", component, err))
        return NULL;
    if (!data && bytes > 0) {
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "component %s: data is NULL", component);
        return NULL;
    }
    if (!check_options(options, err))
        return NULL;
    struct hf_queue_state *state = hf_alloc(sizeof(*state));
    state->data = hf_blob_copy(data, bytes);
    if (!state->data) {
        hf_problem_set(err, HF_PROBLEM_NO_MEMORY, true, "component %s: there is no memory for %zu bytes", component,
                       bytes);
        free(state);
        return NULL;
    }
    state->bytes = bytes;
    hf_hash_of(state->data->data, bytes, &state->hash);
    state->queued_at_ms = hf_clock_now_ms();
    state->snapshot = options->event && options->event_snapshot;
    snprintf(state->event, sizeof(state->event), "%s", options->event ? options->event : "");
    snprintf(state->content_type, sizeof(state->content_type), "%s",
             options->content_type ? options->content_type : "");
    snprintf(state->component, sizeof(state->component), "%s", component);
    return state;
}

void hf_queue_state_free(struct hf_queue_state *state)
{
    if (!state)
        return;
    hf_blob_unref(state->data);
    free(state);
}

void hf_queue_state_keep_event(struct hf_queue_state *state, const struct hf_queue_state *earlier)
{
    if (state->event[0] || !earlier->event[0])
        return;
    memcpy(state->event, earlier->event, sizeof(state->event));
    state->snapshot = earlier->snapshot;
}

static bool check_options(const struct holdfast_save_options *options, struct holdfast_error *err)
{
    if (options->if_match || options->if_absent)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false,
                              "a queue takes no if_match and no if_absent: their answer comes too late; use "
                              "holdfast_save");
    if (options->event && !hf_name_is_valid(options->event, strlen(options->event)))
        return hf_problem_set(err, HF_PROBLEM_INVALID, false,
                              "an event's name has 1 to %d letters, digits and . _ : -, and begins with a letter or "
                              "digit",
                              HF_NAME_MAX);
    if (options->content_type &&
        (strlen(options->content_type) >= HF_QUEUE_TYPE_BYTES || !is_printable(options->content_type)))
        return hf_problem_set(err, HF_PROBLEM_INVALID, false,
                              "a content type has at most %d printable ASCII characters", HF_QUEUE_TYPE_BYTES - 1);
    return true;
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}
