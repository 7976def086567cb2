/* A campaign of damage: files of every kind are flipped, cut, zeroed, deleted and swapped at random places while the
 * service is down. Whatever happens, it starts again and ends in one of two ways: all is right, or what is lost is said
 * exactly. Never wrong bytes, a crash or a hang.
 *
 * The cases follow from their numbers. HOLDFAST_TEST_CORRUPTION_CASES says how many (100),
 * HOLDFAST_TEST_CORRUPTION_FIRST where to begin. */
#include "core/auto.h"
#include "engine/mirror.h"
#include "engine/validation.h"
#include "tests/support/engine.h"
#include "tests/support/snapshots.h"

#include "tests/support/check_main.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define COMPONENTS    9
#define VERSIONS_MAX  64
#define SNAPSHOTS_MAX 16
#define FILES_MAX     64
#define BIG_BYTES     (150 * 1024) /* in chunks in the database */
#define PARTS         10           /* tests that share the cases */

/* What was acknowledged. */
struct version {
    char *content;
    size_t bytes;
};
struct model {
    struct version versions[COMPONENTS][VERSIONS_MAX + 1]; /* by version; content NULL: a tombstone */
    int64_t newest[COMPONENTS];
    struct {
        char id[HF_SNAPSHOT_ID_MAX];
        int64_t version[COMPONENTS]; /* 0: no state then */
    } snapshots[SNAPSHOTS_MAX];
    int snapshot_count;
};

enum place { PLACE_FULL, PLACE_INCREMENTAL, PLACE_MIRROR, PLACE_DATABASE, PLACES };
enum act { ACT_FLIP, ACT_ZERO, ACT_TRUNCATE, ACT_DELETE, ACT_SWAP, ACTS };

static const char *const directories[PLACES] = {"system-state-backups", "incremental-state", "mirror", "."};
static const char *const act_names[ACTS] = {"flip", "zero", "truncate", "delete", "swap"};

struct damage {
    bool place[PLACES]; /* hit */
    char text[1024];    /* for the one who reads of a failure */
};

static struct hf_test_service service;
static struct model model;
static uint64_t dice;
static struct damage damage;
static bool mirrored, encrypted;

static uint32_t roll(uint32_t sides)
{
    dice ^= dice << 13; /* xorshift64 (Marsaglia 2003) */
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)(dice >> 33) % sides;
}

static void component_name(int component, char out[16])
{
    snprintf(out, 16, "c%d", component);
}

/* Some compress well, some not at all, some are shared between components, some lie in chunks. */
static char *make_content(int component, int64_t version, size_t *bytes_out)
{
    size_t bytes = component == 0 ? BIG_BYTES : 40 + roll(component < 4 ? 4000 : 200);
    char *content = hf_alloc(bytes + 1);
    if (component % 3 == 2 && version % 2) {
        bytes = (size_t)sprintf(content, "{\"shared\":%lld}", (long long)version / 8);
    } else {
        int head = sprintf(content, "{\"c\":%d,\"v\":%lld,\"x\":\"", component, (long long)version);
        for (size_t i = (size_t)head; i + 2 < bytes; i++)
            content[i] = component % 2 ? (char)('a' + roll(26)) : (char)('a' + (int)(i / 64 % 3));
        memcpy(content + bytes - 2, "\"}", 2);
        content[bytes] = '\0';
    }
    *bytes_out = bytes;
    return content;
}

static void put(int component)
{
    char name[16];
    component_name(component, name);
    size_t bytes;
    char *content = make_content(component, model.newest[component] + 1, &bytes);
    int64_t version = hf_test_put(&service, name, content);
    ck_assert_int_le(version, VERSIONS_MAX);
    if (version == model.newest[component]) { /* the same content again */
        free(content);
        return;
    }
    model.newest[component] = version;
    model.versions[component][version] = (struct version){content, bytes};
}

static void bury(int component)
{
    char name[16];
    component_name(component, name);
    if (!model.versions[component][model.newest[component]].content)
        return;
    hf_test_delete(&service, name);
    model.newest[component]++;
}

static void take(bool full)
{
    bool unchanged;
    struct hf_snapshot_row row = full ? hf_test_full(&service) : hf_test_incremental(&service, &unchanged);
    for (int i = 0; i < model.snapshot_count; i++) {
        if (strcmp(model.snapshots[i].id, row.id) == 0)
            return;
    }
    int at = model.snapshot_count++;
    ck_assert_int_lt(at, SNAPSHOTS_MAX);
    snprintf(model.snapshots[at].id, sizeof(model.snapshots[at].id), "%s", row.id);
    for (int c = 0; c < COMPONENTS; c++)
        model.snapshots[at].version[c] = model.versions[c][model.newest[c]].content ? model.newest[c] : 0;
}

static void wait_for_mirror(void)
{
    struct hf_mirror_status status = {0};
    for (int i = 0; i < 120000 && mirrored; i++) {
        hf_mirror_read_status(service.engine, &status);
        if (status.up && status.pending_files == 0 && status.caught_up_at_ms)
            return;
        hf_mirror_wake(service.engine);
        usleep(1000);
    }
    ck_assert_msg(!mirrored, "the mirror did not become even: %s", status.last_error);
}

/* A service with two generations or more, or one; some with a mirror, some encrypted. It has crashed at the end. */
static void make_world(void)
{
    static const char *const separate[] = {"--scrub-interval", "0", "--anchor-interval", "0", NULL};
    static const char *const together[] = {"--scrub-interval", "0", NULL};
    memset(&model, 0, sizeof(model));
    hf_test_service_open(&service, roll(2) ? separate : together);
    hf_test_service_stop(&service);
    mirrored = roll(2);
    encrypted = roll(4) == 0;
    if (mirrored) {
        service.config.mirror_directory = hf_format("%s/mirror", service.directory);
        ck_assert_int_eq(mkdir(service.config.mirror_directory, 0700), 0);
    }
    if (encrypted) {
        service.config.encryption_key_file = hf_format("%s/keys", service.directory);
        hf_test_write_file(service.config.encryption_key_file,
                           "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 65);
        ck_assert_int_eq(chmod(service.config.encryption_key_file, 0600), 0);
    }
    hf_test_service_start(&service);
    for (int c = 0; c < COMPONENTS; c++)
        put(c);
    for (int round = 0; round < 6; round++) {
        take(round == 0 || roll(3) == 0);
        for (uint32_t i = roll(6) + 1; i > 0; i--)
            put((int)roll(COMPONENTS));
        if (roll(4) == 0)
            bury((int)roll(COMPONENTS));
    }
    take(roll(2));
    wait_for_mirror();
    hf_test_service_crash(&service);
}

static void forget_world(void)
{
    hf_test_service_close(&service);
    for (int c = 0; c < COMPONENTS; c++) {
        for (int v = 0; v <= VERSIONS_MAX; v++)
            free(model.versions[c][v].content);
    }
}

/* ---- damage ---- */

static void list_files(const char *directory, bool database, char **paths, int *count)
{
    DIR *handle = opendir(directory);
    for (struct dirent *entry; handle && (entry = readdir(handle));) {
        HF_AUTO(free) char *path = hf_format("%s/%s", directory, entry->d_name);
        struct stat status;
        if (entry->d_name[0] == '.' || lstat(path, &status) != 0)
            continue;
        bool wanted =
            !database || strcmp(entry->d_name, "holdfast.db") == 0 || strcmp(entry->d_name, "holdfast.db-wal") == 0;
        if (S_ISDIR(status.st_mode) && !database)
            list_files(path, false, paths, count);
        else if (S_ISREG(status.st_mode) && wanted && status.st_size > 0 && *count < FILES_MAX)
            paths[(*count)++] = hf_strdup(path);
    }
    if (handle)
        closedir(handle);
}

static void zero_range(int fd, off_t from, off_t bytes)
{
    char zeros[4096] = {0};
    for (off_t done = 0; done < bytes; done += (off_t)sizeof(zeros)) {
        size_t now = bytes - done < (off_t)sizeof(zeros) ? (size_t)(bytes - done) : sizeof(zeros);
        ck_assert_int_eq(pwrite(fd, zeros, now, from + done), (ssize_t)now);
    }
}

static void hurt_inside(const char *path, enum act act)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;
    ck_assert(fd >= 0 && fstat(fd, &status) == 0);
    off_t at = (off_t)roll((uint32_t)status.st_size);
    unsigned char byte;
    if (act == ACT_TRUNCATE) {
        ck_assert_int_eq(ftruncate(fd, at), 0);
    } else if (act == ACT_ZERO) {
        off_t bytes = 1 + (off_t)roll(9000);
        zero_range(fd, at, bytes < status.st_size - at ? bytes : status.st_size - at);
    } else {
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= (unsigned char)(1U << roll(8));
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    size_t told = strlen(damage.text);
    snprintf(damage.text + told, sizeof(damage.text) - told, "%s %s at %lld of %lld; ", act_names[act],
             path + strlen(service.directory), (long long)at, (long long)status.st_size);
}

static void swap_files(const char *a, const char *b)
{
    HF_AUTO(free) char *between = hf_format("%s.between", a);
    ck_assert(rename(a, between) == 0 && rename(b, a) == 0 && rename(between, b) == 0);
    size_t told = strlen(damage.text);
    snprintf(damage.text + told, sizeof(damage.text) - told, "swap %s and %s; ", a + strlen(service.directory),
             b + strlen(service.directory));
}

static void hurt(void)
{
    enum place place = (enum place)roll(mirrored ? PLACES : PLACES - 1);
    if (place == PLACE_MIRROR && !mirrored)
        place = PLACE_DATABASE;
    enum act act = (enum act)roll(ACTS);
    char *paths[FILES_MAX];
    int count = 0;
    HF_AUTO(free) char *directory = hf_format("%s/%s", service.directory, directories[place]);
    list_files(directory, place == PLACE_DATABASE, paths, &count);
    if (count > 0) {
        int first = (int)roll((uint32_t)count), second = (int)roll((uint32_t)count);
        damage.place[place] = true;
        if (act == ACT_SWAP && first != second && place != PLACE_DATABASE) {
            swap_files(paths[first], paths[second]);
        } else if (act == ACT_DELETE) {
            size_t told = strlen(damage.text);
            snprintf(damage.text + told, sizeof(damage.text) - told, "delete %s; ",
                     paths[first] + strlen(service.directory));
            ck_assert_int_eq(unlink(paths[first]), 0);
        } else {
            hurt_inside(paths[first], act == ACT_SWAP ? ACT_FLIP : act);
        }
    }
    for (int i = 0; i < count; i++)
        free(paths[i]);
}

/* ---- what must hold ---- */

static bool is_lost(const struct hf_validation *validation, const char *component)
{
    bool lost = validation->lost_all;
    for (int64_t i = 0; i < validation->lost_count && !lost; i++)
        lost = strcmp(validation->lost[i].component, component) == 0;
    return lost;
}

static bool holds(const struct hf_blob *blob, const struct version *version)
{
    return version->content && blob->bytes == version->bytes &&
           memcmp(blob->data, version->content, version->bytes) == 0;
}

/* While something else is healed, in the background too, one is asked to come again soon. */
static bool read_state(const char *name, const struct hf_moment *moment, struct hf_state *out, struct hf_error *err)
{
    bool ok;
    while (!(ok = hf_state_read(service.engine, HF_TEST_NAME, name, moment, out, err)) && err->code == HF_OVERLOADED)
        usleep(1000);
    return ok;
}

/* Through the front door: the right bytes, or the error that belongs to what the validation said. */
static void check_read(int number, int component, const struct hf_validation *validation)
{
    char name[16];
    component_name(component, name);
    const char *id = model.snapshots[number].id;
    struct hf_moment moment = {.kind = HF_MOMENT_SNAPSHOT, .snapshot = id};
    struct hf_state state;
    struct hf_error err;
    int64_t version = model.snapshots[number].version[component];
    bool damaged = strcmp(validation->status, "damaged") == 0;
    if (read_state(name, &moment, &state, &err)) {
        ck_assert_msg(version > 0 && holds(state.body, &model.versions[component][version]),
                      "%s: %s of %s is not what it was", damage.text, name, id);
        ck_assert_msg(validation->lost_all || !is_lost(validation, name),
                      "%s: %s of %s is readable and said to be lost", damage.text, name, id);
        hf_blob_unref(state.body);
        return;
    }
    ck_assert_msg(version == 0 || (damaged && err.code == HF_DAMAGED && is_lost(validation, name)),
                  "%s: %s of %s, which is %s: %s", damage.text, name, id, validation->status, err.text);
}

/* The list of what is lost is exact: all else can be brought back. */
static void check_lost(int number, const struct hf_validation *validation)
{
    const char *id = model.snapshots[number].id;
    struct hf_chain *chain = NULL;
    struct hf_error err;
    bool whole;
    char why[480];
    if (!hf_chain_salvage(&chain, service.engine->repository, HF_TEST_NAME, id, &whole, why, &err)) {
        ck_assert_msg(validation->lost_all, "%s: nothing of %s is left, and that is not said: %s", damage.text, id,
                      err.text);
        return;
    }
    for (int c = 0; c < COMPONENTS; c++) {
        char name[16];
        component_name(c, name);
        const struct hf_manifest_entry *entry = hf_chain_find(chain, name);
        struct hf_blob *blob = NULL;
        if (!entry || !hf_manifest_entry_is_present(entry))
            continue;
        /* What the files have lost may lie elsewhere: that was asked above, through the front door. */
        bool good = hf_chain_read(chain, entry, &blob, &err);
        ck_assert_msg(good || strcmp(validation->status, "damaged") == 0, "%s: %s of %s, which is %s: %s", damage.text,
                      name, id, validation->status, err.text);
        ck_assert_msg(!good || !whole || holds(blob, &model.versions[c][model.snapshots[number].version[c]]),
                      "%s: %s of %s is not what it was", damage.text, name, id);
        hf_blob_unref(blob);
    }
    hf_chain_free(chain);
}

static void check_snapshot(int number, int hits)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    const char *id = model.snapshots[number].id;
    struct hf_validation validation;
    struct hf_error err;
    bool primary_hit = damage.place[PLACE_FULL] || damage.place[PLACE_INCREMENTAL];
    if (!hf_validation_run(service.engine, HF_TEST_NAME, id, true, 0, &arena, &validation, &err)) {
        ck_assert_msg(err.code == HF_NOT_FOUND && damage.place[PLACE_DATABASE] && primary_hit, "%s: %s: %s",
                      damage.text, id, err.text);
        return;
    }
    bool damaged = strcmp(validation.status, "damaged") == 0;
    ck_assert_msg(damaged || validation.lost_count == 0, "%s: %s is %s and has lost something", damage.text, id,
                  validation.status);
    ck_assert_msg(!damaged || primary_hit, "%s: %s is damaged, and nobody touched it", damage.text, id);
    ck_assert_msg(!damaged || !mirrored || hits > 1, "%s: %s is damaged though the mirror has it", damage.text, id);
    for (int c = 0; c < COMPONENTS; c++)
        check_read(number, c, &validation);
    check_lost(number, &validation);
}

/* The least version that the present must have: what the newest snapshot holds, or, when nobody touched the database,
 * the newest. */
static int64_t least_version(int component)
{
    if (!damage.place[PLACE_DATABASE])
        return model.newest[component];
    return model.snapshots[model.snapshot_count - 1].version[component];
}

static void check_present(int component)
{
    char name[16];
    component_name(component, name);
    struct hf_moment moment = {.kind = HF_MOMENT_LATEST};
    struct hf_state state;
    struct hf_error err;
    bool database = damage.place[PLACE_DATABASE];
    bool files = damage.place[PLACE_FULL] || damage.place[PLACE_INCREMENTAL] || damage.place[PLACE_MIRROR];
    int64_t least = database && files ? 1 : least_version(component);
    if (!read_state(name, &moment, &state, &err)) {
        bool gone = !model.versions[component][model.newest[component]].content;
        bool was_gone = least == 0;
        ck_assert_msg((err.code == HF_NOT_FOUND && (gone || was_gone || (database && files))) ||
                          (err.code == HF_DAMAGED && database && files),
                      "%s: the present %s: %s", damage.text, name, err.text);
        return;
    }
    bool known = false;
    for (int64_t v = least > 0 ? least : 1; v <= model.newest[component] && !known; v++)
        known = holds(state.body, &model.versions[component][v]);
    ck_assert_msg(known, "%s: the present %s is no version from %lld to %lld", damage.text, name, (long long)least,
                  (long long)model.newest[component]);
    hf_blob_unref(state.body);
}

static void check_history(int component)
{
    char name[16];
    component_name(component, name);
    for (int64_t v = 1; v <= model.newest[component]; v++) {
        struct hf_moment moment = {.kind = HF_MOMENT_VERSION, .version = v};
        struct hf_state state;
        struct hf_error err;
        if (!read_state(name, &moment, &state, &err)) {
            bool gone = !model.versions[component][v].content;
            ck_assert_msg(gone || damage.place[PLACE_DATABASE], "%s: version %lld of %s: %s", damage.text, (long long)v,
                          name, err.text);
            ck_assert_msg(err.code == HF_NOT_FOUND || err.code == HF_DAMAGED, "%s: version %lld of %s: %s", damage.text,
                          (long long)v, name, err.text);
            continue;
        }
        /* With the newest snapshots gone too, nobody knows which numbers were given. */
        ck_assert_msg(holds(state.body, &model.versions[component][v]) ||
                          (damage.place[PLACE_DATABASE] &&
                           (damage.place[PLACE_FULL] || damage.place[PLACE_INCREMENTAL])),
                      "%s: version %lld of %s is another", damage.text, (long long)v, name);
        hf_blob_unref(state.body);
    }
}

static void run_case(int number)
{
    dice = UINT64_C(0x9E3779B97F4A7C15) * ((uint64_t)number + 1);
    make_world();
    memset(&damage, 0, sizeof(damage));
    snprintf(damage.text, sizeof(damage.text), "case %d%s%s: ", number, mirrored ? ", mirrored" : "",
             encrypted ? ", encrypted" : "");
    int hits = 1 + (int)(roll(2) * roll(3));
    for (int i = 0; i < hits; i++)
        hurt();
    struct hf_error err;
    ck_assert_msg(hf_engine_start(&service.engine, &service.config, &err), "%s: it does not start: %s", damage.text,
                  err.text);
    for (int c = 0; c < COMPONENTS; c++)
        check_present(c);
    for (int i = 0; i < model.snapshot_count; i++)
        check_snapshot(i, hits);
    for (int c = 0; c < COMPONENTS; c++) {
        check_present(c);
        check_history(c);
    }
    hf_test_service_crash(&service);
    hf_test_service_start(&service);
    for (int c = 0; c < COMPONENTS; c++)
        check_present(c);
    forget_world();
}

static int number_from(const char *name, int fallback)
{
    const char *text = getenv(name);
    return text && *text ? atoi(text) : fallback;
}

/* Every tenth case: what one test may take is bounded. */
static void run_part(int part)
{
    int first = number_from("HOLDFAST_TEST_CORRUPTION_FIRST", 0);
    int cases = number_from("HOLDFAST_TEST_CORRUPTION_CASES", 100);
    for (int number = first + part; number < first + cases; number += PARTS)
        run_case(number);
}

#define PART(name, part)                                                                                               \
    START_TEST(name)                                                                                                   \
    {                                                                                                                  \
        run_part(part);                                                                                                \
    }                                                                                                                  \
    END_TEST
PART(damage_is_healed_or_told_exactly_1, 0)
PART(damage_is_healed_or_told_exactly_2, 1)
PART(damage_is_healed_or_told_exactly_3, 2)
PART(damage_is_healed_or_told_exactly_4, 3)
PART(damage_is_healed_or_told_exactly_5, 4)
PART(damage_is_healed_or_told_exactly_6, 5)
PART(damage_is_healed_or_told_exactly_7, 6)
PART(damage_is_healed_or_told_exactly_8, 7)
PART(damage_is_healed_or_told_exactly_9, 8)
PART(damage_is_healed_or_told_exactly_10, 9)

HF_TEST_MAIN("corruption", damage_is_healed_or_told_exactly_1, damage_is_healed_or_told_exactly_2,
             damage_is_healed_or_told_exactly_3, damage_is_healed_or_told_exactly_4, damage_is_healed_or_told_exactly_5,
             damage_is_healed_or_told_exactly_6, damage_is_healed_or_told_exactly_7, damage_is_healed_or_told_exactly_8,
             damage_is_healed_or_told_exactly_9, damage_is_healed_or_told_exactly_10);
