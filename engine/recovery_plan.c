/* The plan: what the source means for every component of the present, in waves, with what would be lost. */
#include "engine/recovery_private.h"

#include "core/clock.h"
#include "core/json.h"
#include "engine/load.h"
#include "engine/waves.h"

#include <string.h>

static bool plan_component(struct hf_recovering *recovering, const struct hf_component_info *current,
                           const struct hf_past_entry *source, struct hf_error *err);
static bool read_registration(struct hf_plan *plan, struct hf_plan_item *item, struct hf_error *err);
static bool must_stay(struct hf_recovering *recovering, const struct hf_past_entry *source, bool now);
static bool choose_action(struct hf_recovering *recovering, struct hf_plan_item *item, struct hf_error *err);
static void count_loss(struct hf_recovering *recovering, struct hf_plan_item *item);
static void assign_waves(struct hf_plan *plan);
static void write_lost(const struct hf_recovering *recovering, struct hf_buf *out);
static void write_planned_at(const struct hf_recovering *recovering, struct hf_buf *out);
static void write_cut(const struct hf_recovering *recovering, int64_t now_ms, struct hf_buf *out);
static void write_item(const struct hf_recovering *recovering, struct hf_buf *out, const struct hf_plan_item *item,
                       int64_t now_ms);
static bool check_room(const struct hf_recovering *recovering, struct hf_error *err);

bool hf_plan_make(struct hf_recovering *recovering, struct hf_error *err)
{
    hf_plan_done(recovering);
    struct hf_plan *plan = &recovering->plan;
    memset(plan, 0, sizeof(*plan));
    hf_arena_init(&plan->arena);
    recovering->has_plan = true;

    struct hf_catalog *catalog = recovering->engine->catalog;
    const char *name = recovering->system.name;
    int count = 0;
    bool found;
    if (!hf_catalog_read_system(catalog, name, &plan->system) || plan->system.id != recovering->system.id)
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", name);
    const struct hf_component_info *components =
        hf_catalog_list_components(catalog, name, "", INT32_MAX, &plan->arena, &count, &found);
    plan->present = components;
    plan->present_count = count;
    if (!hf_recovery_check_selection(recovering, err) || !check_room(recovering, err))
        return false;

    bool head = strcmp(recovering->request->source, "head") == 0;
    int64_t s = 0;
    for (int c = 0; c < count || s < recovering->source_count;) {
        const struct hf_component_info *current = c < count ? &components[c] : NULL;
        const struct hf_past_entry *source = s < recovering->source_count ? &recovering->sources[s] : NULL;
        int order = !current ? 1 : !source ? -1 : strcmp(current->name, source->component);
        c += order <= 0;
        s += order >= 0;
        if (!plan_component(recovering, order <= 0 ? current : NULL, head || order < 0 ? NULL : source, err))
            return false;
    }
    assign_waves(plan);
    if (plan->unproven)
        hf_recovery_step(recovering,
                         "components that stay because the snapshot's list is not whole and nothing tells whether they "
                         "came later: %lld (%s)",
                         (long long)plan->unproven, recovering->salvage.list.why);
    return true;
}

void hf_plan_done(struct hf_recovering *recovering)
{
    if (!recovering->has_plan)
        return;
    free(recovering->plan.items);
    hf_arena_done(&recovering->plan.arena);
    recovering->has_plan = false;
}

/* What a restore counts on must be countable: the numbers of a snapshot may come from elsewhere. */
static bool check_room(const struct hf_recovering *recovering, struct hf_error *err)
{
    const struct hf_plan *plan = &recovering->plan;
    const struct hf_system_info *system = &plan->system;
    int64_t changes_max = (int64_t)plan->present_count + recovering->source_count;
    return (system->epoch < HF_MANIFEST_NUMBER_MAX && system->sequence <= HF_MANIFEST_NUMBER_MAX - changes_max) ||
           hf_error_set(err, HF_CONFLICT, "system %s is at sequence %lld and epoch %lld: there is no room to count on",
                        system->name, (long long)system->sequence, (long long)system->epoch);
}

static bool plan_component(struct hf_recovering *recovering, const struct hf_component_info *current,
                           const struct hf_past_entry *source, struct hf_error *err)
{
    struct hf_plan *plan = &recovering->plan;
    bool head = strcmp(recovering->request->source, "head") == 0;
    bool now = current && hf_head_is_present(&current->head);
    bool stays = must_stay(recovering, source, now);
    bool then = head || stays ? now : hf_past_entry_is_present(source);
    if ((!now && !then) || !hf_recovery_is_selected(recovering, current ? current->name : source->component))
        return true;
    if (plan->count == plan->capacity) {
        plan->capacity = plan->capacity ? plan->capacity * 2 : 64;
        plan->items = hf_realloc(plan->items, (size_t)plan->capacity * sizeof(plan->items[0]));
    }
    struct hf_plan_item *item = &plan->items[plan->count++];
    *item = (struct hf_plan_item){.component = current ? current->name : source->component,
                                  .current = current,
                                  .source = stays ? NULL : source,
                                  .stays = stays,
                                  .component_id = current ? current->component_id : 0,
                                  .wave = then ? 0 : -1};
    plan->unproven += stays && !(source && source->lost);
    if (!choose_action(recovering, item, err))
        return false;
    count_loss(recovering, item);
    return read_registration(plan, item, err);
}

/* What is lost stays as it is. What a damaged list does not show may have been there, and is not deleted for it. */
static bool must_stay(struct hf_recovering *recovering, const struct hf_past_entry *source, bool now)
{
    const struct hf_salvage *salvage = &recovering->salvage;
    if (!salvage->under_way)
        return false;
    return (source && source->lost) || (!salvage->list.whole && now && !hf_past_entry_is_present(source));
}

/* What was ever acknowledged, so that no version has two contents: the catalogue may have lost a component, or the
 * database commits that the snapshot holds. */
static int64_t newest_version(const struct hf_recovering *recovering, const struct hf_plan_item *item)
{
    int64_t now = item->current ? item->current->head.version : 0;
    bool counts = item->source && (!item->current || !recovering->foreign);
    return counts && item->source->version > now ? item->source->version : now;
}

static bool choose_action(struct hf_recovering *recovering, struct hf_plan_item *item, struct hf_error *err)
{
    struct hf_plan *plan = &recovering->plan;
    const struct hf_head *head = item->current ? &item->current->head : NULL;
    item->new_version = head ? head->version : 0;
    bool same = head && hf_head_is_present(head) && !item->current->damaged && hf_past_entry_is_present(item->source) &&
                hf_hash_equal(&head->hash, &item->source->hash) &&
                strcmp(head->content_type, item->source->content_type) == 0;
    if (item->stays) {
        item->action = HF_PLAN_KEEP;
        return true;
    }
    if (same || strcmp(recovering->request->source, "head") == 0) {
        item->action = HF_PLAN_KEEP;
        plan->restored++;
        return true;
    }
    item->action = item->wave < 0 ? HF_PLAN_BURY : HF_PLAN_WRITE;
    int64_t newest = newest_version(recovering, item);
    if (newest >= HF_MANIFEST_NUMBER_MAX)
        return hf_error_set(err, HF_CONFLICT, "component %s is at version %lld: there is no room for a newer one",
                            item->component, (long long)newest);
    item->new_version = newest + 1;
    item->new_sequence = plan->system.sequence + ++plan->changes;
    plan->buried += item->action == HF_PLAN_BURY;
    plan->restored += item->action == HF_PLAN_WRITE;
    return true;
}

static int64_t not_negative(int64_t value)
{
    return value > 0 ? value : 0;
}

/* What the present has and the source does not: all that was committed after the cut to what changes now. The time ends
 * with the last commit that is lost, not with this moment: when nobody wrote, no work was done. The bytes are those of
 * the states that go: what was overwritten or deleted before is no longer the present's. */
static void count_loss(struct hf_recovering *recovering, struct hf_plan_item *item)
{
    struct hf_plan *plan = &recovering->plan;
    if (item->action == HF_PLAN_KEEP || !item->current)
        return;
    const struct hf_head *head = &item->current->head;
    int64_t then_version = item->source && !recovering->foreign ? item->source->version : 0;
    item->loss_versions = not_negative(head->version - then_version);
    if (!item->loss_versions)
        return;
    item->loss_ms = not_negative(head->committed_at_ms - recovering->cut.at_ms);
    item->loss_bytes = hf_head_is_present(head) ? head->bytes : 0;
    plan->loss_components++;
    plan->loss_versions += item->loss_versions;
    plan->loss_bytes += item->loss_bytes;
    if (item->loss_ms > plan->loss_ms)
        plan->loss_ms = item->loss_ms;
}

static bool read_registration(struct hf_plan *plan, struct hf_plan_item *item, struct hf_error *err)
{
    if (item->current) {
        item->registration = item->current->registration;
        return true;
    }
    bool known;
    return hf_past_registration(item->source, &plan->arena, &item->registration, &known, err);
}

static struct hf_wave_node node_of(const char *name, const struct hf_registration *registration, bool passes)
{
    return (struct hf_wave_node){
        .name = name,
        .depends_on = registration->depends_on,
        .depends_on_count = registration->depends_on_count,
        .passes = passes,
    };
}

/* What is not in the plan, or goes, or never had a state, is in no wave; but what depends on it still comes after what
 * it depends on. */
static void assign_waves(struct hf_plan *plan)
{
    size_t count_max = (size_t)plan->count + (size_t)plan->present_count;
    HF_AUTO(free) struct hf_wave_node *nodes = hf_alloc((count_max + 1) * sizeof(nodes[0]));
    int count = 0, next = 0;
    for (int i = 0; i < plan->count; i++) {
        if (plan->items[i].wave >= 0)
            nodes[count++] = node_of(plan->items[i].component, &plan->items[i].registration, false);
    }
    for (int i = 0; i < plan->present_count; i++) {
        const struct hf_component_info *present = &plan->present[i];
        while (next < plan->count && strcmp(plan->items[next].component, present->name) < 0)
            next++;
        bool planned = next < plan->count && plan->items[next].current == present && plan->items[next].wave >= 0;
        if (!planned && present->registration.depends_on_count)
            nodes[count++] = node_of(present->name, &present->registration, true);
    }
    hf_waves_assign(nodes, count, &plan->waves);
    count = 0;
    for (int i = 0; i < plan->count; i++) {
        if (plan->items[i].wave >= 0)
            plan->items[i].wave = nodes[count++].wave;
    }
}

bool hf_plan_write_detail(struct hf_recovering *recovering, struct hf_buf *out, struct hf_error *err)
{
    const struct hf_plan *plan = &recovering->plan;
    int64_t now_ms = hf_clock_now_ms();
    /* Counting sort by wave keeps the names in order within each. */
    HF_AUTO(free) int *first = hf_alloc(((size_t)plan->waves + 2) * sizeof(first[0]));
    HF_AUTO(free) int *order = hf_alloc(((size_t)plan->count + 1) * sizeof(order[0]));
    for (int i = 0; i < plan->count; i++) {
        if (plan->items[i].wave >= 0)
            first[plan->items[i].wave + 1]++;
    }
    for (int w = 0; w < plan->waves; w++)
        first[w + 1] += first[w];
    for (int i = 0; i < plan->count; i++) {
        if (plan->items[i].wave >= 0)
            order[first[plan->items[i].wave]++] = i;
    }

    hf_buf_add_char(out, '{');
    hf_recovery_write_request(recovering, out);
    write_planned_at(recovering, out);
    write_cut(recovering, now_ms, out);
    hf_buf_add_text(out, ",\"waves\":[");
    for (int w = 0, next = 0; w < plan->waves; w++) {
        hf_buf_add_text(out, w ? ",[" : "[");
        for (int start = next; next < first[w]; next++) {
            if (next > start)
                hf_buf_add_char(out, ',');
            write_item(recovering, out, &plan->items[order[next]], now_ms);
        }
        hf_buf_add_char(out, ']');
    }
    hf_buf_add_text(out, "],\"removed\":[");
    int removed = 0;
    for (int i = 0; i < plan->count; i++) {
        if (plan->items[i].wave >= 0)
            continue;
        hf_buf_add_text(out, removed++ ? "," : "");
        hf_buf_add_json_string(out, plan->items[i].component, strlen(plan->items[i].component));
    }
    hf_buf_add_text(out, "],\"warnings\":[");
    hf_recovery_write_warnings(recovering, out);
    write_lost(recovering, out);
    hf_buf_add_text(out, ",\"skipped\":[");
    hf_recovery_write_skipped(recovering, out);
    hf_buf_add_text(out, "],\"steps\":[");
    hf_buf_add(out, recovering->steps.data ? recovering->steps.data : "", recovering->steps.bytes);
    hf_buf_add_text(out, "]}");
    return !out->failed || hf_error_set(err, HF_OVERLOADED, "the plan is larger than %zu bytes", out->bytes_max);
}

/* From the end of "warnings" to the end of "salvage". */
static void write_lost(const struct hf_recovering *recovering, struct hf_buf *out)
{
    const struct hf_salvage *salvage = &recovering->salvage;
    hf_buf_add_text(out, "],\"lost\":[");
    int lost = 0;
    for (int64_t i = 0; i < recovering->source_count; i++) {
        const struct hf_past_entry *entry = &recovering->sources[i];
        char hash[HF_HASH_LABEL];
        if (!entry->lost)
            continue;
        hf_hash_label(&entry->hash, hash);
        hf_buf_add_text(out, lost++ ? ",{\"component\":" : "{\"component\":");
        hf_buf_add_json_string(out, entry->component, strlen(entry->component));
        hf_buf_add_format(out, ",\"version\":%lld,\"hash\":\"%s\",\"bytes\":%lld}", (long long)entry->version, hash,
                          (long long)entry->bytes);
    }
    if (!salvage->under_way) {
        hf_buf_add_text(out, "],\"salvage\":null");
        return;
    }
    hf_buf_add_format(out, "],\"salvage\":{\"whole\":%s,\"detail\":", salvage->list.whole ? "true" : "false");
    const char *why = salvage->list.whole ? "" : salvage->list.why;
    hf_buf_add_json_string(out, why, strlen(why));
    hf_buf_add_char(out, '}');
}

static void write_planned_at(const struct hf_recovering *recovering, struct hf_buf *out)
{
    char at[HF_TIME_BYTES];
    if (!recovering->planned_at_ms)
        return;
    hf_time_format(recovering->planned_at_ms, at);
    hf_buf_add_format(out, ",\"plannedAt\":\"%s\"", at);
}

/* Which cut is really used. The present is one, too. */
static void write_cut(const struct hf_recovering *recovering, int64_t now_ms, struct hf_buf *out)
{
    const struct hf_past_cut *cut = &recovering->cut;
    bool head = strcmp(recovering->request->source, "head") == 0;
    char at[HF_TIME_BYTES];
    if (!head && !recovering->past) {
        hf_buf_add_text(out, ",\"cut\":null");
        return;
    }
    hf_time_format(head ? now_ms : cut->at_ms, at);
    hf_buf_add_format(out, ",\"cut\":{\"sequence\":%lld,\"at\":\"%s\",\"snapshot\":",
                      (long long)(head ? recovering->plan.system.sequence : cut->sequence), at);
    if (cut->snapshot[0])
        hf_buf_add_json_string(out, cut->snapshot, strlen(cut->snapshot));
    else
        hf_buf_add_text(out, "null");
    hf_buf_add_text(out, head || cut->exact ? ",\"exact\":true}" : ",\"exact\":false}");
}

static void write_item(const struct hf_recovering *recovering, struct hf_buf *out, const struct hf_plan_item *item,
                       int64_t now_ms)
{
    const struct hf_head *head = item->current ? &item->current->head : NULL;
    const struct hf_past_entry *source = item->source;
    char hash[HF_HASH_LABEL], version[24] = "null";
    hf_hash_label(source ? &source->hash : &head->hash, hash);
    /* The source head is the present itself; what merely stays comes from no source. */
    int64_t source_version = source ? source->version : item->stays ? 0 : head->version;
    if (source_version)
        snprintf(version, sizeof(version), "%lld", (long long)source_version);
    hf_buf_add_text(out, "{\"component\":");
    hf_buf_add_json_string(out, item->component, strlen(item->component));
    hf_buf_add_format(
        out,
        ",\"version\":%lld,\"sourceVersion\":%s,\"restoredVersion\":%lld,\"hash\":\"%s\",\"bytes\":%lld,\"ageMs\":%lld,"
        "\"dataLossMs\":%lld,\"versionsLost\":%lld,\"bytesLost\":%lld,\"status\":\"pending\"",
        (long long)(head ? head->version : 0), version, (long long)item->new_version, hash,
        (long long)(source ? source->bytes : head->bytes),
        (long long)not_negative(now_ms - (source ? source->committed_at_ms : head->committed_at_ms)),
        (long long)item->loss_ms, (long long)item->loss_versions, (long long)item->loss_bytes);
    const char *because = hf_recovery_because(recovering, item->component);
    if (because) {
        hf_buf_add_text(out, ",\"because\":");
        hf_buf_add_json_string(out, because, strlen(because));
    }
    hf_buf_add_char(out, '}');
}
