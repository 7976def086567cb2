/* holdfast-server extract: one snapshot's states as files, laid out as in its archive. */
#include "server/offline.h"

#include "core/auto.h"
#include "repository/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750
#define FILE_MODE      0640

struct extracting {
    const struct hf_offline_options *options;
    struct hf_offline_place place;
    struct hf_chain *chain;
    char *target;       /* owns; what --output names */
    char *partial;      /* owns; beside it: where everything is written until it is whole; NULL: not made yet */
    int output, states; /* directories, of partial */
    bool *is_written;   /* owns; for each entry of the chain */
    int64_t written, lost;
    bool whole; /* all that the snapshot listed is known */
};

static int extract(struct extracting *extracting, struct hf_error *err);
static bool open_chain(struct extracting *extracting, struct hf_error *err);
static bool check_signature(const struct extracting *extracting, struct hf_error *err);
static bool check_components(const struct extracting *extracting, struct hf_error *err);
static bool open_output(struct extracting *extracting, struct hf_error *err);
static bool publish(struct extracting *extracting, struct hf_error *err);
static void remove_partial(struct extracting *extracting);
static bool is_empty(int directory);
static bool write_manifest(struct extracting *extracting, struct hf_error *err);
static bool write_states(struct extracting *extracting, struct hf_error *err);
static bool is_selected(const struct hf_offline_options *options, const char *component);
static bool write_state(struct extracting *extracting, const struct hf_manifest_entry *entry, struct hf_error *err);
static bool make_file(int directory, const char *name, int *fd_out, struct hf_error *err);
static bool finish_file(int *fd, const char *name, int64_t at_ms, struct hf_error *err);
static bool write_bytes(void *context, const void *data, size_t bytes, struct hf_error *err);
static int exit_code_of(enum hf_code code);

int hf_offline_extract(int argc, char *argv[])
{
    struct hf_offline_options options;
    if (!hf_offline_read_options(argc, argv, &options))
        return HF_OFFLINE_USAGE;
    if (!options.output || options.json) {
        fputs("holdfast-server: extract needs --output DIRECTORY, and has no --json; try --help\n", stderr);
        return HF_OFFLINE_USAGE;
    }
    if (!hf_offline_check_signing(&options))
        return HF_OFFLINE_USAGE;
    struct extracting extracting = {.options = &options, .output = -1, .states = -1, .whole = true};
    struct hf_error err;
    int exit_code = extract(&extracting, &err);
    if (extracting.partial)
        remove_partial(&extracting);
    hf_chain_free(extracting.chain);
    hf_offline_close(&extracting.place);
    hf_auto_close(&extracting.states);
    hf_auto_close(&extracting.output);
    free(extracting.partial);
    free(extracting.target);
    free(extracting.is_written);
    return exit_code;
}

static int extract(struct extracting *extracting, struct hf_error *err)
{
    if (!hf_offline_open(&extracting->place, extracting->options, err) || !open_chain(extracting, err) ||
        !check_components(extracting, err) || !open_output(extracting, err) || !write_states(extracting, err) ||
        !write_manifest(extracting, err) || !publish(extracting, err)) {
        fprintf(stderr, "holdfast-server: %s\n", err->text);
        if (err->code == HF_DAMAGED && !extracting->options->salvage && !extracting->options->require_signatures)
            fputs("What is left can be written with --salvage.\n", stderr);
        return exit_code_of(err->code);
    }
    printf("%lld state%s written to %s", (long long)extracting->written, extracting->written == 1 ? "" : "s",
           extracting->options->output);
    if (extracting->lost)
        printf(", %lld lost", (long long)extracting->lost);
    puts(extracting->whole ? "" : ", and there may have been others");
    return extracting->lost || !extracting->whole ? HF_OFFLINE_DAMAGED : HF_OFFLINE_SOUND;
}

static bool open_chain(struct extracting *extracting, struct hf_error *err)
{
    const struct hf_offline_place *place = &extracting->place;
    if (!place->id[0])
        return hf_error_set(err, HF_INVALID_REQUEST, "extract takes one snapshot file, not a directory");
    bool may_salvage = extracting->options->salvage;
    bool loaded = hf_chain_load(&extracting->chain, place->repository, place->system, place->id, err);
    if (!loaded && (err->code != HF_DAMAGED || !may_salvage))
        return false;
    char why[480];
    if (!loaded && !hf_chain_salvage(&extracting->chain, place->repository, place->system, place->id,
                                     &extracting->whole, why, err))
        return false;
    if (!extracting->whole && extracting->options->require_signatures)
        return hf_error_set(err, HF_DAMAGED, "no signature vouches for a part of a list of components: %.160s", why);
    if (!extracting->whole)
        fprintf(stderr, "holdfast-server: the list of components may not be whole: %s\n", why);
    return check_signature(extracting, err);
}

/* What does not fit can be had by who goes on past damage; what is required cannot be had without. */
static bool check_signature(const struct extracting *extracting, struct hf_error *err)
{
    const struct hf_offline_options *options = extracting->options;
    int verdict;
    if (hf_repository_check_signature(extracting->place.repository, extracting->chain, &verdict, err))
        return true;
    if (!options->salvage || options->require_signatures)
        return false;
    fprintf(stderr, "holdfast-server: %s\n", err->text);
    return true;
}

static bool check_components(const struct extracting *extracting, struct hf_error *err)
{
    for (int i = 0; i < extracting->options->component_count; i++) {
        const char *name = extracting->options->components[i];
        const struct hf_manifest_entry *entry = hf_chain_find(extracting->chain, name);
        if (!entry || !hf_manifest_entry_is_present(entry))
            return hf_error_set(err, HF_INVALID_REQUEST, "the snapshot has no state of a component %.128s", name);
    }
    return true;
}

/* A new directory, or an empty one: nothing is ever written over. Until all is there it has another name, so that what
 * breaks off leaves nothing that looks whole. */
static bool open_output(struct extracting *extracting, struct hf_error *err)
{
    const char *path = extracting->options->output;
    char real[PATH_MAX];
    HF_AUTO(close) int there = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (there < 0 && errno != ENOENT)
        return hf_error_errno(err, errno, "the directory %s cannot be opened", path);
    if (there >= 0 && !is_empty(there))
        return hf_error_set(err, HF_INVALID_REQUEST, "%s is not empty; name a new directory", path);
    if (there >= 0 && !realpath(path, real)) /* "." and links have no place beside them */
        return hf_error_errno(err, errno, "the directory %s cannot be found", path);
    extracting->target = hf_strdup(there >= 0 ? real : path);
    for (size_t end = strlen(extracting->target); end > 1 && extracting->target[end - 1] == '/'; end--)
        extracting->target[end - 1] = '\0';
    char *partial = hf_format("%s.partial-XXXXXX", extracting->target);
    if (!mkdtemp(partial)) {
        hf_error_errno(err, errno, "the directory %s cannot be made", partial);
        free(partial);
        return false;
    }
    extracting->partial = partial;
    extracting->output = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (extracting->output < 0 || fchmod(extracting->output, DIRECTORY_MODE) != 0 ||
        mkdirat(extracting->output, "states", DIRECTORY_MODE) != 0)
        return hf_error_errno(err, errno, "the directory %s/states cannot be made", partial);
    extracting->states = openat(extracting->output, "states", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return extracting->states >= 0 || hf_error_errno(err, errno, "the directory %s/states cannot be opened", partial);
}

/* Onto an empty directory, or where there is none. */
static bool publish(struct extracting *extracting, struct hf_error *err)
{
    if (rename(extracting->partial, extracting->target) != 0)
        return hf_error_errno(err, errno, "the directory %s cannot be given its name %s", extracting->partial,
                              extracting->target);
    free(extracting->partial);
    extracting->partial = NULL;
    return true;
}

/* Exactly what was made here; anything else that lies there keeps the directory. */
static void remove_partial(struct extracting *extracting)
{
    for (int64_t i = 0; extracting->states >= 0 && i < hf_chain_count(extracting->chain); i++)
        unlinkat(extracting->states, hf_chain_entry(extracting->chain, i)->component, 0);
    if (extracting->output >= 0) {
        unlinkat(extracting->output, "states", AT_REMOVEDIR);
        unlinkat(extracting->output, "manifest.json", 0);
    }
    if (rmdir(extracting->partial) != 0)
        fprintf(stderr, "holdfast-server: %s is left over: %s\n", extracting->partial, strerror(errno));
}

static bool is_empty(int directory)
{
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    bool empty = list != NULL;
    for (const struct dirent *entry; empty && (entry = readdir(list));)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (list)
        closedir(list);
    else if (copy >= 0)
        close(copy);
    return empty;
}

static bool write_manifest(struct extracting *extracting, struct hf_error *err)
{
    HF_AUTO(close) int fd = -1;
    int64_t at_ms = hf_chain_header(extracting->chain)->cut_at_ms;
    const struct hf_writer to = {write_bytes, &fd};
    bool salvaged = extracting->lost || !extracting->whole;
    return make_file(extracting->output, "manifest.json", &fd, err) &&
           (salvaged ? hf_archive_write_salvaged_manifest(extracting->chain, extracting->is_written, &to, err)
                     : hf_archive_write_manifest(extracting->chain, &to, err)) &&
           finish_file(&fd, "manifest.json", at_ms, err);
}

static bool write_states(struct extracting *extracting, struct hf_error *err)
{
    extracting->is_written = hf_alloc((size_t)hf_chain_count(extracting->chain) + 1);
    for (int64_t i = 0; i < hf_chain_count(extracting->chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(extracting->chain, i);
        if (!hf_manifest_entry_is_present(entry) || !is_selected(extracting->options, entry->component))
            continue;
        if (write_state(extracting, entry, err)) {
            extracting->is_written[i] = true;
            extracting->written++;
            continue;
        }
        if (err->code != HF_DAMAGED || !extracting->options->salvage)
            return false;
        extracting->lost++;
        fprintf(stderr, "lost: %s version %lld: %s\n", entry->component, (long long)entry->version, err->text);
    }
    return true;
}

static bool is_selected(const struct hf_offline_options *options, const char *component)
{
    bool selected = options->component_count == 0;
    for (int i = 0; i < options->component_count && !selected; i++)
        selected = strcmp(options->components[i], component) == 0;
    return selected;
}

/* Names of components hold no slash and begin with a letter or digit: they cannot lead out of the directory. */
static bool write_state(struct extracting *extracting, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_AUTO(close) int fd = -1;
    HF_ASSERT(hf_name_is_valid(entry->component, strlen(entry->component)));
    return hf_chain_read(extracting->chain, entry, &blob, err) &&
           make_file(extracting->states, entry->component, &fd, err) &&
           write_bytes(&fd, blob->data, blob->bytes, err) &&
           finish_file(&fd, entry->component, entry->committed_at_ms, err);
}

static bool make_file(int directory, const char *name, int *fd_out, struct hf_error *err)
{
    *fd_out = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    return *fd_out >= 0 || hf_error_errno(err, errno, "the file %s cannot be made", name);
}

static bool finish_file(int *fd, const char *name, int64_t at_ms, struct hf_error *err)
{
    const struct timespec at = {.tv_sec = at_ms > 0 ? (time_t)(at_ms / 1000) : 0};
    const struct timespec times[2] = {at, at};
    bool ok = futimens(*fd, times) == 0;
    ok = close(*fd) == 0 && ok;
    *fd = -1;
    return ok || hf_error_errno(err, errno, "the file %s cannot be written", name);
}

static bool write_bytes(void *context, const void *data, size_t bytes, struct hf_error *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote = write(*(const int *)context, (const char *)data + done, bytes - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return hf_error_errno(err, wrote < 0 ? errno : EIO, "the output cannot be written");
        done += (size_t)wrote;
    }
    return true;
}

static int exit_code_of(enum hf_code code)
{
    if (code == HF_DAMAGED)
        return HF_OFFLINE_DAMAGED;
    return code == HF_INVALID_REQUEST ? HF_OFFLINE_USAGE : HF_OFFLINE_UNREADABLE;
}
