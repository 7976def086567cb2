/* Mending the files of a generation, and the exact account of what could not be mended. */
#include "engine/validation_private.h"

#include "core/clock.h"
#include "core/log.h"
#include "engine/heal.h"

#include <string.h>

#define EXAMINED_NS (3600 * HF_SECOND_NS) /* how long an examination spares those that were damaged with it another */

HF_AUTO_DEFINE(chain, struct hf_chain *, hf_chain_free);

static bool repair_file(struct hf_validating *validating, const struct hf_snapshot_row *row, bool *sound_out,
                        struct hf_error *err);
static void note_examined(struct hf_validating *validating, int64_t sequence);
static void add_place(struct hf_validating *validating, const char *file, int64_t offset);
static bool read_all(struct hf_validating *validating, struct hf_chain *chain, struct hf_error *err);
static bool read_one(struct hf_validating *validating, struct hf_chain *chain, const struct hf_manifest_entry *entry,
                     bool *lost_out, struct hf_error *err);
static struct hf_fate *find_fate(struct hf_fates *fates, const struct hf_hash *hash);
static void add_lost(struct hf_validating *validating, const struct hf_manifest_entry *entry);
static bool is_lost_place(const struct hf_validating *validating, const char *file, int64_t offset);

bool hf_validation_heal(struct hf_validating *validating, bool whole, struct hf_error *err)
{
    int64_t sound_until = -1;
    bool gap = false;
    /* Oldest first: later files refer to what earlier ones hold. */
    for (int i = validating->row_count - 1; i >= 0; i--) {
        const struct hf_snapshot_row *row = &validating->rows[i];
        bool needed = row->sequence <= validating->row.sequence;
        if (strcmp(row->generation, validating->row.generation) != 0 || strcmp(row->state, "failed") == 0 ||
            (!needed && !whole))
            continue;
        bool sound = false;
        if (!repair_file(validating, row, &sound, err)) {
            if (needed || err->code == HF_SHUTTING_DOWN)
                return hf_error_wrap(err, "mending the file of snapshot %s", row->id);
            validating->unsure = true;
        }
        gap |= !sound;
        sound_until = gap ? sound_until : row->sequence;
    }
    note_examined(validating, sound_until);
    return true;
}

bool hf_validation_was_examined(const struct hf_validating *validating)
{
    const struct hf_shelf *shelf = validating->shelf;
    return strcmp(shelf->examined_generation, validating->row.generation) == 0 &&
           validating->row.sequence <= shelf->examined_sequence &&
           hf_clock_monotonic_ns() - shelf->examined_ns < EXAMINED_NS;
}

static void note_examined(struct hf_validating *validating, int64_t sequence)
{
    struct hf_shelf *shelf = validating->shelf;
    memcpy(shelf->examined_generation, validating->row.generation, strlen(validating->row.generation) + 1);
    shelf->examined_sequence = sequence;
    shelf->examined_ns = hf_clock_monotonic_ns();
}

static bool repair_file(struct hf_validating *validating, const struct hf_snapshot_row *row, bool *sound_out,
                        struct hf_error *err)
{
    struct hf_engine *engine = validating->engine;
    struct hf_heal_primary primary = {.engine = engine, .system = validating->shelf->name};
    const struct hf_content_source source = hf_heal_source(&primary);
    struct hf_repair_report report = {0};
    if (!hf_repository_repair(engine->repository, engine->mirror_repository, validating->shelf->name, row->kind,
                              row->id, &source, validating->arena, &report, err))
        return false;
    if (!hf_pacer_wait(validating->pacer, validating->shelf, report.bytes_read))
        return hf_error_set(err, HF_SHUTTING_DOWN, "the service is stopping");
    validating->contents_healed += report.contents_healed;
    validating->files_replaced += report.file_replaced;
    validating->changed |= report.outcome == HF_REPAIR_HEALED || report.file_replaced || report.bytes_written > 0;
    if (report.outcome != HF_REPAIR_SOUND && report.origin[0] && !validating->origin[0]) {
        snprintf(validating->what, sizeof(validating->what), "%s", report.what);
        snprintf(validating->origin, sizeof(validating->origin), "%s", report.origin);
    }
    if (report.file_lost)
        add_place(validating, row->id, -1);
    for (int64_t i = 0; i < report.lost_count; i++)
        add_place(validating, row->id, report.lost[i].offset);
    *sound_out = report.outcome != HF_REPAIR_DAMAGED;
    validating->unsure |= !*sound_out && !report.file_lost && report.lost_count == 0;
    return true;
}

static void add_place(struct hf_validating *validating, const char *file, int64_t offset)
{
    if (validating->place_count == validating->place_capacity) {
        validating->place_capacity = validating->place_capacity ? 2 * validating->place_capacity : 16;
        validating->places =
            hf_realloc(validating->places, (size_t)validating->place_capacity * sizeof(validating->places[0]));
    }
    validating->places[validating->place_count++] = (struct hf_lost_place){file, offset};
}

bool hf_validation_find_lost(struct hf_validating *validating, struct hf_error *err)
{
    HF_AUTO(chain) struct hf_chain *chain = NULL;
    bool whole = false;
    char why[480] = "";
    struct hf_error found;
    if (!hf_chain_salvage(&chain, validating->engine->repository, validating->shelf->name, validating->row.id, &whole,
                          why, &found)) {
        validating->lost_all = found.code == HF_DAMAGED || found.code == HF_NOT_FOUND;
        if (!validating->lost_all)
            *err = found;
        return validating->lost_all;
    }
    validating->lost_parent = validating->lost_all = !whole; /* what is not in the list cannot be named */
    if (!whole && validating->checks[HF_CHECK_CHAIN].score > 0)
        hf_check_set(validating, HF_CHECK_CHAIN, "failed", 0, "%s", why);
    return read_all(validating, chain, err);
}

static bool read_all(struct hf_validating *validating, struct hf_chain *chain, struct hf_error *err)
{
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        if (!hf_manifest_entry_is_present(entry))
            continue;
        struct hf_fate *fate = find_fate(validating->fates, &entry->hash);
        if (!fate->known) {
            if (!read_one(validating, chain, entry, &fate->lost, err))
                return false;
            fate->known = true;
        }
        if (fate->lost)
            add_lost(validating, entry);
    }
    return true;
}

static bool read_one(struct hf_validating *validating, struct hf_chain *chain, const struct hf_manifest_entry *entry,
                     bool *lost_out, struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    char origin[HF_ORIGIN_BYTES];
    struct hf_error found;
    *lost_out = false;
    if (!hf_chain_read(chain, entry, &blob, &found)) {
        if (found.code != HF_DAMAGED && found.code != HF_NOT_FOUND) {
            *err = found;
            return false;
        }
        /* What a read and a salvage find elsewhere is not lost. */
        *lost_out = !hf_heal_find(validating->engine, validating->shelf->name, &entry->hash, entry->bytes,
                                  HF_HEAL_THOROUGH, &blob, origin);
    }
    return hf_pacer_wait(validating->pacer, validating->shelf, entry->blob_stored_bytes) ||
           hf_error_set(err, HF_SHUTTING_DOWN, "the service is stopping");
}

/* Never NULL; valid until the next call. A hash is as good as random. */
static struct hf_fate *find_fate(struct hf_fates *fates, const struct hf_hash *hash)
{
    if (2 * (fates->count + 1) > fates->capacity) {
        struct hf_fates larger = {.capacity = fates->capacity ? 2 * fates->capacity : 1024};
        larger.slots = hf_alloc(larger.capacity * sizeof(larger.slots[0]));
        for (size_t i = 0; i < fates->capacity; i++) {
            if (fates->slots[i].used)
                *find_fate(&larger, &fates->slots[i].hash) = fates->slots[i];
        }
        free(fates->slots);
        *fates = larger;
    }
    uint64_t at;
    memcpy(&at, hash->bytes, sizeof(at));
    while (true) {
        struct hf_fate *fate = &fates->slots[at++ % fates->capacity];
        if (!fate->used) {
            *fate = (struct hf_fate){.used = true, .hash = *hash};
            fates->count++;
        }
        if (hf_hash_equal(&fate->hash, hash))
            return fate;
    }
}

static void add_lost(struct hf_validating *validating, const struct hf_manifest_entry *entry)
{
    if (validating->lost_count == validating->lost_capacity) {
        validating->lost_capacity = validating->lost_capacity ? 2 * validating->lost_capacity : 16;
        validating->lost =
            hf_realloc(validating->lost, (size_t)validating->lost_capacity * sizeof(validating->lost[0]));
    }
    validating->lost[validating->lost_count++] =
        (struct hf_lost_component){.component = hf_arena_strdup(validating->arena, entry->component),
                                   .version = entry->version,
                                   .bytes = entry->bytes,
                                   .hash = entry->hash};
}

bool hf_validation_is_hit(struct hf_validating *validating, const struct hf_snapshot_row *row, const char **why_out,
                          struct hf_error *err)
{
    *why_out = NULL;
    for (int64_t i = 0; i < validating->place_count && !*why_out; i++) {
        if (strcmp(validating->places[i].file, row->id) == 0)
            *why_out =
                validating->places[i].offset == -1 ? "its file is lost" : "its file holds a content that is lost";
    }
    if (*why_out)
        return true;
    HF_AUTO(chain) struct hf_chain *chain = NULL;
    struct hf_error found;
    if (!hf_chain_load(&chain, validating->engine->repository, validating->shelf->name, row->id, &found)) {
        if (found.code != HF_DAMAGED && found.code != HF_NOT_FOUND) {
            *err = found;
            return false;
        }
        *why_out = hf_arena_strdup(validating->arena, found.text);
        return true;
    }
    int verdict;
    if (hf_validation_is_damaged(row) &&
        !hf_repository_check_signature(validating->engine->repository, chain, &verdict, &found))
        *why_out = hf_arena_strdup(validating->arena, found.text);
    for (int64_t i = 0; i < hf_chain_count(chain) && !*why_out; i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        const char *file = entry->blob_file[0] ? entry->blob_file : row->id;
        if (hf_manifest_entry_is_present(entry) && is_lost_place(validating, file, entry->blob_offset))
            *why_out = hf_arena_format(validating->arena, "the state of %s lies in the file of snapshot %s and is lost",
                                       entry->component, file);
    }
    return true;
}

static bool is_lost_place(const struct hf_validating *validating, const char *file, int64_t offset)
{
    for (int64_t i = 0; i < validating->place_count; i++) {
        const struct hf_lost_place *place = &validating->places[i];
        if ((place->offset == -1 || place->offset == offset) && strcmp(place->file, file) == 0)
            return true;
    }
    return false;
}
