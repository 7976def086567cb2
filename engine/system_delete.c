#include "engine/system_delete.h"

#include "core/auto.h"
#include "core/fault.h"
#include "engine/bequest.h"
#include "engine/event_feed.h"
#include "engine/events.h"
#include "engine/mirror.h"
#include "engine/snapshot_private.h"
#include "store/journal.h"
#include "store/systems.h"

#include <string.h>

#define MARK_BYTES 48

struct removal {
    struct hf_engine *engine;
    struct hf_shelf *shelf;
    bool give_up;
    int64_t system_id;
    char mark[MARK_BYTES];
};

/* One that was begun before the service ended; texts in the arena. */
struct leftover {
    const char *system, *mark;
    bool known;     /* its system is in the database */
    bool name_used; /* by it or by another one */
};

struct leftovers {
    struct hf_arena arena;
    struct leftover *items; /* owns */
    int count;
    bool some_system, some_event;
};

static void make_mark(int64_t system_id, int64_t created_at_ms, char out[MARK_BYTES]);
static bool begin(struct removal *removal, struct hf_error *err);
static bool commit(struct removal *removal, struct hf_error *err);
static void undo(struct removal *removal);
static bool delete_rows(struct hf_session *session, void *context, struct hf_error *err);
static void publish_deletion(void *context);
static bool remove_files(struct removal *removal, struct hf_error *err);
static bool list_leftovers(struct hf_engine *engine, struct leftovers *out, struct hf_error *err);
static hf_deletion_fn add_leftover;
static bool recognise(struct hf_session *session, struct leftovers *leftovers, struct hf_error *err);
static hf_system_row_fn match_system;
static hf_event_row_fn note_event;
static void free_leftovers(struct leftovers *leftovers);
static bool put_back(struct hf_engine *engine, const struct leftover *leftover, struct hf_error *err);
static bool keep_aside(struct hf_engine *engine, const struct leftover *leftover, struct hf_error *err);

bool hf_system_delete(struct hf_engine *engine, const char *name, bool give_up, struct hf_error *err)
{
    struct removal removal = {.engine = engine, .shelf = hf_shelf_get(engine, name, err), .give_up = give_up};
    if (!removal.shelf)
        return false;
    /* A validation or a snapshot that is under way is waited for: neither may find its files gone. */
    hf_shelf_await(removal.shelf);
    pthread_mutex_lock(&removal.shelf->taking);
    bool ok = begin(&removal, err) && commit(&removal, err);
    pthread_mutex_unlock(&removal.shelf->taking);
    pthread_mutex_unlock(&removal.shelf->judging);
    if (!ok)
        return false;
    hf_mirror_forget_system(engine, name, removal.mark);
    ok = remove_files(&removal, err);
    HF_AUTO(free)
    char *text =
        hf_format("system %s was deleted with all its states%s", name,
                  ok ? " and snapshots" : "; some snapshot files could not be removed, the next start tries again");
    hf_event_emit(engine, 0, name, HF_EV_SYSTEM_DELETED, NULL, "%s", text);
    hf_event_feed_end_system(engine->feed, removal.system_id, HF_EV_SYSTEM_DELETED, text);
    return ok ? true : hf_error_wrap(err, "system %s is deleted, but its snapshot files are not all removed", name);
}

/* Ids are given again after a restart, times may be set back: both together name one system among all of a name. */
static void make_mark(int64_t system_id, int64_t created_at_ms, char out[MARK_BYTES])
{
    snprintf(out, MARK_BYTES, "%lldt%lld", (long long)system_id, (long long)created_at_ms);
}

static bool begin(struct removal *removal, struct hf_error *err)
{
    struct hf_engine *engine = removal->engine;
    struct hf_shelf *shelf = removal->shelf;
    struct hf_system_info info;
    if (!hf_catalog_read_system(engine->catalog, shelf->name, &info) || info.id != shelf->system_id)
        return hf_error_set(err, HF_NOT_FOUND, "there is no system %s", shelf->name);
    make_mark(info.id, info.created_at_ms, removal->mark);
    removal->system_id = info.id;
    if (!hf_shelf_begin_deletion(engine, shelf, err))
        return false;
    /* While its files are there: they may have what the heirs need. */
    const struct hf_heirs_of heirs = {.system_id = info.id};
    if (!hf_bequest_check(engine, shelf->name, &heirs, removal->give_up, err)) {
        hf_shelf_end_deletion(engine, shelf, false);
        return hf_error_wrap(err, "system %s is not deleted, because of what other systems share with it%s",
                             shelf->name,
                             err->code == HF_STORE_DOWN || err->code == HF_SHUTTING_DOWN
                                 ? ""
                                 : " (?force=true gives it up)");
    }
    if (hf_repository_deletion_begin(engine->repository, shelf->name, removal->mark, err))
        return true;
    undo(removal);
    return false;
}

static bool commit(struct removal *removal, struct hf_error *err)
{
    struct hf_call call = {.run = delete_rows, .published = publish_deletion, .context = removal};
    bool ok = hf_fault("system_delete_begun") ? hf_error_set(err, HF_STORE_DOWN, "fault point system_delete_begun")
                                              : hf_committer_call(removal->engine->committer, &call, err);
    if (ok)
        hf_shelf_end_deletion(removal->engine, removal->shelf, true);
    else if (err->code != HF_OUTCOME_UNKNOWN) /* else the next start knows, or whoever repeats it */
        undo(removal);
    return ok;
}

static void undo(struct removal *removal)
{
    struct hf_error err;
    if (hf_repository_deletion_undo(removal->engine->repository, removal->shelf->name, removal->mark, &err))
        hf_shelf_end_deletion(removal->engine, removal->shelf, false);
    else
        hf_log(HF_LOG_ERROR, "deletion_not_undone", err.text, HF_LOG_TEXT("system", removal->shelf->name));
}

static bool delete_rows(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct removal *removal = context;
    return hf_systems_delete(session, removal->shelf->system_id, err);
}

static void publish_deletion(void *context)
{
    const struct removal *removal = context;
    struct hf_catalog *catalog = removal->engine->catalog;
    hf_catalog_lock(catalog);
    hf_catalog_remove_system_locked(catalog, hf_catalog_system_by_id_locked(catalog, removal->shelf->system_id));
    hf_catalog_unlock(catalog);
}

static bool remove_files(struct removal *removal, struct hf_error *err)
{
    if (hf_fault("system_delete_after_commit"))
        return hf_error_set(err, HF_IO, "fault point system_delete_after_commit");
    return hf_repository_deletion_finish(removal->engine->repository, removal->shelf->name, removal->mark, err);
}

/* ---- at start ---- */

bool hf_deletions_settle(struct hf_engine *engine, struct hf_session *session, bool lost, struct hf_error *err)
{
    struct leftovers leftovers = {0};
    bool ok = list_leftovers(engine, &leftovers, err) && (!leftovers.count || recognise(session, &leftovers, err));
    /* An empty database in which not even an event is found may have been made just before an earlier start ended. */
    lost = lost || (!leftovers.some_system && !leftovers.some_event);
    for (int i = 0; ok && i < leftovers.count; i++) {
        if (leftovers.items[i].known)
            ok = put_back(engine, &leftovers.items[i], err);
        else if (lost)
            ok = keep_aside(engine, &leftovers.items[i], err);
    }
    free_leftovers(&leftovers);
    return ok;
}

void hf_deletions_finish(struct hf_engine *engine)
{
    struct leftovers leftovers = {0};
    struct hf_error err;
    if (!list_leftovers(engine, &leftovers, &err))
        hf_log(HF_LOG_WARNING, "deletion_not_finished", err.text);
    for (int i = 0; i < leftovers.count; i++) {
        const struct leftover *leftover = &leftovers.items[i];
        struct hf_system_info used;
        if (!hf_catalog_read_system(engine->catalog, leftover->system, &used))
            hf_mirror_end_deletion(engine, leftover->system, leftover->mark, false);
        if (hf_repository_deletion_finish(engine->repository, leftover->system, leftover->mark, &err))
            hf_event_emit(engine, 0, leftover->system, HF_EV_LEFTOVER_REMOVED, NULL,
                          "removed the snapshot files of system %s: it was deleted when the service ended",
                          leftover->system);
        else
            hf_log(HF_LOG_WARNING, "deletion_not_finished", err.text, HF_LOG_TEXT("system", leftover->system));
    }
    free_leftovers(&leftovers);
}

static bool list_leftovers(struct hf_engine *engine, struct leftovers *out, struct hf_error *err)
{
    hf_arena_init(&out->arena);
    return hf_repository_deletions_list(engine->repository, add_leftover, out, err);
}

/* Each only once, although its directories may be in two places. */
static void add_leftover(void *context, const char *system, const char *mark)
{
    struct leftovers *leftovers = context;
    for (int i = 0; i < leftovers->count; i++) {
        if (strcmp(leftovers->items[i].system, system) == 0 && strcmp(leftovers->items[i].mark, mark) == 0)
            return;
    }
    leftovers->items = hf_realloc(leftovers->items, (size_t)(leftovers->count + 1) * sizeof(leftovers->items[0]));
    leftovers->items[leftovers->count++] = (struct leftover){.system = hf_arena_strdup(&leftovers->arena, system),
                                                             .mark = hf_arena_strdup(&leftovers->arena, mark)};
}

static bool recognise(struct hf_session *session, struct leftovers *leftovers, struct hf_error *err)
{
    return hf_systems_list(session, match_system, leftovers, err) &&
           hf_events_list(session, 0, NULL, 0, 1, note_event, leftovers, err);
}

static bool match_system(void *context, const struct hf_system_row *row)
{
    struct leftovers *leftovers = context;
    char mark[MARK_BYTES];
    make_mark(row->id, row->created_at_ms, mark);
    leftovers->some_system = true;
    for (int i = 0; i < leftovers->count; i++) {
        struct leftover *leftover = &leftovers->items[i];
        if (strcmp(leftover->system, row->name) != 0)
            continue;
        leftover->name_used = true;
        leftover->known = leftover->known || strcmp(leftover->mark, mark) == 0;
    }
    return true;
}

static bool note_event(void *context, const struct hf_event_row *row)
{
    (void)row;
    struct leftovers *leftovers = context;
    leftovers->some_event = true;
    return false;
}

static void free_leftovers(struct leftovers *leftovers)
{
    free(leftovers->items);
    hf_arena_done(&leftovers->arena);
}

static bool put_back(struct hf_engine *engine, const struct leftover *leftover, struct hf_error *err)
{
    if (!hf_repository_deletion_undo(engine->repository, leftover->system, leftover->mark, err))
        return hf_error_wrap(err, "the snapshot files of system %s, whose deletion was not finished", leftover->system);
    hf_log(HF_LOG_WARNING, "deletion_undone",
           "the service ended before it had deleted this system; it is all there, delete it again if that is meant",
           HF_LOG_TEXT("system", leftover->system));
    return true;
}

static bool keep_aside(struct hf_engine *engine, const struct leftover *leftover, struct hf_error *err)
{
    if (!leftover->name_used) /* else the mirror's may be of the one that has the name now */
        hf_mirror_end_deletion(engine, leftover->system, leftover->mark, true);
    if (!hf_repository_deletion_keep(engine->repository, leftover->system, leftover->mark, err))
        return hf_error_wrap(err, "the snapshot files of system %s, which was being deleted", leftover->system);
    hf_log(HF_LOG_WARNING, "snapshots_set_aside",
           "the service ended while it deleted this system, and the database is lost: it is not rebuilt; its snapshot "
           "files stay, in directories that begin with .orphaned-",
           HF_LOG_TEXT("system", leftover->system), HF_LOG_TEXT("mark", leftover->mark));
    return true;
}
