/* The scratch database of a drill: always SQLite, in a directory of its own below the data directory, whatever the
 * primary is (docs/decisions says why). */
#include "engine/drill_private.h"

#include "core/clock.h"
#include "core/digest.h"
#include "core/fault.h"
#include "core/log.h"
#include "engine/events.h"
#include "engine/load.h"
#include "engine/rebuild_write.h"
#include "engine/row_of.h"
#include "store/states.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DIRECTORY_PREFIX "drill-"
#define RANDOM_LETTERS   6 /* of mkdtemp */
#define DATABASE_PREFIX  "holdfast.db"
#define ROOM_FACTOR      2 /* the log of the one transaction, and the database that it goes to */
#define TIMEOUT_MS_MIN   60000
#define PORTION          1000
#define SCRATCH_ID       1

/* What is open of it. */
struct scratch {
    struct hf_drill *drill;
    char *directory; /* owns */
    struct hf_store *store;
    struct hf_session *session;
    struct hf_chain *chain;
    struct hf_catalog *catalog;
};

static bool make_directory(struct scratch *scratch, struct hf_error *err);
static bool restore(struct scratch *scratch, struct hf_error *err);
static bool write_all(struct scratch *scratch, struct hf_error *err);
static bool load(struct scratch *scratch, struct hf_error *err);
static bool compare(struct scratch *scratch, struct hf_error *err);
static bool compare_components(struct scratch *scratch, struct hf_hasher *root, struct hf_error *err);
static bool compare_component(struct scratch *scratch, const struct hf_component_info *component,
                              const struct hf_manifest_entry *entry, struct hf_hasher *root, struct hf_error *err);
static bool remove_directory(const char *path);
static bool is_scratch_name(const char *name);

bool hf_drill_has_room(const struct hf_drill *drill)
{
    struct statvfs room;
    if (hf_fault("drill_no_space"))
        return false;
    if (statvfs(drill->engine->config->data_directory, &room) != 0)
        return true;
    return (double)room.f_bavail * (double)room.f_frsize >= (double)ROOM_FACTOR * (double)drill->snapshot.state_bytes;
}

bool hf_drill_restore(struct hf_drill *drill, struct hf_error *err)
{
    struct scratch scratch = {.drill = drill};
    drill->row.duration_ms = drill->row.components = drill->row.bytes = 0;
    bool ok = make_directory(&scratch, err) && restore(&scratch, err) && compare(&scratch, err);
    hf_catalog_free(scratch.catalog);
    hf_session_close(scratch.session);
    hf_store_close(scratch.store);
    hf_chain_free(scratch.chain);
    if (scratch.directory && !remove_directory(scratch.directory))
        hf_log(HF_LOG_WARNING, "drill_not_removed",
               "the scratch database of a drill could not be removed; the next start tries again",
               HF_LOG_TEXT("directory", scratch.directory));
    free(scratch.directory);
    return ok;
}

void hf_drill_sweep(struct hf_engine *engine)
{
    DIR *directory = opendir(engine->config->data_directory);
    for (struct dirent *item = directory ? readdir(directory) : NULL; item; item = readdir(directory)) {
        if (!is_scratch_name(item->d_name))
            continue;
        HF_AUTO(free) char *path = hf_format("%s/%s", engine->config->data_directory, item->d_name);
        struct stat found;
        if (lstat(path, &found) != 0 || !S_ISDIR(found.st_mode))
            continue;
        bool removed = remove_directory(path);
        hf_log(removed ? HF_LOG_INFO : HF_LOG_WARNING, removed ? "drill_removed" : "drill_not_removed",
               removed ? "the service ended during a restore drill: its scratch database was removed"
                       : "the scratch database of a restore drill that was broken off cannot be removed",
               HF_LOG_TEXT("directory", path));
    }
    if (directory)
        closedir(directory);
}

static bool make_directory(struct scratch *scratch, struct hf_error *err)
{
    char *path = hf_format("%s/" DIRECTORY_PREFIX "XXXXXX", scratch->drill->engine->config->data_directory);
    if (mkdtemp(path)) {
        scratch->directory = path;
        return true;
    }
    hf_error_errno(err, errno, "the directory %s of the scratch database cannot be made", path);
    free(path);
    return false;
}

/* What is timed: all that a service without a database would have to do before it answers. */
static bool restore(struct scratch *scratch, struct hf_error *err)
{
    struct hf_drill *drill = scratch->drill;
    int64_t timeout_ms = drill->engine->config->store_timeout_ms;
    struct hf_store_options options = {.data_directory = scratch->directory,
                                       .timeout_ms = timeout_ms > TIMEOUT_MS_MIN ? timeout_ms : TIMEOUT_MS_MIN};
    uint64_t started_ns = hf_clock_monotonic_ns();
    int verdict;
    if (!hf_store_open(&scratch->store, &options, NULL, err) ||
        !hf_chain_load(&scratch->chain, drill->engine->repository, drill->system.name, drill->snapshot.id, err) ||
        !hf_repository_check_signature(drill->engine->repository, scratch->chain, &verdict, err) ||
        !write_all(scratch, err) || !load(scratch, err))
        return false;
    int64_t ms = (int64_t)((hf_clock_monotonic_ns() - started_ns) / HF_MS_NS);
    drill->row.duration_ms = ms > 0 ? ms : 1;
    return true;
}

static bool write_all(struct scratch *scratch, struct hf_error *err)
{
    struct hf_drill *drill = scratch->drill;
    struct hf_system_row row = hf_system_row_of_header(SCRATCH_ID, hf_chain_header(scratch->chain));
    bool ok = hf_session_open(&scratch->session, scratch->store, HF_SESSION_WRITE, err) &&
              hf_session_begin(scratch->session, err) &&
              hf_rebuild_write(scratch->session, &row, scratch->chain, &drill->driller->stopping, err) &&
              (!hf_fault("drill_midway") || hf_error_set(err, HF_IO, "fault point drill_midway")) &&
              hf_session_commit(scratch->session, err);
    if (!ok && scratch->session)
        hf_session_rollback(scratch->session);
    return ok;
}

static bool load(struct scratch *scratch, struct hf_error *err)
{
    hf_session_close(scratch->session);
    scratch->session = NULL;
    scratch->catalog = hf_catalog_new(0);
    return hf_session_open(&scratch->session, scratch->store, HF_SESSION_READ, err) &&
           hf_catalog_load(scratch->catalog, scratch->session, err);
}

static bool compare(struct scratch *scratch, struct hf_error *err)
{
    const struct hf_manifest_header *header = hf_chain_header(scratch->chain);
    struct hf_hasher *root = hf_hasher_new();
    struct hf_hash hash;
    bool ok = compare_components(scratch, root, err);
    hf_hasher_finish(root, &hash);
    hf_hasher_free(root);
    if (ok && (!hf_hash_equal(&hash, &header->root_hash) || !hf_hash_equal(&hash, &scratch->drill->snapshot.root_hash)))
        return hf_error_set(err, HF_DAMAGED, "what came back of snapshot %s has another root hash", header->id);
    return ok;
}

/* The chain and the catalogue are both in the order of names. */
static bool compare_components(struct scratch *scratch, struct hf_hasher *root, struct hf_error *err)
{
    const struct hf_manifest_header *header = hf_chain_header(scratch->chain);
    int64_t index = 0, expected = hf_chain_count(scratch->chain);
    char after[HF_NAME_MAX + 4] = "";
    for (int count = PORTION; count == PORTION;) {
        HF_AUTO(arena) struct hf_arena arena;
        hf_arena_init(&arena);
        bool found = false;
        const struct hf_component_info *components =
            hf_catalog_list_components(scratch->catalog, header->system, after, PORTION, &arena, &count, &found);
        for (int i = 0; i < count; i++, index++) {
            if (scratch->drill->driller->stopping)
                return hf_error_set(err, HF_SHUTTING_DOWN, "the service is stopping");
            const struct hf_manifest_entry *entry = index < expected ? hf_chain_entry(scratch->chain, index) : NULL;
            if (!entry || strcmp(components[i].name, entry->component) != 0)
                return hf_error_set(err, HF_DAMAGED, "component %s came back, where snapshot %s lists %s",
                                    components[i].name, header->id, entry ? entry->component : "no more");
            if (!compare_component(scratch, &components[i], entry, root, err))
                return false;
        }
        if (count)
            snprintf(after, sizeof(after), "%s", components[count - 1].name);
    }
    if (index < expected)
        return hf_error_set(err, HF_DAMAGED, "component %s of snapshot %s did not come back",
                            hf_chain_entry(scratch->chain, index)->component, header->id);
    return true;
}

static bool compare_component(struct scratch *scratch, const struct hf_component_info *component,
                              const struct hf_manifest_entry *entry, struct hf_hasher *root, struct hf_error *err)
{
    const struct hf_head *head = &component->head;
    if (head->version != entry->version || head->deleted != entry->deleted || head->sequence != entry->sequence)
        return hf_error_set(err, HF_DAMAGED, "component %s came back as version %lld, not as version %lld",
                            component->name, (long long)head->version, (long long)entry->version);
    if (!hf_manifest_entry_is_present(entry))
        return true;
    struct hf_state_row row;
    struct hf_state_text text;
    struct hf_blob *blob = NULL;
    if (!hf_states_get(scratch->session, SCRATCH_ID, head->sequence, &row, &text, &blob, err))
        return hf_error_wrap(err, "component %s in the scratch database", component->name);
    struct hf_hash hash = {0};
    if (blob)
        hf_hash_of(blob->data, blob->bytes, &hash);
    bool same = blob && (int64_t)blob->bytes == entry->bytes && hf_hash_equal(&hash, &entry->hash) &&
                strcmp(row.content_type, entry->content_type) == 0;
    hf_blob_unref(blob);
    if (!same)
        return hf_error_set(err, HF_DAMAGED, "component %s, version %lld, came back with other bytes", component->name,
                            (long long)entry->version);
    hf_root_hash_add(root, component->name, &hash);
    scratch->drill->row.components++;
    scratch->drill->row.bytes += entry->bytes;
    return true;
}

/* Only what a scratch database consists of; a directory that holds anything else stays. */
static bool remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    for (struct dirent *item = directory ? readdir(directory) : NULL; item; item = readdir(directory)) {
        HF_AUTO(free) char *file = hf_format("%s/%s", path, item->d_name);
        if (strncmp(item->d_name, DATABASE_PREFIX, strlen(DATABASE_PREFIX)) == 0 && unlink(file) != 0)
            break;
    }
    if (directory)
        closedir(directory);
    return rmdir(path) == 0;
}

static bool is_scratch_name(const char *name)
{
    size_t prefix = strlen(DIRECTORY_PREFIX);
    if (strncmp(name, DIRECTORY_PREFIX, prefix) != 0 || strlen(name) != prefix + RANDOM_LETTERS)
        return false;
    for (const char *c = name + prefix; *c; c++) {
        if (!isalnum((unsigned char)*c))
            return false;
    }
    return true;
}
