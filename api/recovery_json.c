#include "api/recovery_json.h"

#include "api/api.h"
#include "core/clock.h"
#include "store/recovery_components.h"

#include <string.h>

/* A wave, as far as its reports say. */
struct wave {
    int64_t components, pending;
    int64_t first_ms, last_ms; /* of its reports; 0: none */
};

/* The reports of one recovery being read. */
struct reading {
    json_t *parts; /* by component: borrowed from the waves */
    struct wave *waves;
    int64_t wave_count;
};

static void set_times(json_t *object, const struct hf_recovery_row *row, const json_t *detail);
static json_t *data_loss_json(const struct hf_recovery_row *row);
static void index_parts(json_t *waves, struct reading *reading);
static bool add_report(void *context, const struct hf_recovery_component_row *row);
static json_t *progress_json(const json_t *waves);
static void add_wave_times(json_t *recovery, const struct reading *reading);
static void add_step_times(json_t *steps);
static void add_outcome(json_t *recovery);
static void add_last_step(json_t *recovery, int64_t since_ms);
static json_t *names_with(const json_t *waves, const char *status);
static void keep_allowed(const struct hf_principal *principal, json_t *list);
static int64_t time_in(const json_t *object, const char *name);
static bool is_open(const json_t *recovery);

json_t *hf_api_recovery_json(const char *system, const struct hf_recovery_row *row)
{
    struct hf_error err;
    HF_AUTO(json) json_t *detail = hf_json_parse(row->detail, strlen(row->detail), &err);
    json_t *object = json_object();
    hf_api_set_text(object, "id", row->id);
    hf_api_set_text(object, "system", system);
    hf_api_set_text(object, "source", row->source);
    hf_api_set_text(object, "snapshot", row->snapshot && *row->snapshot ? row->snapshot : NULL);
    hf_json_set_time(object, "at", row->at_ms);
    hf_api_set_text(object, "status", row->status);
    hf_api_set_text(object, "reason", row->reason);
    hf_api_set_int(object, "epoch", row->epoch);
    hf_api_set_int(object, "sequenceBefore", row->sequence_before);
    hf_api_set_int(object, "sequenceAfter", row->sequence_after);
    set_times(object, row, detail);
    hf_api_set(object, "dataLoss", data_loss_json(row));
    json_t *components = json_object_get(json_object_get(detail, "request"), "components");
    hf_api_set(object, "components", components ? json_incref(components) : json_null());
    hf_api_set(object, "includeDependencies",
               json_boolean(json_is_true(json_object_get(json_object_get(detail, "request"), "includeDependencies"))));
    json_t *cut = json_object_get(detail, "cut");
    hf_api_set(object, "cut", cut ? json_incref(cut) : json_null());
    const json_t *salvage = json_object_get(detail, "salvage");
    hf_api_set(object, "salvage", salvage ? json_deep_copy(salvage) : json_null());
    json_t *rescued = json_object_get(detail, "rescued");
    hf_api_set(object, "rescued", rescued ? json_incref(rescued) : json_null());
    static const char *const parts[] = {"waves", "removed", "warnings", "lost", "skipped", "steps"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        json_t *part = json_object_get(detail, parts[i]);
        hf_api_set(object, parts[i], part ? json_incref(part) : json_array());
    }
    return object;
}

/* A plan has begun nothing; what is restored from one began when that was applied. */
static void set_times(json_t *object, const struct hf_recovery_row *row, const json_t *detail)
{
    bool planned = strcmp(row->status, "planned") == 0;
    hf_json_set_time(object, "plannedAt", planned ? row->started_at_ms : time_in(detail, "plannedAt"));
    hf_json_set_time(object, "startedAt", planned ? 0 : row->started_at_ms);
    hf_json_set_time(object, "completedAt", row->completed_at_ms);
}

static json_t *data_loss_json(const struct hf_recovery_row *row)
{
    json_t *object = json_object();
    hf_api_set_int(object, "ms", row->data_loss_ms);
    hf_api_set_int(object, "versions", row->data_loss_versions);
    hf_api_set_int(object, "bytes", row->data_loss_bytes);
    hf_api_set_int(object, "components", row->data_loss_components);
    return object;
}

bool hf_api_recovery_json_finish(json_t *recovery, struct hf_session *session, int64_t system_id,
                                 const struct hf_principal *principal, struct hf_error *err)
{
    json_t *waves = json_object_get(recovery, "waves");
    HF_AUTO(json) json_t *parts = json_object();
    size_t count = json_array_size(waves);
    HF_AUTO(free) struct wave *sums = hf_alloc((count + 1) * sizeof(sums[0]));
    struct reading reading = {parts, sums, (int64_t)count};
    index_parts(waves, &reading);
    const char *id = json_string_value(json_object_get(recovery, "id"));
    if (session && !hf_recovery_components_list(session, system_id, id, add_report, &reading, err))
        return false;
    hf_api_set(recovery, "progress", progress_json(waves));
    add_step_times(json_object_get(recovery, "steps"));
    add_wave_times(recovery, &reading);
    add_outcome(recovery);
    if (!principal->component_prefix)
        return true;
    size_t wave;
    json_t *list;
    json_array_foreach(waves, wave, list) keep_allowed(principal, list);
    static const char *const lists[] = {"components", "removed", "warnings", "lost", "failed", "silent"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        keep_allowed(principal, json_object_get(recovery, lists[i]));
    return true;
}

/* Until somebody reports. */
static void index_parts(json_t *waves, struct reading *reading)
{
    size_t wave, i;
    json_t *list, *part;
    json_array_foreach(waves, wave, list)
    {
        reading->waves[wave].components = reading->waves[wave].pending = (int64_t)json_array_size(list);
        json_array_foreach(list, i, part)
        {
            if (!json_object_get(part, "sourceVersion")) /* earlier releases did not tell */
                hf_api_set(part, "sourceVersion", json_null());
            hf_api_set_text(part, "detail", NULL);
            hf_api_set(part, "durationMs", json_null());
            hf_api_set_text(part, "reportedAt", NULL);
            json_object_set(reading->parts, json_string_value(json_object_get(part, "component")), part);
        }
    }
}

static bool add_report(void *context, const struct hf_recovery_component_row *row)
{
    struct reading *reading = context;
    json_t *part = json_object_get(reading->parts, row->component);
    if (!part || !row->reported_at_ms || row->wave >= reading->wave_count)
        return true;
    hf_api_set_text(part, "status", row->status);
    hf_api_set_text(part, "detail", row->detail);
    hf_api_set(part, "durationMs", row->duration_ms < 0 ? json_null() : json_integer(row->duration_ms));
    hf_json_set_time(part, "reportedAt", row->reported_at_ms);
    struct wave *wave = &reading->waves[row->wave];
    wave->pending--;
    if (!wave->first_ms || row->reported_at_ms < wave->first_ms)
        wave->first_ms = row->reported_at_ms;
    if (row->reported_at_ms > wave->last_ms)
        wave->last_ms = row->reported_at_ms;
    return true;
}

static json_t *progress_json(const json_t *waves)
{
    static const char *const names[] = {"restored", "failed", "fresh", "pending"};
    int64_t counts[4] = {0}, total = 0;
    size_t wave, i;
    const json_t *list, *part;
    json_array_foreach(waves, wave, list)
    {
        json_array_foreach(list, i, part)
        {
            const char *status = json_string_value(json_object_get(part, "status"));
            total++;
            for (size_t n = 0; n < 4; n++)
                counts[n] += strcmp(status, names[n]) == 0;
        }
    }
    json_t *object = json_object();
    hf_api_set_int(object, "total", total);
    for (size_t n = 0; n < 4; n++)
        hf_api_set_int(object, names[n], counts[n]);
    return object;
}

/* Steps are stored with the moment of their end. */
static void add_step_times(json_t *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        int64_t at_ms = time_in(step, "at");
        hf_json_set_time(step, "startedAt", at_ms - json_integer_value(json_object_get(step, "durationMs")));
        hf_json_set_time(step, "completedAt", at_ms);
    }
}

/* A wave's turn comes when all before it are done; one that does not wait for its turn starts with its first report. */
static void add_wave_times(json_t *recovery, const struct reading *reading)
{
    const json_t *steps = json_object_get(recovery, "steps");
    const json_t *last = json_array_get(steps, json_array_size(steps) - 1);
    int64_t turn_ms = last ? time_in(last, "at") : time_in(recovery, "startedAt");
    bool planned = strcmp(json_string_value(json_object_get(recovery, "status")), "planned") == 0;
    json_t *times = json_array(), *current = NULL;
    for (int64_t w = 0; w < reading->wave_count; w++) {
        const struct wave *wave = &reading->waves[w];
        bool done = wave->pending == 0;
        int64_t started_ms = wave->first_ms && (!turn_ms || wave->first_ms < turn_ms) ? wave->first_ms : turn_ms;
        json_t *object = json_object();
        hf_api_set_int(object, "wave", w);
        hf_api_set_int(object, "components", wave->components);
        hf_api_set_int(object, "pending", wave->pending);
        hf_json_set_time(object, "startedAt", planned ? 0 : started_ms);
        hf_json_set_time(object, "completedAt", done ? wave->last_ms : 0);
        hf_api_set(object, "durationMs",
                   done && wave->last_ms ? json_integer(wave->last_ms - started_ms) : json_null());
        json_array_append_new(times, object);
        if (!done && !current)
            current = json_integer(w);
        if (!done)
            turn_ms = 0;
        else if (turn_ms && wave->last_ms > turn_ms)
            turn_ms = wave->last_ms;
    }
    hf_api_set(recovery, "waveTimes", times);
    if (current && !is_open(recovery)) {
        json_decref(current);
        current = NULL;
    }
    hf_api_set(recovery, "currentWave", current ? current : json_null());
}

/* Who failed, who was silent, and the last step, which is not stored: it follows from the reports. */
static void add_outcome(json_t *recovery)
{
    const json_t *waves = json_object_get(recovery, "waves");
    const char *status = json_string_value(json_object_get(recovery, "status"));
    const json_t *progress = json_object_get(recovery, "progress");
    int64_t total = json_integer_value(json_object_get(progress, "total"));
    bool completed = strcmp(status, "completed") == 0, failed = strcmp(status, "failed") == 0;
    hf_api_set(recovery, "failed", names_with(waves, "failed"));
    hf_api_set(recovery, "silent", failed ? names_with(waves, "pending") : json_array());
    if (total == 0 || (!completed && !failed))
        return;
    const json_t *steps = json_object_get(recovery, "steps");
    const json_t *last = json_array_get(steps, json_array_size(steps) - 1);
    add_last_step(recovery, last ? time_in(last, "at") : time_in(recovery, "startedAt"));
}

static void add_last_step(json_t *recovery, int64_t since_ms)
{
    const json_t *progress = json_object_get(recovery, "progress");
    long long pending = json_integer_value(json_object_get(progress, "pending"));
    int64_t until_ms = time_in(recovery, "completedAt");
    HF_AUTO(free)
    char *name = pending ? hf_format("the time for reports is out; components that were silent: %lld", pending)
                         : hf_format("all components reported: %lld restored, %lld fresh, %lld failed",
                                     (long long)json_integer_value(json_object_get(progress, "restored")),
                                     (long long)json_integer_value(json_object_get(progress, "fresh")),
                                     (long long)json_integer_value(json_object_get(progress, "failed")));
    json_t *step = json_object();
    hf_api_set_text(step, "name", name);
    hf_json_set_time(step, "at", until_ms);
    hf_api_set_int(step, "durationMs", until_ms > since_ms ? until_ms - since_ms : 0);
    hf_json_set_time(step, "startedAt", since_ms < until_ms ? since_ms : until_ms);
    hf_json_set_time(step, "completedAt", until_ms);
    json_array_append_new(json_object_get(recovery, "steps"), step);
}

static json_t *names_with(const json_t *waves, const char *status)
{
    json_t *names = json_array();
    size_t wave, i;
    const json_t *list, *part;
    json_array_foreach(waves, wave, list)
    {
        json_array_foreach(list, i, part)
        {
            if (strcmp(json_string_value(json_object_get(part, "status")), status) == 0)
                json_array_append(names, json_object_get(part, "component"));
        }
    }
    return names;
}

/* Entries are names, or objects that name their component; what is no array stays. What is kept does not name another
 * component as its reason either. */
static void keep_allowed(const struct hf_principal *principal, json_t *list)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *entry = json_array_get(list, i);
        const char *name = json_string_value(json_is_object(entry) ? json_object_get(entry, "component") : entry);
        const char *because = json_string_value(json_object_get(entry, "because"));
        if (because && !hf_auth_component_allowed(principal, because))
            json_object_del(entry, "because");
        if (name && !hf_auth_component_allowed(principal, name))
            json_array_remove(list, i);
    }
}

static int64_t time_in(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    int64_t at_ms = 0;
    return text && hf_time_parse(text, &at_ms) ? at_ms : 0;
}

static bool is_open(const json_t *recovery)
{
    const char *status = json_string_value(json_object_get(recovery, "status"));
    return strcmp(status, "pending") == 0 || strcmp(status, "applied") == 0;
}
