/* Components: registering, heartbeats, removing. */
#include "client/call.h"
#include "client/order.h"
#include "client/problem.h"

#include <math.h>
#include <string.h>

static json_t *texts_of(const char *const *texts);
static bool send_json(struct holdfast *service, const char *method, const char *doing, const char *target,
                      const json_t *body, struct holdfast_error *err);

bool holdfast_register(struct holdfast *service, const struct holdfast_component *component, struct holdfast_error *err)
{
    struct holdfast_error unused;
    err = err ? err : &unused;
    if (!hf_problem_check_name("component", component ? component->name : NULL, err))
        return false;
    for (const char *const *name = component->depends_on; name && *name; name++)
        if (!hf_problem_check_name("component", *name, err))
            return false;
    if (component->heartbeat_interval_ms < 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a heartbeat's interval is below 0 ms");
    HF_AUTO(json) json_t *body = json_object();
    if (component->kind && json_object_set_new(body, "kind", json_string(component->kind)) != 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "the kind is not in UTF-8");
    if (component->depends_on)
        json_object_set_new(body, "dependsOn", texts_of(component->depends_on));
    if (component->heartbeat_interval_ms)
        json_object_set_new(body, "heartbeatIntervalMs", json_integer(component->heartbeat_interval_ms));
    if (component->required_pointers)
        if (json_object_set_new(body, "requiredPointers", texts_of(component->required_pointers)) != 0)
            return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a required pointer is not in UTF-8");
    HF_AUTO(free) char *doing = hf_format("registering %s", component->name);
    HF_AUTO(free) char *target = hf_call_target(service, "components/%s", component->name);
    return send_json(service, "PUT", doing, target, body, err);
}

bool holdfast_heartbeat(struct holdfast *service, const char *component, double health, const char *status,
                        const struct holdfast_metric *metrics, size_t count, struct holdfast_error *err)
{
    struct holdfast_error unused;
    err = err ? err : &unused;
    if (!hf_problem_check_name("component", component, err))
        return false;
    if (!isfinite(health) || health > 1)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a health is from 0 to 1, or below 0 where not told");
    HF_AUTO(json) json_t *body = json_object();
    if (health >= 0)
        json_object_set_new(body, "health", json_real(health));
    if (status && json_object_set_new(body, "status", json_string(status)) != 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "the status is not in UTF-8");
    json_t *values = json_object();
    if (count > 0) /* none: those of before stay */
        json_object_set(body, "metrics", values);
    json_decref(values);
    for (size_t i = 0; i < count; i++)
        if (!metrics[i].name || json_object_set_new(values, metrics[i].name, json_real(metrics[i].value)) != 0)
            return hf_problem_set(err, HF_PROBLEM_INVALID, false, "metric %zu has no name in UTF-8, or no finite value",
                                  i);
    HF_AUTO(free) char *doing = hf_format("heartbeat of %s", component);
    HF_AUTO(free) char *target = hf_call_target(service, "components/%s/heartbeat", component);
    return send_json(service, "POST", doing, target, body, err);
}

bool holdfast_remove(struct holdfast *service, const char *component, struct holdfast_error *err)
{
    struct holdfast_error unused;
    char epoch_line[48], order_line[HF_ORDER_LINE_BYTES];
    err = err ? err : &unused;
    if (!hf_problem_check_name("component", component, err))
        return false;
    int64_t epoch = holdfast_epoch(service);
    snprintf(epoch_line, sizeof(epoch_line), "State-Epoch: %lld", (long long)epoch);
    hf_order_line(hf_states_next_place(service), order_line);
    const char *const headers[] = {order_line, epoch > 0 ? epoch_line : NULL, NULL};
    HF_AUTO(free) char *doing = hf_format("removing %s", component);
    HF_AUTO(free) char *target = hf_call_target(service, "components/%s", component);
    const struct hf_call call = {
        .request = {.doing = doing, .method = "DELETE", .target = target, .headers = headers},
        .repeatable = true,
    };
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    hf_wire_answer_init(&answer);
    /* Gone by an attempt whose answer was lost is gone. */
    return hf_call_send(service, &call, &answer, err) || (hf_problem_is(err, "not_found") && answer.maybe_twice);
}

/* NULL: one is not in UTF-8. */
static json_t *texts_of(const char *const *texts)
{
    HF_AUTO(json) json_t *array = json_array();
    for (const char *const *text = texts; *text; text++)
        if (json_array_append_new(array, json_string(*text)) != 0)
            return NULL;
    return json_incref(array);
}

static bool send_json(struct holdfast *service, const char *method, const char *doing, const char *target,
                      const json_t *body, struct holdfast_error *err)
{
    HF_AUTO(free) char *text = hf_json_text(body);
    const struct hf_call call = {
        .request = {.doing = doing,
                    .method = method,
                    .target = target,
                    .body = text,
                    .bytes = strlen(text),
                    .content_type = "application/json"},
        .repeatable = true,
    };
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    hf_wire_answer_init(&answer);
    return hf_call_send(service, &call, &answer, err);
}
