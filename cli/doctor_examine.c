#include "cli/doctor.h"

#include "cli/print.h"
#include "cli/snapshots.h"
#include "core/clock.h"

#include <inttypes.h>
#include <string.h>

#define DAY_MS         (INT64_C(24) * 3600 * 1000)
#define DRILL_AGE_DAYS 8
#define NEXT_BYTES     200

static void examine_storage(struct hf_doctor *doctor, const json_t *storage);
static void examine_exposure(struct hf_doctor *doctor, const json_t *figures);
static void examine_drill(struct hf_doctor *doctor, const json_t *figures);
static void examine_no_drill(struct hf_doctor *doctor, const char *next_by);
static int64_t age_ms(const char *at);
static bool is_to_come(const char *at);

void hf_doctor_examine_service(struct hf_doctor *doctor, const json_t *service)
{
    const json_t *store = json_object_get(service, "store"), *mirror = json_object_get(service, "mirror");
    bool up = strcmp(hf_field_text(store, "status"), "up") == 0;
    hf_doctor_add(doctor, HF_FOUND_GOOD, "version", NULL, "service %s, this command " HF_VERSION,
                  hf_field_text(service, "version"));
    hf_doctor_add(doctor, up ? HF_FOUND_GOOD : HF_FOUND_DANGER, "database", NULL, "%s is %s",
                  hf_field_text(store, "engine"), up ? "up" : "away: nothing can be saved");
    examine_storage(doctor, json_object_get(service, "storage"));
    if (!json_is_object(mirror))
        return;
    int64_t waiting = hf_field_int(mirror, "pendingFiles");
    up = strcmp(hf_field_text(mirror, "status"), "up") == 0;
    if (up && waiting == 0)
        hf_doctor_add(doctor, HF_FOUND_GOOD, "mirror", NULL, "it has every snapshot file");
    else
        hf_doctor_add(doctor, HF_FOUND_WARNING, "mirror", "status --all", "it is %s and lacks %" PRId64 " files: %s",
                      up ? "up" : "down", waiting, hf_field_text(mirror, "lastError"));
}

/* One line for all that is well, one for each place that is not. A place that is away is another finding. */
static void examine_storage(struct hf_doctor *doctor, const json_t *storage)
{
    size_t i;
    const json_t *entry;
    double least = 2;
    bool low = false;
    json_array_foreach(storage, i, entry)
    {
        char room[HF_SIZE_BYTES], size[HF_SIZE_BYTES];
        const char *place = hf_field_text(entry, "place");
        int64_t free_bytes = hf_field_int(entry, "freeBytes"), total_bytes = hf_field_int(entry, "totalBytes");
        if (total_bytes > 0 && (double)free_bytes / (double)total_bytes < least)
            least = (double)free_bytes / (double)total_bytes;
        if (!hf_field_true(entry, "low"))
            continue;
        low = true;
        hf_size_format(free_bytes, room);
        hf_size_format(total_bytes, size);
        hf_doctor_add(doctor, HF_FOUND_WARNING, "storage",
                      strcmp(place, "data") == 0 ? "status --all" : "snapshots --limit 0",
                      "the disk fills up: %s of %s free for %s", room, size, place);
    }
    if (!low && least <= 1)
        hf_doctor_add(doctor, HF_FOUND_GOOD, "storage", NULL, "%.0f%% is free, or more", least * 100);
}

void hf_doctor_examine_system(struct hf_doctor *doctor, const json_t *status)
{
    size_t i;
    const json_t *warning, *figures = json_object_get(status, "recoverability");
    const char *word = hf_field_text(status, "status");
    enum hf_finding finding = strcmp(word, "operational") == 0 ? HF_FOUND_GOOD
                              : strcmp(word, "failed") == 0    ? HF_FOUND_DANGER
                                                               : HF_FOUND_WARNING;
    examine_exposure(doctor, figures);
    examine_drill(doctor, figures);
    hf_doctor_add(doctor, finding, "status", "status", "%s is %s, health %.1f%%", hf_field_text(status, "system"), word,
                  hf_field_real(json_object_get(status, "systemHealth"), "overallHealth") * 100);
    json_array_foreach(json_object_get(status, "warnings"), i, warning)
        hf_doctor_add(doctor, HF_FOUND_WARNING, "warning", "status", "%s",
                      json_is_string(warning) ? json_string_value(warning) : "?");
}

static void examine_exposure(struct hf_doctor *doctor, const json_t *figures)
{
    char oldest[64], promised[64];
    int64_t exposure_ms = hf_field_int(figures, "exposureMs"),
            promised_ms = hf_field_int(figures, "promisedExposureMs");
    int64_t versions = hf_field_int(figures, "unsnapshottedVersions");
    hf_duration_format(exposure_ms, oldest, sizeof(oldest));
    hf_duration_format(promised_ms, promised, sizeof(promised));
    doctor->overdue = promised_ms > 0 && exposure_ms > promised_ms;
    if (doctor->overdue)
        hf_doctor_add(doctor, HF_FOUND_DANGER, "exposure", "backup",
                      "%" PRId64 " versions are in no snapshot, the oldest for %s; promised are %s", versions, oldest,
                      promised);
    else if (versions > 0)
        hf_doctor_add(doctor, HF_FOUND_GOOD, "exposure", NULL,
                      "%" PRId64 " version%s in no snapshot yet, for %s; promised are %s", versions,
                      versions == 1 ? " is" : "s are", oldest, promised);
    else
        hf_doctor_add(doctor, HF_FOUND_GOOD, "exposure", NULL, "every change is in a snapshot");
}

static void examine_drill(struct hf_doctor *doctor, const json_t *figures)
{
    char age[HF_AGE_BYTES];
    const json_t *drill = json_object_get(figures, "lastDrill");
    const char *status = hf_field_text(drill, "status"), *at = hf_field_text(drill, "at");
    hf_age_format(at, hf_clock_now_ms(), age);
    if (strcmp(status, "failed") == 0)
        hf_doctor_add(doctor, HF_FOUND_DANGER, "drill", "drill", "the last restore drill failed %s: %s", age,
                      hf_field_text(drill, "detail"));
    else if (!json_is_object(drill))
        examine_no_drill(doctor, hf_field_text(figures, "nextDrillBy"));
    else if (strcmp(status, "passed") != 0)
        hf_doctor_add(doctor, HF_FOUND_WARNING, "drill", "drill", "the last restore drill was %s %s: %s", status, age,
                      hf_field_text(drill, "detail"));
    else if (age_ms(at) > DRILL_AGE_DAYS * DAY_MS && !is_to_come(hf_field_text(figures, "nextDrillBy")))
        hf_doctor_add(doctor, HF_FOUND_WARNING, "drill", "drill", "the last restore drill passed long ago: %s", age);
    else
        hf_doctor_add(doctor, HF_FOUND_GOOD, "drill", NULL, "the last restore drill passed %s", age);
}

/* A young system waits for its first one. */
static void examine_no_drill(struct hf_doctor *doctor, const char *next_by)
{
    char left[64];
    if (!is_to_come(next_by)) {
        hf_doctor_add(doctor, HF_FOUND_WARNING, "drill", "drill", "a restore was never tried");
        return;
    }
    hf_duration_format(-age_ms(next_by), left, sizeof(left));
    hf_doctor_add(doctor, HF_FOUND_GOOD, "drill", NULL, "the first restore drill comes by itself within %s", left);
}

void hf_doctor_examine_snapshots(struct hf_doctor *doctor, const json_t *snapshots)
{
    size_t i, damaged = 0, pending = 0, sound = 0;
    char next[NEXT_BYTES] = "", age[HF_AGE_BYTES], sound_at[HF_AGE_BYTES] = "";
    const json_t *snapshot;
    json_array_foreach(snapshots, i, snapshot)
    {
        const char *verdict = hf_field_text(json_object_get(snapshot, "validation"), "status");
        if (hf_snapshot_is_damaged(snapshot) && damaged++ == 0)
            snprintf(next, sizeof(next), "show %s", hf_field_text(snapshot, "id"));
        pending += strcmp(verdict, "pending") == 0;
        if (strcmp(verdict, "valid") == 0 && sound++ == 0)
            hf_age_format(hf_field_text(snapshot, "cutAt"), hf_clock_now_ms(), sound_at);
    }
    if (json_array_size(snapshots) == 0 && doctor->overdue) {
        hf_doctor_add(doctor, HF_FOUND_DANGER, "snapshots", "backup", "there is none: all is in the database alone");
        return;
    }
    if (json_array_size(snapshots) == 0) {
        hf_doctor_add(doctor, HF_FOUND_GOOD, "snapshots", NULL, "there is none yet, and none is overdue");
        return;
    }
    hf_age_format(hf_field_text(json_array_get(snapshots, 0), "cutAt"), hf_clock_now_ms(), age);
    hf_doctor_add(doctor, HF_FOUND_GOOD, "snapshots", NULL, "the newest is from %s, %zu in all", age,
                  json_array_size(snapshots));
    if (damaged)
        hf_doctor_add(doctor, HF_FOUND_DANGER, "damage", next, "%zu snapshot%s damaged beyond healing", damaged,
                      damaged == 1 ? " is" : "s are");
    if (sound == 0)
        hf_doctor_add(doctor, HF_FOUND_WARNING, "validation", "validate latest", "no snapshot was read back yet");
    else
        hf_doctor_add(doctor, HF_FOUND_GOOD, "validation", NULL,
                      "%zu read back and sound, the newest from %s; %zu wait", sound, sound_at, pending);
}

void hf_doctor_examine_components(struct hf_doctor *doctor, const json_t *components)
{
    size_t i, stale = 0, failed = 0, damaged = 0;
    const json_t *component;
    const char *first = "";
    json_array_foreach(components, i, component)
    {
        const char *health = hf_field_text(component, "healthLabel");
        stale += strcmp(health, "stale") == 0;
        failed += strcmp(health, "failed") == 0;
        if (hf_field_true(component, "damaged") && damaged++ == 0)
            first = hf_field_text(component, "name");
    }
    char next[NEXT_BYTES];
    snprintf(next, sizeof(next), "history %.128s", first);
    if (damaged)
        hf_doctor_add(doctor, HF_FOUND_DANGER, "states", next, "%zu cannot be read: no good copy is left; %s first",
                      damaged, first);
    if (failed || stale)
        hf_doctor_add(doctor, HF_FOUND_WARNING, "components",
                      failed ? "components --health failed" : "components --health stale",
                      "%zu failed, %zu stale of %zu", failed, stale, json_array_size(components));
    else
        hf_doctor_add(doctor, HF_FOUND_GOOD, "components", NULL, "%zu, none of them stale or failed",
                      json_array_size(components));
}

/* Only what came last counts: what failed before was mended by it, or did not matter. */
void hf_doctor_examine_recoveries(struct hf_doctor *doctor, const json_t *recoveries)
{
    size_t i;
    const json_t *recovery;
    json_array_foreach(recoveries, i, recovery)
    {
        char age[HF_AGE_BYTES], next[NEXT_BYTES];
        const char *status = hf_field_text(recovery, "status");
        if (strcmp(status, "planned") == 0)
            continue;
        bool failed = strcmp(status, "failed") == 0, waits = strcmp(status, "pending") == 0;
        hf_age_format(hf_field_text(recovery, "startedAt"), hf_clock_now_ms(), age);
        snprintf(next, sizeof(next), "recoveries %s", hf_field_text(recovery, "id"));
        hf_doctor_add(doctor,
                      failed  ? HF_FOUND_DANGER
                      : waits ? HF_FOUND_WARNING
                              : HF_FOUND_GOOD,
                      "recovery", next, "the last one, %s, %s%s", age, waits ? "waits for its components" : "is ",
                      waits ? "" : status);
        return;
    }
    hf_doctor_add(doctor, HF_FOUND_GOOD, "recovery", NULL, "none was needed");
}

void hf_doctor_examine_events(struct hf_doctor *doctor, const json_t *errors)
{
    size_t i, recent = 0;
    const json_t *event, *last = NULL;
    json_array_foreach(errors, i, event)
    {
        if (age_ms(hf_field_text(event, "occurredAt")) >= DAY_MS)
            continue;
        recent++;
        last = event;
    }
    if (recent)
        hf_doctor_add(doctor, HF_FOUND_WARNING, "errors", "events --severity error",
                      "%zu in the last day; the last one: %s", recent, hf_field_text(last, "text"));
    else
        hf_doctor_add(doctor, HF_FOUND_GOOD, "errors", NULL, "none in the last day");
}

static int64_t age_ms(const char *at)
{
    int64_t at_ms = 0;
    return hf_time_parse(at, &at_ms) ? hf_clock_now_ms() - at_ms : 0;
}

/* False for "" too. */
static bool is_to_come(const char *at)
{
    return age_ms(at) < 0;
}
