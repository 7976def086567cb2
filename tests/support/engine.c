#include "tests/support/engine.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "engine/events.h"
#include "store/states.h"
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include <check.h>
#include <dirent.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define FLAGS_MAX  40
#define COPIES_MAX 20 /* of a directory that is written to meanwhile */

static void load_config(struct hf_test_service *service, const char *const *flags);
static void run_command(const char *command);
static bool trim_history(struct hf_session *session, void *context, struct hf_error *err);
static int count_files(const char *path);
static struct hf_snapshot_row take(struct hf_test_service *service, bool full, bool *unchanged_out);
static void write_item(struct hf_test_service *service, struct hf_save_item *item);

void hf_test_service_open(struct hf_test_service *service, const char *const *flags)
{
    memset(service, 0, sizeof(*service));
    hf_log_init(STDERR_FILENO, HF_LOG_ERROR, false);
    hf_arena_init(&service->arena);
    service->directory = hf_test_temp_directory();
    load_config(service, flags);
    hf_test_service_start(service);
}

static void load_config(struct hf_test_service *service, const char *const *flags)
{
    /* No scrub: a thread that comes up late finds the first snapshot due at once, and holds it or heals it. */
    char *argv[FLAGS_MAX] = {(char *)"holdfast-server",   (char *)"--data-directory", service->directory,
                             (char *)"--backup-interval", (char *)"86400000",         (char *)"--incremental-interval",
                             (char *)"86400000",          (char *)"--scrub-interval", (char *)"0"};
    int argc = 9;
    for (; flags && *flags; flags++) {
        ck_assert_int_lt(argc, FLAGS_MAX);
        argv[argc++] = (char *)*flags;
    }
    struct hf_error err;
    unsetenv("DATABASE_URL");
    unsetenv("POSTGRES_URL");
    ck_assert_msg(hf_config_load(&service->config, argc, argv, &err), "%s", err.text);
}

void hf_test_service_start(struct hf_test_service *service)
{
    struct hf_error err;
    ck_assert_msg(hf_engine_start(&service->engine, &service->config, &err), "%s", err.text);
}

void hf_test_service_stop(struct hf_test_service *service)
{
    hf_engine_stop(service->engine);
    service->engine = NULL;
}

void hf_test_service_crash(struct hf_test_service *service)
{
    HF_AUTO(free)
    char *copy = hf_format("rm -rf '%s.crashed' && cp -a '%s' '%s.crashed'", service->directory, service->directory,
                           service->directory);
    HF_AUTO(free) char *swap = hf_format("mv '%s.crashed' '%s'", service->directory, service->directory);
    /* A temporary file may be gone before it is copied, and cp fails: then the copy is of a moment later. */
    bool copied = false;
    for (int tries = 0; !copied && tries < COPIES_MAX; tries++)
        copied = system(copy) == 0;
    ck_assert_msg(copied, "%s failed", copy);
    hf_test_service_stop(service);
    hf_test_remove_tree(service->directory);
    run_command(swap);
}

void hf_test_service_close(struct hf_test_service *service)
{
    if (service->engine)
        hf_test_service_stop(service);
    hf_test_remove_tree(service->directory);
    free(service->directory);
    hf_config_done(&service->config);
    hf_arena_done(&service->arena);
}

int hf_test_count_set_aside(struct hf_test_service *service)
{
    DIR *directory = opendir(service->directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strncmp(entry->d_name, "holdfast.db.damaged-", 20) == 0;
    closedir(directory);
    return count;
}

char *hf_test_service_path(struct hf_test_service *service, const char *format, ...)
{
    char name[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof(name), format, arguments);
    va_end(arguments);
    return hf_arena_format(&service->arena, "%s/%s", service->directory, name);
}

void hf_test_service_remove_database(struct hf_test_service *service)
{
    ck_assert_int_eq(unlink(hf_test_service_path(service, "holdfast.db")), 0);
    unlink(hf_test_service_path(service, "holdfast.db-wal"));
    unlink(hf_test_service_path(service, "holdfast.db-shm"));
}

int hf_test_service_count_files(struct hf_test_service *service, const char *below)
{
    return count_files(hf_test_service_path(service, "%s", below));
}

void hf_test_damage_file(const char *path, long offset)
{
    FILE *file = fopen(path, "r+b");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, offset, offset < 0 ? SEEK_END : SEEK_SET), 0);
    long at = ftell(file);
    int byte = fgetc(file);
    ck_assert_int_ne(byte, EOF);
    ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
    ck_assert_int_ne(fputc(byte ^ 0x55, file), EOF);
    ck_assert_int_eq(fclose(file), 0);
}

void hf_test_damage_content(const char *path, const char *text)
{
    size_t bytes;
    char *data = hf_test_read_file(path, &bytes);
    /* The first byte is what is flipped. */
    char *found = memmem(data, bytes, text + 1, strlen(text) - 1);
    ck_assert_msg(found && found > data, "%s does not hold %s", path, text);
    long offset = found - data - 1;
    free(data);
    hf_test_damage_file(path, offset);
}

void hf_test_forget_history(struct hf_test_service *service)
{
    struct hf_system_info system = hf_test_system(service);
    struct hf_call call = {.run = trim_history, .context = &system};
    struct hf_error err;
    ck_assert_msg(hf_committer_call(service->engine->committer, &call, &err), "%s", err.text);
}

int64_t hf_test_put(struct hf_test_service *service, const char *component, const char *text)
{
    struct hf_blob *body = hf_blob_copy(text, strlen(text));
    struct hf_save_item item = {.component = component, .body = body, .content_type = "application/json"};
    hf_hash_of(text, strlen(text), &item.hash);
    write_item(service, &item);
    hf_blob_unref(body);
    return item.version;
}

void hf_test_delete(struct hf_test_service *service, const char *component)
{
    write_item(service, &(struct hf_save_item){.component = component, .content_type = "", .delete_it = true});
}

static void write_item(struct hf_test_service *service, struct hf_save_item *item)
{
    struct hf_write write = {.system = HF_TEST_NAME, .state_epoch = -1, .items = item, .item_count = 1};
    struct hf_error err;
    ck_assert_msg(hf_committer_write(service->engine->committer, &write, &err), "%s", err.text);
    ck_assert_msg(write.ok, "%s", write.error.text);
}

void hf_test_register(struct hf_test_service *service, const char *component, const char *kind,
                      const char *depends_on_or_null, int64_t heartbeat_interval_ms)
{
    const char *names[1] = {depends_on_or_null};
    struct hf_registration registration = {
        .kind = kind,
        .depends_on = names,
        .depends_on_count = depends_on_or_null != NULL,
        .depends_on_json = depends_on_or_null ? hf_arena_format(&service->arena, "[\"%s\"]", depends_on_or_null) : "[]",
        .required_pointers_json = "[]",
        .heartbeat_interval_ms = heartbeat_interval_ms};
    bool created;
    const char *cycle = NULL;
    struct hf_error err;
    ck_assert_msg(hf_component_register(service->engine, HF_TEST_NAME, component, &registration, &created, &cycle,
                                        &service->arena, &err),
                  "%s", err.text);
}

const char *hf_test_get(struct hf_test_service *service, const char *component)
{
    struct hf_moment latest = {.kind = HF_MOMENT_LATEST};
    struct hf_state state = {0};
    struct hf_error err;
    if (!hf_state_read(service->engine, HF_TEST_NAME, component, &latest, &state, &err)) {
        ck_assert_msg(err.code == HF_NOT_FOUND, "%s", err.text);
        return NULL;
    }
    char *text = hf_arena_strndup(&service->arena, (const char *)state.body->data, state.body->bytes);
    hf_blob_unref(state.body);
    return text;
}

struct hf_system_info hf_test_system(struct hf_test_service *service)
{
    struct hf_system_info info;
    ck_assert(hf_catalog_read_system(service->engine->catalog, HF_TEST_NAME, &info));
    return info;
}

struct hf_snapshot_row hf_test_full(struct hf_test_service *service)
{
    bool unchanged;
    return take(service, true, &unchanged);
}

struct hf_snapshot_row hf_test_incremental(struct hf_test_service *service, bool *unchanged_out)
{
    return take(service, false, unchanged_out);
}

static struct hf_snapshot_row take(struct hf_test_service *service, bool full, bool *unchanged_out)
{
    struct hf_snapshot_request request = {.system = HF_TEST_NAME,
                                          .full = full,
                                          .trigger = "manual",
                                          .even_unchanged = full};
    struct hf_snapshot_row row;
    struct hf_error err;
    ck_assert_msg(hf_snapshot_take(service->engine, &request, &service->arena, &row, unchanged_out, &err), "%s",
                  err.text);
    return row;
}

char *hf_test_engine_snapshot_path(struct hf_test_service *service, const struct hf_snapshot_row *row)
{
    bool full = strcmp(row->kind, "full") == 0;
    return hf_arena_format(&service->arena, "%s/%s",
                           full ? service->config.backup_directory : service->config.incremental_directory, row->file);
}

void hf_test_remove_outline(struct hf_test_service *service, const struct hf_snapshot_row *row)
{
    bool full = strcmp(row->kind, "full") == 0;
    HF_AUTO(free)
    char *path = hf_format("%s/" HF_TEST_NAME "/%s.outline",
                           full ? service->config.incremental_directory : service->config.backup_directory, row->id);
    ck_assert_int_eq(unlink(path), 0);
}

struct hf_recovery_row hf_test_restore(struct hf_test_service *service, const char *snapshot)
{
    struct hf_recovery_request request = {.system = HF_TEST_NAME, .source = "snapshot", .snapshot = snapshot};
    struct hf_recovery_row row;
    struct hf_error err;
    ck_assert_msg(hf_recovery_run(service->engine, &request, &service->arena, &row, &err), "%s", err.text);
    return row;
}

struct hf_hash hf_test_root_hash(struct hf_test_service *service)
{
    int count;
    bool found;
    struct hf_component_info *list = hf_catalog_list_components(service->engine->catalog, HF_TEST_NAME, "", INT32_MAX,
                                                                &service->arena, &count, &found);
    struct hf_hasher *hasher = hf_hasher_new();
    for (int i = 0; i < count; i++) {
        if (hf_head_is_present(&list[i].head))
            hf_root_hash_add(hasher, list[i].name, &list[i].head.hash);
    }
    struct hf_hash hash;
    hf_hasher_finish(hasher, &hash);
    hf_hasher_free(hasher);
    return hash;
}

struct counted {
    const char *type;
    const char *mark; /* the text of an event that ends the count; NULL: none */
    int count;
    bool marked;
};

static bool count_event(void *context, const struct hf_event_row *row)
{
    struct counted *counted = context;
    if (counted->mark && strcmp(row->text, counted->mark) == 0) {
        counted->marked = true;
        return true;
    }
    counted->count += strcmp(row->type, counted->type) == 0;
    return true;
}

static void count_written(struct hf_test_service *service, int64_t system_id, struct counted *counted)
{
    struct hf_session *session;
    struct hf_error err;
    counted->count = 0;
    ck_assert_msg(hf_sessions_take(service->engine->sessions, &session, &err), "%s", err.text);
    ck_assert(hf_events_list(session, system_id, NULL, 0, 100000, count_event, counted, &err));
    hf_sessions_give(service->engine->sessions, session);
}

static bool nothing(struct hf_session *session, void *context, struct hf_error *err)
{
    (void)session, (void)context, (void)err;
    return true;
}

int hf_test_count_events(struct hf_test_service *service, int64_t system_id, const char *type)
{
    struct counted counted = {.type = type};
    struct hf_error err;
    /* Events are written soon after they happen: asked for until one is there, or long enough. */
    for (int try = 0; try < 40 && !counted.count; try++) {
        struct hf_call call = {.run = nothing};
        ck_assert_msg(hf_committer_call(service->engine->committer, &call, &err), "%s", err.text);
        count_written(service, system_id, &counted);
        if (!counted.count)
            usleep(50000);
    }
    return counted.count;
}

/* Events are written in the order in which they are emitted: when the mark is there, so are all before it. */
int hf_test_count_events_so_far(struct hf_test_service *service, int64_t system_id, const char *type)
{
    char mark[32];
    hf_id_random("mark-", mark, sizeof(mark));
    struct counted counted = {.type = type, .mark = mark};
    hf_event_emit(service->engine, system_id, "", HF_EV_MIRROR_CAUGHT_UP, NULL, "%s", mark);
    while (!counted.marked) {
        usleep(2000);
        count_written(service, system_id, &counted);
    }
    return counted.count;
}

static void run_command(const char *command)
{
    ck_assert_msg(system(command) == 0, "%s failed", command);
}

static bool trim_history(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct hf_system_info *system = context;
    int64_t deleted = 0;
    return hf_states_trim(session, system->id, system->sequence, 1000000, &deleted, err);
}

static int count_files(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        HF_AUTO(free) char *child = hf_format("%s/%s", path, entry->d_name);
        struct stat status;
        ck_assert_int_eq(lstat(child, &status), 0);
        count += S_ISDIR(status.st_mode) ? count_files(child) : !strstr(entry->d_name, ".outline");
    }
    if (directory)
        closedir(directory);
    return count;
}
