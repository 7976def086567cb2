/* Restoring the system to an earlier moment: planned, at once, or as planned before. */
#include "client/recoveries.h"

#include "client/problem.h"
#include "core/clock.h"
#include "core/id.h"

#include <string.h>

static bool check(const struct holdfast_restore_options *options, struct holdfast_error *err);
static json_t *body_of(const struct holdfast_restore_options *options, struct holdfast_error *err);
static bool add_choice(json_t *body, const struct holdfast_restore_options *options, struct holdfast_error *err);

bool holdfast_restore(struct holdfast *service, const struct holdfast_restore_options *options,
                      struct holdfast_recovery *out, struct holdfast_error *err)
{
    static const struct holdfast_restore_options nothing;
    struct holdfast_error unused;
    struct holdfast_recovery recovery = {0};
    err = err ? err : &unused;
    options = options ? options : &nothing;
    if (!check(options, err))
        return false;
    HF_AUTO(json) json_t *body = body_of(options, err);
    if (!body)
        return false;
    HF_AUTO(free) char *text = hf_json_text(body);
    HF_AUTO(free) char *key_line = hf_recoveries_key_line(options->key);
    const char *const headers[] = {key_line, NULL};
    HF_AUTO(free) char *plan = options->plan ? hf_call_escape(options->plan) : NULL;
    HF_AUTO(free)
    char *target = plan ? hf_call_target(service, "recoveries/%s/apply", plan) : hf_call_target(service, "recoveries");
    const struct hf_call call = {
        .request = {.doing = options->dry_run ? "planning a restore" : "restoring",
                    .method = "POST",
                    .target = target,
                    .body = text,
                    .bytes = strlen(text),
                    .content_type = "application/json",
                    .headers = headers},
        .repeatable = true,
        .keyed = !options->dry_run, /* a second plan does no harm */
        .timeout_ms = HF_CALL_AS_LONG_AS_IT_TAKES,
    };
    uint64_t began_ns = hf_clock_monotonic_ns();
    HF_AUTO(json) json_t *answer = NULL;
    if (!hf_call_send_json(service, &call, &answer, err))
        return false;
    if (!hf_recoveries_read(answer, &recovery))
        return hf_call_bad_answer(err, call.request.doing, "it is no recovery");
    recovery.duration_ms = (int64_t)((hf_clock_monotonic_ns() - began_ns) / HF_MS_NS);
    if (out)
        *out = recovery;
    return true;
}

char *hf_recoveries_key_line(const char *key)
{
    char made[32];
    if (!key)
        hf_id_random("", made, sizeof(made));
    return hf_format("Idempotency-Key: %s", key ? key : made);
}

bool hf_recoveries_read(const json_t *json, struct holdfast_recovery *out)
{
    const json_t *progress = json_object_get(json, "progress"), *loss = json_object_get(json, "dataLoss");
    struct holdfast_recovery recovery = {0};
    hf_call_get_text(json, "snapshot", recovery.snapshot, sizeof(recovery.snapshot));
    if (!hf_call_get_text(json, "id", recovery.id, sizeof(recovery.id)) ||
        !hf_call_get_text(json, "status", recovery.status, sizeof(recovery.status)) ||
        !hf_call_get_text(json, "source", recovery.source, sizeof(recovery.source)) ||
        !hf_call_get_int(json, "epoch", &recovery.epoch) || !hf_call_get_int(progress, "total", &recovery.components) ||
        !hf_call_get_int(progress, "restored", &recovery.restored) ||
        !hf_call_get_int(progress, "fresh", &recovery.fresh) ||
        !hf_call_get_int(progress, "failed", &recovery.failed) || !hf_call_get_int(loss, "ms", &recovery.lost_ms) ||
        !hf_call_get_int(loss, "versions", &recovery.lost_versions) ||
        !hf_call_get_int(loss, "bytes", &recovery.lost_bytes))
        return false;
    *out = recovery;
    return true;
}

json_t *hf_recoveries_names(const char *const *components, struct holdfast_error *err)
{
    HF_AUTO(json) json_t *names = json_array();
    for (const char *const *name = components; *name; name++) {
        if (!hf_problem_check_name("component", *name, err))
            return NULL;
        json_array_append_new(names, json_string(*name));
    }
    if (json_array_size(names) == 0) {
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "no components are named; NULL means all");
        return NULL;
    }
    return json_incref(names);
}

static bool check(const struct holdfast_restore_options *options, struct holdfast_error *err)
{
    int64_t at_ms;
    if (!hf_problem_check_header("the key", options->key, err))
        return false;
    if (options->key && !options->key[0]) /* libcurl would leave the header out */
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "the key is empty");
    if ((options->snapshot != NULL) + (options->at != NULL) + (options->plan != NULL) != 1)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "give one of snapshot, at and plan to restore");
    if (options->at && !hf_time_parse(options->at, &at_ms))
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "\"%.60s\" is no time like 2026-11-23T01:30:00Z",
                              options->at);
    if (options->max_age_ms < 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "max_age_ms is below 0");
    if (options->plan && (options->dry_run || options->components || options->max_age_ms || !options->plan[0]))
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a plan is applied as it was made: it takes no choices");
    if (!options->plan && options->force)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "only a plan can be forced");
    return true;
}

/* Owns; NULL: refused. */
static json_t *body_of(const struct holdfast_restore_options *options, struct holdfast_error *err)
{
    HF_AUTO(json) json_t *body = json_object();
    if (options->reason && json_object_set_new(body, "reason", json_string(options->reason)) != 0) {
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "the reason is not in UTF-8");
        return NULL;
    }
    if (options->plan)
        json_object_set_new(body, "force", json_boolean(options->force));
    else if (!add_choice(body, options, err))
        return NULL;
    return json_incref(body);
}

static bool add_choice(json_t *body, const struct holdfast_restore_options *options, struct holdfast_error *err)
{
    const char *source = options->snapshot ? "snapshot" : "at";
    json_object_set_new(body, "source", json_string(source));
    if (json_object_set_new(body, source, json_string(options->snapshot ? options->snapshot : options->at)) != 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "the snapshot's id is not in UTF-8");
    json_object_set_new(body, "dryRun", json_boolean(options->dry_run));
    if (options->max_age_ms)
        json_object_set_new(body, "maxAgeMs", json_integer(options->max_age_ms));
    if (!options->components)
        return true;
    json_t *names = hf_recoveries_names(options->components, err);
    if (!names)
        return false;
    json_object_set_new(body, "components", names);
    json_object_set_new(body, "includeDependencies", json_boolean(options->include_dependencies));
    return true;
}
