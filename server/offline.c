#include "server/offline.h"

#include "core/auto.h"
#include "core/buf.h"
#include "repository/keys.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SUFFIX ".snapshot"

/* Directories that lie beside each other, as the settings' defaults and a mirror have them. */
static const struct pair {
    const char *full, *incremental;
} pairs[] = {{"system-state-backups", "incremental-state"}, {"full", "incremental"}};

struct verifying {
    struct hf_offline_place place;
    const struct hf_offline_options *options;
    int64_t files, sound, damaged, misplaced, unreadable, unproven; /* unproven: without a trusted signature */
};

static bool set_option(struct hf_offline_options *out, const char *name, size_t bytes, const char *value, bool *known);
static bool split_file(const char *real, struct hf_offline_place *place, char *root, struct hf_error *err);
static bool open_root(struct hf_offline_place *place, const struct hf_offline_options *options, const char *root,
                      struct hf_error *err);
static bool open_pair(struct hf_offline_place *place, const char *full, const char *incremental, struct hf_error *err);
static bool open_directory(struct hf_offline_place *place, const struct hf_offline_options *options, char *real,
                           struct hf_error *err);
static bool is_directory(const char *path);
static bool holds_snapshots(const char *path);
static void cut_last(char *path, char *last, size_t last_bytes);
static hf_scan_fn verify_found;
static void verify_one(struct verifying *verifying, const char *system, const char *id, bool deep);
static void tell_one(struct verifying *verifying, const char *system, const char *id,
                     const struct hf_verify_report *report, const struct hf_error *err_or_null);
static const char *describe_signature(int signature);
static int tell_verdict(const struct verifying *verifying);

int hf_offline_verify(int argc, char *argv[])
{
    struct hf_offline_options options;
    if (!hf_offline_read_options(argc, argv, &options))
        return HF_OFFLINE_USAGE;
    if (options.output || options.salvage || options.component_count) {
        fputs("holdfast-server: verify has no such option; try --help\n", stderr);
        return HF_OFFLINE_USAGE;
    }
    if (!hf_offline_check_signing(&options))
        return HF_OFFLINE_USAGE;
    struct verifying verifying = {.options = &options};
    struct hf_error err;
    if (!hf_offline_open(&verifying.place, &options, &err)) {
        fprintf(stderr, "holdfast-server: %s\n", err.text);
        return err.code == HF_INVALID_REQUEST ? HF_OFFLINE_USAGE : HF_OFFLINE_UNREADABLE;
    }
    const struct hf_offline_place *place = &verifying.place;
    bool ok = true;
    if (place->id[0])
        verify_one(&verifying, place->system, place->id, true);
    else
        ok = hf_repository_scan(place->repository, place->system[0] ? place->system : NULL, verify_found, &verifying,
                                &err);
    if (!ok)
        fprintf(stderr, "holdfast-server: %s\n", err.text);
    int exit_code = tell_verdict(&verifying);
    hf_offline_close(&verifying.place);
    return ok || exit_code == HF_OFFLINE_DAMAGED ? exit_code : HF_OFFLINE_UNREADABLE;
}

bool hf_offline_read_options(int argc, char *argv[], struct hf_offline_options *out)
{
    *out = (struct hf_offline_options){0};
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            if (out->path) {
                fprintf(stderr, "holdfast-server: %s takes one path, not also %s\n", argv[0], argv[i]);
                return false;
            }
            out->path = argv[i];
            continue;
        }
        size_t bytes = strcspn(argv[i], "=");
        bool known = false, flag = strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "--salvage") == 0 ||
                                   strcmp(argv[i], "--require-signatures") == 0;
        const char *value = argv[i][bytes] == '=' ? argv[i] + bytes + 1 : flag || i + 1 == argc ? NULL : argv[i + 1];
        if (!set_option(out, argv[i], bytes, value, &known)) {
            fprintf(stderr, "holdfast-server: %s %.*s\n",
                    known ? "a value is missing after, or given too often:" : "there is no option", (int)bytes,
                    argv[i]);
            return false;
        }
        i += !flag && argv[i][bytes] != '=';
    }
    if (!out->path)
        fprintf(stderr, "holdfast-server: %s needs the path of a snapshot file%s; try --help\n", argv[0],
                strcmp(argv[0], "verify") == 0 ? " or a directory of them" : "");
    return out->path;
}

bool hf_offline_check_signing(const struct hf_offline_options *options)
{
    if (!options->require_signatures || options->public_key)
        return true;
    fputs("holdfast-server: --require-signatures needs --public-key FILE; try --help\n", stderr);
    return false;
}

static bool set_option(struct hf_offline_options *out, const char *name, size_t bytes, const char *value, bool *known)
{
    const struct {
        const char *name;
        const char **text;
        bool *flag;
    } rows[] = {
        {"--encryption-key-file", &out->encryption_key_file, NULL},
        {"--public-key", &out->public_key, NULL},
        {"--backup-directory", &out->backup_directory, NULL},
        {"--incremental-directory", &out->incremental_directory, NULL},
        {"--output", &out->output, NULL},
        {"--component", &out->components[out->component_count % HF_OFFLINE_COMPONENTS_MAX], NULL},
        {"--json", NULL, &out->json},
        {"--salvage", NULL, &out->salvage},
        {"--require-signatures", NULL, &out->require_signatures},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strlen(rows[i].name) != bytes || strncmp(rows[i].name, name, bytes) != 0)
            continue;
        *known = true;
        if (rows[i].flag)
            *rows[i].flag = true;
        if (rows[i].flag || !value || *rows[i].text)
            return rows[i].flag && !value;
        *rows[i].text = value;
        out->component_count += strcmp(rows[i].name, "--component") == 0;
        return true;
    }
    return false;
}

bool hf_offline_open(struct hf_offline_place *out, const struct hf_offline_options *options, struct hf_error *err)
{
    *out = (struct hf_offline_place){0};
    if (options->backup_directory && options->incremental_directory)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "only the directory beside the given one is named: --backup-directory or "
                            "--incremental-directory, not both");
    char real[PATH_MAX], root[PATH_MAX];
    struct stat status;
    if (!realpath(options->path, real) || stat(real, &status) != 0)
        return hf_error_errno(err, errno, "%s cannot be found", options->path);
    if ((options->encryption_key_file || options->public_key) &&
        !hf_keys_load(&out->keys, options->encryption_key_file, NULL, options->public_key, err))
        return false;
    bool ok = S_ISDIR(status.st_mode) ? open_directory(out, options, real, err)
                                      : split_file(real, out, root, err) && open_root(out, options, root, err);
    if (!ok) {
        hf_offline_close(out);
        return false;
    }
    hf_repository_use_keys(out->repository, out->keys);
    if (options->require_signatures)
        hf_repository_require_signatures(out->repository);
    return true;
}

void hf_offline_close(struct hf_offline_place *place)
{
    hf_repository_close(place->repository);
    hf_keys_free(place->keys);
    place->repository = NULL;
    place->keys = NULL;
}

/* <root>/<system>/<id>.snapshot */
static bool split_file(const char *real, struct hf_offline_place *place, char *root, struct hf_error *err)
{
    char name[NAME_MAX + 1], system[NAME_MAX + 1];
    snprintf(root, PATH_MAX, "%s", real);
    cut_last(root, name, sizeof(name));
    cut_last(root, system, sizeof(system));
    size_t bytes = strlen(name), suffix = strlen(SUFFIX);
    if (bytes <= suffix || bytes - suffix > HF_SNAPSHOT_ID_MAX || strcmp(name + bytes - suffix, SUFFIX) != 0 ||
        !hf_name_is_valid(system, strlen(system)))
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "%.200s is not named as a snapshot file is: SYSTEM/ID.snapshot, in a directory that bears "
                            "the name of its system",
                            real);
    snprintf(place->system, sizeof(place->system), "%s", system);
    snprintf(place->id, sizeof(place->id), "%.*s", (int)(bytes - suffix), name);
    return true;
}

/* A data directory, a mirror, the directory of one system, or one of systems. */
static bool open_directory(struct hf_offline_place *place, const struct hf_offline_options *options, char *real,
                           struct hf_error *err)
{
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        HF_AUTO(free) char *full = hf_format("%s/%s", real, pairs[i].full);
        HF_AUTO(free) char *incremental = hf_format("%s/%s", real, pairs[i].incremental);
        /* A system may have such a name too. */
        if ((is_directory(full) || is_directory(incremental)) && !holds_snapshots(full) &&
            !holds_snapshots(incremental))
            return open_pair(place, full, incremental, err);
    }
    if (holds_snapshots(real)) {
        char system[NAME_MAX + 1];
        cut_last(real, system, sizeof(system));
        if (!hf_name_is_valid(system, strlen(system)))
            return hf_error_set(err, HF_INVALID_REQUEST, "the directory %.200s does not bear the name of a system",
                                options->path);
        snprintf(place->system, sizeof(place->system), "%s", system);
    }
    return open_root(place, options, real, err);
}

static bool open_root(struct hf_offline_place *place, const struct hf_offline_options *options, const char *root,
                      struct hf_error *err)
{
    if (options->incremental_directory)
        return open_pair(place, root, options->incremental_directory, err);
    if (options->backup_directory)
        return open_pair(place, options->backup_directory, root, err);
    char parent[PATH_MAX], name[NAME_MAX + 1];
    snprintf(parent, sizeof(parent), "%s", root);
    cut_last(parent, name, sizeof(name));
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (strcmp(name, pairs[i].full) != 0 && strcmp(name, pairs[i].incremental) != 0)
            continue;
        HF_AUTO(free) char *full = hf_format("%s/%s", parent, pairs[i].full);
        HF_AUTO(free) char *incremental = hf_format("%s/%s", parent, pairs[i].incremental);
        return open_pair(place, full, incremental, err);
    }
    return open_pair(place, root, root, err);
}

/* One of them may be missing: then the other is both. */
static bool open_pair(struct hf_offline_place *place, const char *full, const char *incremental, struct hf_error *err)
{
    const char *one = is_directory(full) ? full : incremental;
    return hf_repository_open_existing(&place->repository, one, is_directory(incremental) ? incremental : one, err);
}

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool holds_snapshots(const char *path)
{
    DIR *directory = opendir(path);
    bool some = false;
    for (const struct dirent *entry; directory && !some && (entry = readdir(directory));) {
        size_t bytes = strlen(entry->d_name);
        some = bytes > strlen(SUFFIX) && strcmp(entry->d_name + bytes - strlen(SUFFIX), SUFFIX) == 0;
    }
    if (directory)
        closedir(directory);
    return some;
}

/* "/a/b" becomes "/a" and "b". */
static void cut_last(char *path, char *last, size_t last_bytes)
{
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t bytes = strnlen(name, last_bytes - 1);
    memcpy(last, name, bytes);
    last[bytes] = '\0';
    if (slash)
        slash[slash == path] = '\0';
}

static bool verify_found(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                         const struct hf_error *damage)
{
    (void)file, (void)file_bytes;
    struct verifying *verifying = context;
    const struct hf_verify_report nothing = {0};
    if (damage)
        tell_one(verifying, header->system, header->id, &nothing, damage);
    else /* what it refers to in other files is read when those are verified */
        verify_one(verifying, header->system, header->id, false);
    return true;
}

static void verify_one(struct verifying *verifying, const char *system, const char *id, bool deep)
{
    struct hf_verify_report report;
    struct hf_error err;
    const struct hf_verify_options how = {.deep = deep};
    if (hf_repository_verify(verifying->place.repository, system, id, &how, &report, &err))
        tell_one(verifying, system, id, &report, NULL);
    else if (deep || err.code != HF_NOT_FOUND) /* deleted since it was listed */
        tell_one(verifying, system, id, &report, &err);
}

static void tell_one(struct verifying *verifying, const char *system, const char *id,
                     const struct hf_verify_report *report, const struct hf_error *err_or_null)
{
    bool damaged = err_or_null && err_or_null->code == HF_DAMAGED;
    struct hf_error elsewhere;
    HF_AUTO(free) char *owner = NULL;
    bool misplaced =
        damaged && !report->structure_ok && hf_repository_is_misplaced(verifying->place.repository, system, id, &owner);
    if (misplaced) {
        hf_error_set(&elsewhere, HF_DAMAGED, "it is the sound file of %s; give it its own name back", owner);
        err_or_null = &elsewhere;
        damaged = false;
    }
    const char *status = misplaced ? "misplaced" : damaged ? "damaged" : err_or_null ? "unreadable" : "sound";
    bool keys = verifying->options->public_key;
    verifying->files++;
    verifying->damaged += damaged;
    verifying->misplaced += misplaced;
    verifying->unreadable += err_or_null && !damaged && !misplaced;
    verifying->sound += !err_or_null;
    verifying->unproven += !err_or_null && report->signature != HF_SIGNATURE_GOOD;
    if (!verifying->options->json) {
        printf("%-10s %s/%s" SUFFIX, status, system, id);
        if (err_or_null)
            printf(": %s\n", err_or_null->text);
        else
            printf(": %lld contents, %lld bytes%s%s\n", (long long)report->blobs, (long long)report->bytes,
                   keys ? ", " : "", keys ? describe_signature(report->signature) : "");
        return;
    }
    HF_AUTO(buf) struct hf_buf line;
    hf_buf_init(&line, 8192);
    hf_buf_add_format(&line, "{\"file\":\"%s/%s" SUFFIX "\",\"status\":\"%s\",\"reason\":", system, id, status);
    if (err_or_null)
        hf_buf_add_json_string(&line, err_or_null->text, strlen(err_or_null->text));
    else
        hf_buf_add_text(&line, "null");
    hf_buf_add_format(&line, ",\"contents\":%lld,\"bytes\":%lld,\"signature\":\"%s\"}", (long long)report->blobs,
                      (long long)report->bytes, describe_signature(report->signature));
    puts(line.data);
}

static const char *describe_signature(int signature)
{
    switch (signature) {
    case HF_SIGNATURE_GOOD:
        return "signed";
    case HF_SIGNATURE_UNKNOWN:
        return "signed with another key";
    case HF_SIGNATURE_BAD:
        return "signature does not fit";
    default:
        return "not signed";
    }
}

/* A wrong path must not look like a good end: no file at all is not sound. */
static int tell_verdict(const struct verifying *verifying)
{
    int exit_code = verifying->damaged || verifying->misplaced   ? HF_OFFLINE_DAMAGED
                    : verifying->unreadable || !verifying->files ? HF_OFFLINE_UNREADABLE
                                                                 : HF_OFFLINE_SOUND;
    if (verifying->options->json) {
        printf("{\"files\":%lld,\"sound\":%lld,\"damaged\":%lld,\"misplaced\":%lld,\"unreadable\":%lld,"
               "\"withoutTrustedSignature\":%lld,"
               "\"exitCode\":%d}\n",
               (long long)verifying->files, (long long)verifying->sound, (long long)verifying->damaged,
               (long long)verifying->misplaced, (long long)verifying->unreadable, (long long)verifying->unproven,
               exit_code);
        return exit_code;
    }
    printf("%lld snapshot file%s, %lld sound", (long long)verifying->files, verifying->files == 1 ? "" : "s",
           (long long)verifying->sound);
    if (verifying->damaged)
        printf(", %lld damaged", (long long)verifying->damaged);
    if (verifying->misplaced)
        printf(", %lld under another name", (long long)verifying->misplaced);
    if (verifying->unreadable)
        printf(", %lld that could not be read", (long long)verifying->unreadable);
    if (verifying->options->public_key && verifying->unproven)
        printf(", %lld without a signature of this key", (long long)verifying->unproven);
    putchar('\n');
    return exit_code;
}
