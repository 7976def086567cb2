/* Hydration: a recovery from head, loaded and reported wave by wave. */
#include "client/hydrate_plan.h"
#include "client/problem.h"
#include "client/recoveries.h"
#include "core/clock.h"

#include <stdio.h>
#include <string.h>

#define DETAIL_BYTES 160

struct hydrating {
    struct holdfast *service;
    const struct holdfast_hydration *hydration;
    json_t *names;    /* what was asked for; NULL: all */
    json_t *recovery; /* as the service made it, or a plan of our own; NULL: there is nothing to bring back */
    char id[80];      /* "": there is none that takes reports */
    int64_t epoch;    /* 0: not known yet */
    int64_t restored, fresh, failed;
};

/* How one component came up. */
struct report {
    const char *component;
    enum holdfast_outcome outcome;
    int64_t duration_ms;
    char detail[DETAIL_BYTES];
};

static bool begin(struct hydrating *h, struct holdfast_error *err);
static bool ask(struct hydrating *h, const json_t *names, struct holdfast_error *err);
static bool keep_known_names(struct hydrating *h, json_t *known, struct holdfast_error *err);
static bool read_epoch(struct hydrating *h, struct holdfast_error *err);
static bool bring_back_waves(struct hydrating *h, struct holdfast_error *err);
static bool bring_back(struct hydrating *h, const json_t *part, struct report *report, struct holdfast_error *err);
static bool load_part(struct hydrating *h, const json_t *part, struct holdfast_state *state,
                      struct holdfast_error *err);
static void start_missing(struct hydrating *h);
static bool is_planned(const struct hydrating *h, const char *component);
static void call_back(struct hydrating *h, const struct holdfast_state *state, struct report *report);
static bool send_report(struct hydrating *h, const struct report *report, struct holdfast_error *err);
static bool finish(struct hydrating *h, struct holdfast_recovery *out, struct holdfast_error *err);

bool holdfast_hydrate(struct holdfast *service, const struct holdfast_hydration *hydration,
                      struct holdfast_recovery *out, struct holdfast_error *err)
{
    struct holdfast_error unused;
    struct holdfast_recovery recovery = {.status = "fresh", .source = "head"};
    struct hydrating h = {.service = service, .hydration = hydration};
    uint64_t began_ns = hf_clock_monotonic_ns();
    err = err ? err : &unused;
    if (!hydration || !hydration->restore || hydration->max_age_ms < 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "hydrating needs a restore, and an age from 0 on");
    if (hydration->components && !(h.names = hf_recoveries_names(hydration->components, err)))
        return false;
    bool ok = begin(&h, err) && bring_back_waves(&h, err);
    if (ok) {
        start_missing(&h);
        ok = finish(&h, &recovery, err);
    }
    json_decref(h.names);
    json_decref(h.recovery);
    if (!ok)
        return false;
    recovery.duration_ms = (int64_t)((hf_clock_monotonic_ns() - began_ns) / HF_MS_NS);
    /* Only now: a process that did not come back must not write as one that did. */
    holdfast_set_epoch(service, h.epoch);
    atomic_store(&service->epoch_from_save, h.epoch == 0);
    if (out)
        *out = recovery;
    return true;
}

/* Makes the recovery. Components that the service has no state of cannot be part of it. */
static bool begin(struct hydrating *h, struct holdfast_error *err)
{
    if (ask(h, h->names, err))
        return true;
    bool is_forbidden = hf_problem_is(err, "forbidden"); /* the token is an agent's */
    if (!is_forbidden && !hf_problem_is(err, "not_found"))
        return false;
    if (!read_epoch(h, err))
        return hf_problem_is(err, "not_found"); /* the system is new */
    if (is_forbidden)
        return hf_hydrate_plan(h->service, h->names, h->hydration->include_dependencies, &h->recovery, err);
    if (!h->names) /* it came into being a moment ago */
        return ask(h, NULL, err);
    HF_AUTO(json) json_t *known = json_array();
    if (!keep_known_names(h, known, err))
        return false;
    return json_array_size(known) == 0 || ask(h, known, err);
}

static bool ask(struct hydrating *h, const json_t *names, struct holdfast_error *err)
{
    HF_AUTO(json) json_t *body = json_pack("{s:s}", "source", "head");
    if (names) {
        json_object_set(body, "components", (json_t *)names);
        json_object_set_new(body, "includeDependencies", json_boolean(h->hydration->include_dependencies));
    }
    if (h->hydration->reason && json_object_set_new(body, "reason", json_string(h->hydration->reason)) != 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "the reason is not in UTF-8");
    HF_AUTO(free) char *text = hf_json_text(body);
    HF_AUTO(free) char *target = hf_call_target(h->service, "recoveries");
    HF_AUTO(free) char *key_line = hf_recoveries_key_line(NULL);
    const char *const headers[] = {key_line, NULL};
    const struct hf_call call = {
        .request = {.doing = "hydrating",
                    .method = "POST",
                    .target = target,
                    .body = text,
                    .bytes = strlen(text),
                    .content_type = "application/json",
                    .headers = headers},
        .repeatable = true,
    };
    if (!hf_call_send_json(h->service, &call, &h->recovery, err))
        return false;
    if (!hf_call_get_text(h->recovery, "id", h->id, sizeof(h->id)) ||
        !hf_call_get_int(h->recovery, "epoch", &h->epoch) || !json_is_array(json_object_get(h->recovery, "waves")))
        return hf_call_bad_answer(err, call.request.doing, "it is no recovery");
    return true;
}

static bool keep_known_names(struct hydrating *h, json_t *known, struct holdfast_error *err)
{
    size_t index;
    json_t *name;
    json_array_foreach(h->names, index, name)
    {
        HF_AUTO(json) json_t *component = NULL;
        HF_AUTO(free) char *target = hf_call_target(h->service, "components/%s", json_string_value(name));
        const struct hf_call call = {
            .request = {.doing = "hydrating", .method = "GET", .target = target},
            .repeatable = true,
        };
        int64_t version = 0;
        if (!hf_call_send_json(h->service, &call, &component, err) && !hf_problem_is(err, "not_found"))
            return false;
        if (hf_call_get_int(component, "version", &version) && version > 0 &&
            json_is_string(json_object_get(component, "hash")))
            json_array_append(known, name);
    }
    return true;
}

static bool read_epoch(struct hydrating *h, struct holdfast_error *err)
{
    HF_AUTO(json) json_t *system = NULL;
    HF_AUTO(free) char *target = hf_format("/v1/systems/%s", holdfast_system(h->service));
    const struct hf_call call = {
        .request = {.doing = "hydrating", .method = "GET", .target = target},
        .repeatable = true,
    };
    if (!hf_call_send_json(h->service, &call, &system, err))
        return false;
    return hf_call_get_int(system, "epoch", &h->epoch) || hf_call_bad_answer(err, "hydrating", "it is no system");
}

static bool bring_back_waves(struct hydrating *h, struct holdfast_error *err)
{
    size_t wave_index;
    json_t *wave;
    json_array_foreach(json_object_get(h->recovery, "waves"), wave_index, wave)
    {
        size_t count = json_array_size(wave);
        HF_AUTO(free) struct report *reports = hf_alloc((count + 1) * sizeof(*reports));
        for (size_t i = 0; i < count; i++)
            if (!bring_back(h, json_array_get(wave, i), &reports[i], err))
                return false;
        for (size_t i = 0; i < count && h->id[0]; i++)
            if (!send_report(h, &reports[i], err))
                return false;
    }
    return true;
}

static bool bring_back(struct hydrating *h, const json_t *part, struct report *report, struct holdfast_error *err)
{
    struct holdfast_state state = {0};
    int64_t age_ms = 0;
    uint64_t began_ns = hf_clock_monotonic_ns();
    report->component = json_string_value(json_object_get(part, "component"));
    if (!report->component || !hf_problem_check_name("component", report->component, err) ||
        !hf_call_get_int(part, "ageMs", &age_ms))
        return hf_call_bad_answer(err, "hydrating", "a component has no name or no age");
    bool too_old = h->hydration->max_age_ms && age_ms > h->hydration->max_age_ms;
    bool given = !too_old && load_part(h, part, &state, err);
    if (!given && !too_old && !hf_problem_is(err, "not_found") && !hf_problem_is(err, "data_damaged"))
        return false;
    call_back(h, given ? &state : NULL, report);
    report->duration_ms = (int64_t)((hf_clock_monotonic_ns() - began_ns) / HF_MS_NS);
    holdfast_state_free(&state);
    return true;
}

/* The version of the plan, so that all components are of one cut; the present one where history no longer has it. */
static bool load_part(struct hydrating *h, const json_t *part, struct holdfast_state *state, struct holdfast_error *err)
{
    struct holdfast_when when = {0};
    const char *component = json_string_value(json_object_get(part, "component"));
    const char *hash = json_string_value(json_object_get(part, "hash"));
    if (!hash || !hf_call_get_int(part, "restoredVersion", &when.version))
        return hf_call_bad_answer(err, "hydrating", "a component has no hash or no version");
    if (when.version == 0)
        return hf_problem_set(err, "not_found", false, "%s has no state", component);
    if (!holdfast_load(h->service, component, &when, state, err))
        return hf_problem_is(err, "not_found") && holdfast_load(h->service, component, NULL, state, err);
    if (strcmp(state->hash, hash) == 0)
        return true;
    holdfast_state_free(state);
    return hf_call_bad_answer(err, "hydrating", "a state is another one than the recovery says");
}

/* What was asked for by name and has no state is told so, too. */
static void start_missing(struct hydrating *h)
{
    size_t index;
    json_t *name;
    json_array_foreach(h->names, index, name)
    {
        struct report report = {.component = json_string_value(name)};
        if (!is_planned(h, report.component))
            call_back(h, NULL, &report);
    }
}

static bool is_planned(const struct hydrating *h, const char *component)
{
    size_t wave_index, index;
    json_t *wave, *part;
    json_array_foreach(json_object_get(h->recovery, "waves"), wave_index, wave)
    {
        json_array_foreach(wave, index, part)
        {
            const char *name = json_string_value(json_object_get(part, "component"));
            if (name && strcmp(name, component) == 0)
                return true;
        }
    }
    return false;
}

static void call_back(struct hydrating *h, const struct holdfast_state *state, struct report *report)
{
    const struct holdfast_hydration *hydration = h->hydration;
    report->outcome = hydration->restore(hydration->context, report->component, state, report->detail);
    report->detail[DETAIL_BYTES - 1] = '\0';
    if (report->outcome == HOLDFAST_RESTORED)
        h->restored++;
    else if (report->outcome == HOLDFAST_FRESH)
        h->fresh++;
    else
        h->failed++;
}

static bool send_report(struct hydrating *h, const struct report *report, struct holdfast_error *err)
{
    static const char *const outcomes[] = {"restored", "fresh", "failed"};
    size_t outcome = report->outcome <= HOLDFAST_FAILED ? report->outcome : HOLDFAST_FAILED;
    HF_AUTO(buf) struct hf_buf body;
    hf_buf_init(&body, 64 * DETAIL_BYTES);
    hf_buf_add_format(&body, "{\"status\":\"%s\",\"durationMs\":%lld,\"detail\":", outcomes[outcome],
                      (long long)report->duration_ms);
    hf_buf_add_json_string(&body, report->detail, strlen(report->detail));
    hf_buf_add_char(&body, '}');
    HF_AUTO(free) char *doing = hf_format("reporting how %s came up", report->component);
    HF_AUTO(free) char *target = hf_call_target(h->service, "recoveries/%s/components/%s", h->id, report->component);
    const struct hf_call call = {
        .request = {.doing = doing,
                    .method = "PUT",
                    .target = target,
                    .body = body.data,
                    .bytes = body.bytes,
                    .content_type = "application/json"},
        .repeatable = true,
    };
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    hf_wire_answer_init(&answer);
    /* A recovery whose time was out takes no reports; the component is up all the same. */
    return hf_call_send(h->service, &call, &answer, err) || hf_problem_is(err, "conflict");
}

static bool finish(struct hydrating *h, struct holdfast_recovery *out, struct holdfast_error *err)
{
    HF_AUTO(json) json_t *recovery = NULL;
    if (h->recovery && !h->id[0])
        strcpy(out->status, h->failed ? "failed" : "completed");
    if (h->id[0]) {
        HF_AUTO(free) char *target = hf_call_target(h->service, "recoveries/%s", h->id);
        const struct hf_call call = {
            .request = {.doing = "hydrating", .method = "GET", .target = target, .accept = "application/json"},
            .repeatable = true,
        };
        if (!hf_call_send_json(h->service, &call, &recovery, err))
            return false;
        if (!hf_recoveries_read(recovery, out))
            return hf_call_bad_answer(err, call.request.doing, "it is no recovery");
    }
    out->epoch = h->epoch;
    out->restored = h->restored;
    out->fresh = h->fresh;
    out->failed = h->failed;
    out->components = h->restored + h->fresh + h->failed;
    return true;
}
