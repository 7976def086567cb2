#include "client/outbox.h"

#include "client/outbox_file.h"
#include "client/problem.h"
#include "core/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE        "lock"
#define STATE_SUFFIX     ".state"
#define TEMPORARY_PREFIX ".tmp-"
#define DAMAGED_SUFFIX   ".damaged"
#define FILES_MAX        1000000 /* more than that cannot be meant */
#define NAMES_TRIED_MAX  100     /* of temporary files */
#define PATH_BYTES       (HF_OUTBOX_NAME_BYTES + 48)

struct hf_outbox {
    char *directory;
    char *system;
    int directory_fd;
    int lock_fd;
    atomic_uint_fast64_t temporary; /* number of the next temporary file */
    pthread_mutex_t sync_lock;      /* protects what follows: savers share an fsync of the directory */
    pthread_cond_t synced;
    uint64_t changes, changes_synced;
    bool syncing, broken;
};

/* The states found by a scan. */
struct findings {
    struct hf_queue_state **states;
    size_t count, capacity;
};

static bool open_directory(struct hf_outbox *outbox, struct holdfast_error *err);
static bool sync_parent(struct hf_outbox *outbox, bool made, struct holdfast_error *err);
static bool lock(struct hf_outbox *outbox, struct holdfast_error *err);
static void remove_unfinished(struct hf_outbox *outbox);
static DIR *list(const struct hf_outbox *outbox);
static bool scan_one(struct hf_outbox *outbox, const char *name, struct findings *findings,
                     const struct hf_outbox_visitor *visitor, struct holdfast_error *err);
static void note_damaged(struct hf_outbox *outbox, const char *name, const struct hf_outbox_visitor *visitor);
static int open_file(const struct hf_outbox *outbox, const char *name, struct stat *status_out);
static bool has_suffix(const char *name, const char *suffix);
static int by_time(const void *a, const void *b);
static bool is_broken(struct hf_outbox *outbox);
static bool fail_broken(const struct hf_outbox *outbox, struct holdfast_error *err);
static int create_temporary(struct hf_outbox *outbox, const char *name, char out[PATH_BYTES]);
static bool write_file(struct hf_outbox *outbox, int fd, const struct hf_queue_state *state,
                       struct holdfast_error *err);
static bool write_all(int fd, const void *data, size_t bytes);
static enum hf_outbox_reading read_file(struct hf_outbox *outbox, int fd, struct hf_outbox_header *header,
                                        struct hf_blob **data_out, struct holdfast_error *err);
static enum hf_outbox_reading check_file(struct hf_outbox *outbox, int fd, struct holdfast_error *err);
static bool read_all(int fd, void *out, size_t bytes, off_t offset, size_t *got_out);
static bool rename_aside(struct hf_outbox *outbox, const char *name, const char *suffix);
static bool fail_to_clear(struct hf_outbox *outbox, const char *name, bool mark, struct holdfast_error *err);
static bool mark_done(struct hf_outbox *outbox, const char *name);
static bool fail(const struct hf_outbox *outbox, struct holdfast_error *err, const char *what);

bool hf_outbox_open(const char *directory, const char *system, struct hf_outbox **out, struct holdfast_error *err)
{
    struct hf_outbox *outbox = hf_alloc(sizeof(*outbox));
    outbox->directory = hf_strdup(directory);
    outbox->system = hf_strdup(system);
    outbox->directory_fd = outbox->lock_fd = -1;
    pthread_mutex_init(&outbox->sync_lock, NULL);
    pthread_cond_init(&outbox->synced, NULL);
    if (!open_directory(outbox, err)) {
        hf_outbox_close(outbox);
        return false;
    }
    remove_unfinished(outbox);
    *out = outbox;
    return true;
}

void hf_outbox_close(struct hf_outbox *outbox)
{
    if (!outbox)
        return;
    hf_auto_close(&outbox->lock_fd);
    hf_auto_close(&outbox->directory_fd);
    pthread_cond_destroy(&outbox->synced);
    pthread_mutex_destroy(&outbox->sync_lock);
    free(outbox->directory);
    free(outbox->system);
    free(outbox);
}

bool hf_outbox_take_turn(struct hf_outbox *outbox, uint64_t writer_out[2], int64_t *turn_out)
{
    return hf_outbox_file_take_turn(outbox->lock_fd, writer_out, turn_out);
}

bool hf_outbox_scan(struct hf_outbox *outbox, const struct hf_outbox_visitor *visitor, struct holdfast_error *err)
{
    struct findings findings = {NULL};
    DIR *directory = list(outbox);
    bool ok = directory || fail(outbox, err, "its directory cannot be listed");
    for (struct dirent *entry; ok && (errno = 0, entry = readdir(directory));)
        if (has_suffix(entry->d_name, STATE_SUFFIX))
            ok = scan_one(outbox, entry->d_name, &findings, visitor, err);
    if (ok && errno != 0)
        ok = fail(outbox, err, "its directory cannot be listed");
    if (directory)
        closedir(directory);
    if (findings.count > 1)
        qsort(findings.states, findings.count, sizeof(struct hf_queue_state *), by_time);
    for (size_t i = 0; i < findings.count; i++)
        if (ok)
            visitor->found(visitor->context, findings.states[i]);
        else
            hf_queue_state_free(findings.states[i]);
    free(findings.states);
    return ok;
}

bool hf_outbox_put(struct hf_outbox *outbox, const struct hf_queue_state *state, struct holdfast_error *err)
{
    char name[HF_OUTBOX_NAME_BYTES], temporary[PATH_BYTES];
    if (is_broken(outbox))
        return fail_broken(outbox, err);
    hf_outbox_file_name(state->component, name);
    int fd = create_temporary(outbox, name, temporary);
    if (fd < 0)
        return fail(outbox, err, "a state cannot be written");
    if (!write_file(outbox, fd, state, err)) {
        unlinkat(outbox->directory_fd, temporary, 0);
        return false;
    }
    if (hf_fault("outbox_before_rename") ||
        renameat(outbox->directory_fd, temporary, outbox->directory_fd, name) != 0) {
        fail(outbox, err, "a state cannot be renamed");
        unlinkat(outbox->directory_fd, temporary, 0);
        return false;
    }
    (void)hf_fault("outbox_after_rename");
    return hf_outbox_sync(outbox, err);
}

enum hf_outbox_reading hf_outbox_read(struct hf_outbox *outbox, const char *component, struct hf_queue_state **out,
                                      struct holdfast_error *err)
{
    char name[HF_OUTBOX_NAME_BYTES];
    hf_outbox_file_name(component, name);
    struct stat status;
    HF_AUTO(close) int fd = open_file(outbox, name, &status);
    if (fd < 0 && errno == ENOENT) {
        hf_problem_set(err, HF_QUEUE_OUTBOX, false, "outbox %s: the state of %s is not there any more",
                       outbox->directory, component);
        return HF_OUTBOX_GONE;
    }
    if (fd < 0 && errno != ELOOP && errno != ENXIO) {
        fail(outbox, err, "a state cannot be opened");
        return HF_OUTBOX_LATER;
    }
    struct hf_outbox_header header;
    struct hf_blob *data = NULL;
    enum hf_outbox_reading reading = HF_OUTBOX_DAMAGED;
    if (fd >= 0 && S_ISREG(status.st_mode))
        reading = read_file(outbox, fd, &header, &data, err);
    if (reading == HF_OUTBOX_READ &&
        (strcmp(header.state.component, component) != 0 || strcmp(header.system, outbox->system) != 0))
        reading = HF_OUTBOX_DAMAGED;
    if (reading == HF_OUTBOX_DAMAGED)
        hf_problem_set(err, HF_QUEUE_OUTBOX, false,
                       "outbox %s: the state of %s is damaged; it is set aside under a name that ends in .damaged",
                       outbox->directory, component);
    if (reading != HF_OUTBOX_READ) {
        hf_blob_unref(data);
        return reading;
    }
    *out = hf_alloc(sizeof(**out));
    **out = header.state;
    hf_hash_of(data->data, data->bytes, &(*out)->hash);
    (*out)->data = data;
    return HF_OUTBOX_READ;
}

bool hf_outbox_remove(struct hf_outbox *outbox, const char *component, struct holdfast_error *err)
{
    char name[HF_OUTBOX_NAME_BYTES];
    hf_outbox_file_name(component, name);
    errno = EIO;
    if (!hf_fault("outbox_before_remove") && (unlinkat(outbox->directory_fd, name, 0) == 0 || errno == ENOENT))
        return true;
    return fail_to_clear(outbox, name, true, err);
}

bool hf_outbox_set_aside(struct hf_outbox *outbox, const char *component, const char *suffix,
                         struct holdfast_error *err)
{
    char name[HF_OUTBOX_NAME_BYTES];
    hf_outbox_file_name(component, name);
    return rename_aside(outbox, name, suffix) || fail_to_clear(outbox, name, strcmp(suffix, DAMAGED_SUFFIX) != 0, err);
}

/* One thread fsyncs for all whose change was made before it began. A directory whose fsync failed once may say yes the
 * next time without having written anything, so that nothing is believed of it any more. */
bool hf_outbox_sync(struct hf_outbox *outbox, struct holdfast_error *err)
{
    pthread_mutex_lock(&outbox->sync_lock);
    uint64_t mine = ++outbox->changes;
    while (outbox->changes_synced < mine && !outbox->broken) {
        if (outbox->syncing) {
            pthread_cond_wait(&outbox->synced, &outbox->sync_lock);
            continue;
        }
        uint64_t covered = outbox->changes;
        outbox->syncing = true;
        pthread_mutex_unlock(&outbox->sync_lock);
        bool ok = !hf_fault("outbox_directory_sync") && fsync(outbox->directory_fd) == 0;
        pthread_mutex_lock(&outbox->sync_lock);
        outbox->syncing = false;
        outbox->changes_synced = ok ? covered : outbox->changes_synced;
        outbox->broken = outbox->broken || !ok;
        pthread_cond_broadcast(&outbox->synced);
    }
    bool ok = outbox->changes_synced >= mine;
    pthread_mutex_unlock(&outbox->sync_lock);
    return ok || fail_broken(outbox, err);
}

static bool open_directory(struct hf_outbox *outbox, struct holdfast_error *err)
{
    bool made = mkdir(outbox->directory, 0700) == 0;
    if (!made && errno != EEXIST)
        return fail(outbox, err, "its directory cannot be made");
    outbox->directory_fd = open(outbox->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (outbox->directory_fd < 0)
        return fail(outbox, err, "its directory cannot be opened");
    return sync_parent(outbox, made, err) && lock(outbox, err);
}

/* Also of a directory that was there: who made it may have died, or failed, before it was on disk. One that we did not
 * make may lie in a place that cannot be read, or is no disk. */
static bool sync_parent(struct hf_outbox *outbox, bool made, struct holdfast_error *err)
{
    HF_AUTO(close) int parent = openat(outbox->directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    errno = EIO;
    bool ok = parent >= 0 && !hf_fault("outbox_parent_sync") && fsync(parent) == 0;
    if (ok || (!made && (parent < 0 || errno != EIO)))
        return true;
    fail(outbox, err, "its directory cannot be written to disk");
    if (made)
        rmdir(outbox->directory);
    return false;
}

static bool lock(struct hf_outbox *outbox, struct holdfast_error *err)
{
    outbox->lock_fd = openat(outbox->directory_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (outbox->lock_fd < 0)
        return fail(outbox, err, "its lock file cannot be opened");
    bool locked = flock(outbox->lock_fd, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno != EWOULDBLOCK)
        return fail(outbox, err, "it cannot be locked");
    /* Not every file system can lock a directory. */
    if (locked && (flock(outbox->directory_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK))
        return true;
    return hf_problem_set(err, HF_QUEUE_OUTBOX, true,
                          "outbox %s: another queue has it open; give each process a directory of its own",
                          outbox->directory);
}

/* Under temporary names lies what never was said to be queued. */
static void remove_unfinished(struct hf_outbox *outbox)
{
    DIR *directory = list(outbox);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0)
            unlinkat(outbox->directory_fd, entry->d_name, 0);
    closedir(directory);
}

/* errno says why it is NULL. */
static DIR *list(const struct hf_outbox *outbox)
{
    int fd = openat(outbox->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !directory)
        close(fd);
    return directory;
}

/* The first lines only: what follows is read, and checked, when it is sent. */
static bool scan_one(struct hf_outbox *outbox, const char *name, struct findings *findings,
                     const struct hf_outbox_visitor *visitor, struct holdfast_error *err)
{
    char text[HF_OUTBOX_HEADER_MAX], expected[HF_OUTBOX_NAME_BYTES];
    struct hf_outbox_header header;
    size_t got;
    struct stat status;
    HF_AUTO(close) int fd = open_file(outbox, name, &status);
    bool file = fd >= 0 && S_ISREG(status.st_mode);
    if ((fd < 0 && errno != ELOOP && errno != ENXIO) || (file && !read_all(fd, text, sizeof(text), 0, &got)))
        return fail(outbox, err, "a state cannot be read");
    if (file && hf_outbox_file_is_done(text, got)) {
        unlinkat(outbox->directory_fd, name, 0); /* should it stay, it is no worse than before */
        return true;
    }
    bool sensible =
        file && hf_outbox_file_read_header(text, got, &header) && (uint64_t)status.st_size >= header.header_bytes;
    if (sensible)
        hf_outbox_file_name(header.state.component, expected);
    bool other = sensible && strcmp(header.system, outbox->system) != 0;
    enum hf_outbox_reading reading = other ? check_file(outbox, fd, err) : HF_OUTBOX_READ;
    if (reading == HF_OUTBOX_LATER)
        return false;
    if (!sensible || strcmp(name, expected) != 0 || reading != HF_OUTBOX_READ) {
        note_damaged(outbox, name, visitor);
        return true;
    }
    if (other)
        return hf_problem_set(err, HF_QUEUE_OUTBOX, false,
                              "outbox %s: it holds states of system %.128s, and this handle is for %s; give each "
                              "system a directory of its own",
                              outbox->directory, header.system, outbox->system);
    if (findings->count >= FILES_MAX)
        return hf_problem_set(err, HF_QUEUE_OUTBOX, false, "outbox %s: it holds more than %d states", outbox->directory,
                              FILES_MAX);
    if (findings->count == findings->capacity) {
        findings->capacity = findings->capacity ? findings->capacity * 2 : 64;
        findings->states = hf_realloc(findings->states, findings->capacity * sizeof(struct hf_queue_state *));
    }
    struct hf_queue_state *state = hf_alloc(sizeof(*state));
    *state = header.state;
    state->bytes = (size_t)status.st_size - header.header_bytes; /* whatever the line says */
    findings->states[findings->count++] = state;
    return true;
}

static void note_damaged(struct hf_outbox *outbox, const char *name, const struct hf_outbox_visitor *visitor)
{
    struct holdfast_error told;
    if (rename_aside(outbox, name, DAMAGED_SUFFIX))
        hf_problem_set(&told, HF_QUEUE_OUTBOX, false,
                       "outbox: the file %.128s is damaged; it is set aside under a name that ends in " DAMAGED_SUFFIX,
                       name);
    else
        hf_problem_set(
            &told, HF_QUEUE_OUTBOX, false,
            "outbox: the file %.128s is damaged; it is not sent, and could not be renamed to end in " DAMAGED_SUFFIX
            ": %s",
            name, strerror(errno));
    visitor->damaged(visitor->context, name, &told);
}

/* Something may lie under the name that is no file at all: a pipe, that must not be waited for; a link, or a socket,
 * which cannot be opened (ELOOP, ENXIO). Below 0: errno says why. */
static int open_file(const struct hf_outbox *outbox, const char *name, struct stat *status_out)
{
    int fd = openat(outbox->directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, status_out) == 0)
        return fd;
    hf_auto_close(&fd);
    return -1;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t length = strlen(name), suffix_length = strlen(suffix);
    return name[0] != '.' && length > suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static int by_time(const void *a, const void *b)
{
    const struct hf_queue_state *first = *(struct hf_queue_state *const *)a;
    const struct hf_queue_state *second = *(struct hf_queue_state *const *)b;
    return (first->queued_at_ms > second->queued_at_ms) - (first->queued_at_ms < second->queued_at_ms);
}

static bool is_broken(struct hf_outbox *outbox)
{
    pthread_mutex_lock(&outbox->sync_lock);
    bool broken = outbox->broken;
    pthread_mutex_unlock(&outbox->sync_lock);
    return broken;
}

static bool fail_broken(const struct hf_outbox *outbox, struct holdfast_error *err)
{
    return hf_problem_set(
        err, HF_QUEUE_OUTBOX, false,
        "outbox %s: the directory could not be written to disk; nothing can be kept there, nor surely "
        "removed, until it is opened again",
        outbox->directory);
}

/* What else begins with a dot may have such a name already, and stay. Below 0: errno says why. */
static int create_temporary(struct hf_outbox *outbox, const char *name, char out[PATH_BYTES])
{
    int fd = -1;
    errno = EEXIST;
    for (int i = 0; i < NAMES_TRIED_MAX && fd < 0 && errno == EEXIST; i++) {
        snprintf(out, PATH_BYTES, TEMPORARY_PREFIX "%llu-%s",
                 (unsigned long long)atomic_fetch_add(&outbox->temporary, 1), name);
        fd = openat(outbox->directory_fd, out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    return fd;
}

/* Closes fd. */
static bool write_file(struct hf_outbox *outbox, int fd, const struct hf_queue_state *state, struct holdfast_error *err)
{
    HF_AUTO(buf) struct hf_buf header;
    hf_buf_init(&header, HF_OUTBOX_HEADER_MAX);
    hf_outbox_file_write_header(&header, outbox->system, state);
    HF_ASSERT(!header.failed);
    if (hf_fault("outbox_no_space"))
        errno = ENOSPC;
    else if (write_all(fd, header.data, header.bytes) && !hf_fault("outbox_midway") &&
             write_all(fd, state->data->data, state->bytes) && fsync(fd) == 0)
        return close(fd) == 0 || fail(outbox, err, "a state cannot be written");
    fail(outbox, err, "a state cannot be written");
    close(fd);
    return false;
}

static bool write_all(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        errno = EIO; /* for a disk that takes nothing, and says nothing */
        ssize_t written = write(fd, at, bytes);
        if (written == 0 || (written < 0 && errno != EINTR))
            return false;
        if (written > 0) {
            at += written;
            bytes -= (size_t)written;
        }
    }
    return true;
}

/* What is sound is what somebody put, whatever it is about. Owns *data_out. */
static enum hf_outbox_reading read_file(struct hf_outbox *outbox, int fd, struct hf_outbox_header *header,
                                        struct hf_blob **data_out, struct holdfast_error *err)
{
    char text[HF_OUTBOX_HEADER_MAX];
    struct stat status;
    size_t got;
    if (fstat(fd, &status) != 0 || !read_all(fd, text, sizeof(text), 0, &got)) {
        fail(outbox, err, "a state cannot be read");
        return HF_OUTBOX_LATER;
    }
    if (!hf_outbox_file_read_header(text, got, header) ||
        (uint64_t)status.st_size != header->header_bytes + (uint64_t)header->state.bytes)
        return HF_OUTBOX_DAMAGED;
    HF_AUTO(blob) struct hf_blob *data = hf_blob_new(header->state.bytes);
    if (!data) {
        hf_problem_set(err, HF_PROBLEM_NO_MEMORY, true, "component %s: there is no memory for %zu bytes",
                       header->state.component, header->state.bytes);
        return HF_OUTBOX_LATER;
    }
    if (!read_all(fd, data->data, header->state.bytes, (off_t)header->header_bytes, &data->bytes)) {
        fail(outbox, err, "a state cannot be read");
        return HF_OUTBOX_LATER;
    }
    if (data->bytes != header->state.bytes || !hf_outbox_file_is_sound(header, text, data->data, data->bytes))
        return HF_OUTBOX_DAMAGED;
    *data_out = hf_blob_ref(data);
    return HF_OUTBOX_READ;
}

/* Up to bytes, fewer only at the end of the file. */
static bool read_all(int fd, void *out, size_t bytes, off_t offset, size_t *got_out)
{
    size_t got = 0;
    errno = EIO;
    if (hf_fault("outbox_read"))
        return false;
    while (got < bytes) {
        ssize_t more = pread(fd, (char *)out + got, bytes - got, offset + (off_t)got);
        if (more < 0 && errno != EINTR)
            return false;
        if (more == 0)
            break;
        got += more > 0 ? (size_t)more : 0;
    }
    *got_out = got;
    return true;
}

/* err is filled for HF_OUTBOX_LATER. */
static enum hf_outbox_reading check_file(struct hf_outbox *outbox, int fd, struct holdfast_error *err)
{
    struct hf_outbox_header header;
    struct hf_blob *data = NULL;
    enum hf_outbox_reading reading = read_file(outbox, fd, &header, &data, err);
    hf_blob_unref(data);
    return reading;
}

/* On failure errno says why. */
static bool rename_aside(struct hf_outbox *outbox, const char *name, const char *suffix)
{
    char aside[NAME_MAX + 32];
    snprintf(aside, sizeof(aside), "%s%s", name, suffix);
    return renameat(outbox->directory_fd, name, outbox->directory_fd, aside) == 0 || errno == ENOENT;
}

/* errno says why. */
static bool fail_to_clear(struct hf_outbox *outbox, const char *name, bool mark, struct holdfast_error *err)
{
    int reason = errno;
    bool never_sent = !mark || mark_done(outbox, name);
    return hf_problem_set(err, HF_QUEUE_OUTBOX, true,
                          "outbox %s: the file %s is done with, and cannot be %s: %s; it is tried again, and %s",
                          outbox->directory, name, mark ? "removed" : "set aside", strerror(reason),
                          never_sent ? "no process will send it"
                                     : "should this process end before, the next one will send it again");
}

static bool mark_done(struct hf_outbox *outbox, const char *name)
{
    struct stat status;
    HF_AUTO(close) int fd = openat(outbox->directory_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    size_t bytes = strlen(HF_OUTBOX_DONE_LINE);
    return fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
           pwrite(fd, HF_OUTBOX_DONE_LINE, bytes, 0) == (ssize_t)bytes && fsync(fd) == 0;
}

/* errno says why. A full disk is worth a word of its own. */
static bool fail(const struct hf_outbox *outbox, struct holdfast_error *err, const char *what)
{
    int reason = errno;
    if (reason == ENOSPC || reason == EDQUOT)
        return hf_problem_set(err, HF_QUEUE_OUTBOX, true,
                              "outbox %s: %s: there is no space left; nothing of it was kept, free some and save again",
                              outbox->directory, what);
    return hf_problem_set(err, HF_QUEUE_OUTBOX, reason == EINTR || reason == EMFILE || reason == ENFILE,
                          "outbox %s: %s: %s", outbox->directory, what, strerror(reason));
}
