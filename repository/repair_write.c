/* The new file: verbatim what is sound, made again what a good copy was found of, and as it is what is lost, so that it
 * stays provably damaged. Contents are fetched one at a time. */
#include "repository/record.h"
#include "repository/record_reader.h"
#include "repository/repair_private.h"

#include "core/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FILE_MODE    0640
#define PIECE_BYTES  ((size_t)1 << 20)
#define SPREAD_BYTES (INT64_C(4) << 20)

struct rewriting {
    const struct hf_repair_target *target;
    struct hf_examination *examination;
    struct hf_snapshot_file *file; /* the one that is being mended */
    const struct hf_content_source *source;
    struct hf_repair_report *report;
    struct hf_finder *finder;
    struct hf_record_reader *reader;
    struct hf_packer *packer;
    size_t first; /* the first damage that can be mended */
    char *temporary;
    int fd;
    unsigned char *piece; /* PIECE_BYTES */
    int64_t started;      /* up to here the system has been told to write to the disk */
};

static bool fetch(struct rewriting *rewriting, const struct hf_repair_damage *damage, struct hf_blob **out,
                  char origin[HF_ORIGIN_BYTES], struct hf_error *err);
static bool fetch_own(struct rewriting *rewriting, const struct hf_repair_damage *damage, struct hf_blob **out,
                      struct hf_error *err);
static void fetch_from_source(struct rewriting *rewriting, const struct hf_repair_damage *damage, struct hf_blob **out,
                              char origin[HF_ORIGIN_BYTES]);
static bool find_first(struct rewriting *rewriting, struct hf_error *err);
static bool rewrite(struct rewriting *rewriting, struct hf_error *err);
static bool write_image(struct rewriting *rewriting, struct hf_error *err);
static bool mend(struct rewriting *rewriting, struct hf_repair_damage *damage, struct hf_error *err);
static bool write_record(struct rewriting *rewriting, const struct hf_repair_damage *damage, const struct hf_blob *blob,
                         bool *fits_out, struct hf_error *err);
static bool copy_range(struct rewriting *rewriting, int64_t from, int64_t to, struct hf_error *err);
static bool write_bytes(struct rewriting *rewriting, const void *data, size_t bytes, int64_t offset,
                        struct hf_error *err);
static bool check_image(struct rewriting *rewriting, struct hf_error *err);
static bool publish(struct rewriting *rewriting, struct hf_error *err);

bool hf_repair_write(const struct hf_repair_target *target, struct hf_repository *mirror,
                     struct hf_examination *examination, const struct hf_content_source *source,
                     struct hf_repair_report *report, struct hf_error *err)
{
    struct rewriting rewriting = {.target = target,
                                  .examination = examination,
                                  .file = examination->file,
                                  .source = source,
                                  .report = report,
                                  .fd = -1};
    rewriting.finder = hf_finder_new(target->repository, mirror, target->system, target);
    rewriting.reader = hf_record_reader_new(NULL, NULL);
    rewriting.packer = hf_packer_new(examination->file->seal);
    rewriting.first = examination->damages_count;
    for (size_t i = 0; i < examination->damages_count; i++) {
        if (examination->damages[i].known)
            hf_finder_want(rewriting.finder, &examination->damages[i].hash);
    }
    hf_finder_search(rewriting.finder);
    bool ok = find_first(&rewriting, err);
    if (ok && (examination->ends_damaged || rewriting.first < examination->damages_count))
        ok = rewrite(&rewriting, err);
    report->bytes_read += hf_finder_bytes_read(rewriting.finder) + hf_record_reader_bytes(rewriting.reader);
    hf_finder_free(rewriting.finder);
    hf_record_reader_free(rewriting.reader);
    hf_packer_free(rewriting.packer);
    return ok;
}

/* Nothing is written for the sake of nothing. And what could not be read may be what is missing: then there is no
 * verdict. */
static bool find_first(struct rewriting *rewriting, struct hf_error *err)
{
    const struct hf_examination *examination = rewriting->examination;
    for (size_t i = 0; i < examination->damages_count; i++) {
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        char origin[HF_ORIGIN_BYTES];
        if (!fetch(rewriting, &examination->damages[i], &blob, origin, err))
            return false;
        if (!blob)
            continue;
        rewriting->first = i;
        return true;
    }
    return true;
}

/* *out NULL: no copy of it is anywhere. */
static bool fetch(struct rewriting *rewriting, const struct hf_repair_damage *damage, struct hf_blob **out,
                  char origin[HF_ORIGIN_BYTES], struct hf_error *err)
{
    *out = NULL;
    if (!damage->known)
        return true;
    if (damage->filler) {
        *out = hf_blob_new((size_t)damage->bytes);
        if (!*out)
            return hf_error_set(err, HF_OVERLOADED, "there is no memory to fill a gap");
        memset((*out)->data, 0, (size_t)damage->bytes);
        (*out)->bytes = (size_t)damage->bytes;
        snprintf(origin, HF_ORIGIN_BYTES, "nothing: no snapshot refers to what was there");
        return true;
    }
    if (!fetch_own(rewriting, damage, out, err))
        return false;
    if (*out)
        snprintf(origin, HF_ORIGIN_BYTES, "the record's own stored bytes");
    else
        hf_finder_fetch(rewriting->finder, &damage->hash, damage->bytes, out, origin);
    if (!*out)
        fetch_from_source(rewriting, damage, out, origin);
    return *out || !hf_finder_failed(rewriting->finder, err);
}

/* Where the head alone was hit, the content is still there. */
static bool fetch_own(struct rewriting *rewriting, const struct hf_repair_damage *damage, struct hf_blob **out,
                      struct hf_error *err)
{
    struct hf_snapshot_file *file = rewriting->file;
    size_t stored_bytes = (size_t)damage->stored_bytes;
    HF_AUTO(free) unsigned char *stored = malloc(stored_bytes + 1);
    struct hf_format_record record = {.bytes = damage->bytes,
                                      .stored_bytes = damage->stored_bytes,
                                      .hash = damage->hash};
    int64_t inner = damage->stored_bytes - (file->seal ? HF_SEAL_EXTRA_BYTES : 0);
    struct hf_hash hash;
    struct hf_blob *blob = NULL;
    if (!stored)
        return hf_error_set(err, HF_OVERLOADED, "there is no memory to read %zu bytes", stored_bytes);
    if (inner < 0 || inner > damage->bytes)
        return true;
    record.encoding = inner == damage->bytes ? HF_ENCODING_RAW : HF_ENCODING_ZSTD;
    if (!hf_snapshot_file_read(file, stored, stored_bytes, damage->offset + file->record_bytes, err))
        return false;
    hf_hash_of(stored, stored_bytes, &hash);
    memcpy(record.stored_check, hash.bytes, sizeof(record.stored_check));
    hf_record_reader_use(rewriting->reader, file, 0);
    if (hf_record_reader_content(rewriting->reader, damage->offset, &record, &blob, err))
        *out = hf_blob_ref(blob);
    return *out || err->code == HF_DAMAGED;
}

static void fetch_from_source(struct rewriting *rewriting, const struct hf_repair_damage *damage, struct hf_blob **out,
                              char origin[HF_ORIGIN_BYTES])
{
    const struct hf_content_source *source = rewriting->source;
    struct hf_blob *blob = NULL;
    struct hf_hash hash;
    if (!source || !source->find(source->context, &damage->hash, damage->bytes, &blob, origin))
        return;
    hf_hash_of(blob->data, blob->bytes, &hash);
    if ((int64_t)blob->bytes == damage->bytes && hf_hash_equal(&hash, &damage->hash))
        *out = blob;
    else
        hf_blob_unref(blob);
}

static bool rewrite(struct rewriting *rewriting, struct hf_error *err)
{
    const struct hf_repair_target *target = rewriting->target;
    if (hf_fault("repair_before_write"))
        return hf_error_errno(err, EIO, "%s cannot be mended", target->path);
    rewriting->temporary =
        hf_format("%s/" HF_TEMPORARY_PREFIX "%s-%ld-repair", target->directory, target->id, (long)getpid());
    if (!hf_place_make_directory(target->directory, err)) {
        free(rewriting->temporary);
        return false;
    }
    unlink(rewriting->temporary); /* of one with our number that was killed */
    rewriting->fd = open(rewriting->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    bool ok = rewriting->fd >= 0 || hf_error_errno(err, errno, "the file %s cannot be created", rewriting->temporary);
    rewriting->piece = hf_alloc(PIECE_BYTES);
    ok = ok && write_image(rewriting, err);
    if (ok && fsync(rewriting->fd) != 0)
        ok = hf_error_errno(err, errno, "%s cannot be written to disk", rewriting->temporary);
    ok = ok && check_image(rewriting, err);
    if (!ok && rewriting->fd >= 0)
        unlink(rewriting->temporary);
    ok = ok && publish(rewriting, err);
    if (rewriting->fd >= 0)
        close(rewriting->fd);
    free(rewriting->piece);
    free(rewriting->temporary);
    return ok;
}

static bool write_image(struct rewriting *rewriting, struct hf_error *err)
{
    struct hf_examination *examination = rewriting->examination;
    struct hf_snapshot_file *file = rewriting->file;
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX], tail[HF_FORMAT_FOOTER_BYTES];
    int64_t at = file->header_bytes;
    HF_ASSERT((int64_t)hf_format_encode_header(&file->header, head) == at);
    if (!write_bytes(rewriting, head, (size_t)at, 0, err))
        return false;
    for (size_t i = rewriting->first; i < examination->damages_count; i++) {
        struct hf_repair_damage *damage = &examination->damages[i];
        if (damage->offset < at || damage->end == damage->offset) /* not a place of its own */
            continue;
        if (!copy_range(rewriting, at, damage->offset, err) || !mend(rewriting, damage, err))
            return false;
        at = damage->offset;
        if (damage->healed)
            at = damage->end;
    }
    hf_format_encode_footer(&file->footer, tail);
    int64_t end = file->footer.manifest_offset + file->footer.manifest_stored_bytes;
    return copy_range(rewriting, at, end, err) && write_bytes(rewriting, tail, sizeof(tail), end, err);
}

static bool mend(struct rewriting *rewriting, struct hf_repair_damage *damage, struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    char origin[HF_ORIGIN_BYTES];
    bool fits = false;
    if (!fetch(rewriting, damage, &blob, origin, err) || (blob && !write_record(rewriting, damage, blob, &fits, err)))
        return false;
    damage->healed = fits;
    if (!fits)
        return true;
    if (rewriting->report->contents_healed++ == 0)
        memcpy(rewriting->report->origin, origin, sizeof(origin));
    return true;
}

static bool write_record(struct rewriting *rewriting, const struct hf_repair_damage *damage, const struct hf_blob *blob,
                         bool *fits_out, struct hf_error *err)
{
    struct hf_packed packed;
    *fits_out = hf_packer_pack_into(rewriting->packer, &damage->hash, blob->data, blob->bytes,
                                    (size_t)damage->stored_bytes, &packed, err);
    if (!*fits_out)
        return err->code == HF_NOT_FOUND;
    HF_ASSERT((int64_t)(packed.head_bytes + packed.stored_bytes) == damage->end - damage->offset);
    return write_bytes(rewriting, packed.head, packed.head_bytes, damage->offset, err) &&
           write_bytes(rewriting, packed.stored, packed.stored_bytes, damage->offset + (int64_t)packed.head_bytes, err);
}

static bool copy_range(struct rewriting *rewriting, int64_t from, int64_t to, struct hf_error *err)
{
    for (int64_t at = from; at < to; at += (int64_t)PIECE_BYTES) {
        size_t bytes = to - at < (int64_t)PIECE_BYTES ? (size_t)(to - at) : PIECE_BYTES;
        if (!hf_snapshot_file_read(rewriting->file, rewriting->piece, bytes, at, err) ||
            !write_bytes(rewriting, rewriting->piece, bytes, at, err))
            return false;
        rewriting->report->bytes_read += (int64_t)bytes;
    }
    return true;
}

/* Now and then the system is told to begin writing: the fsync at the end would send all of it at once, and commits
 * would wait behind it. */
static bool write_bytes(struct rewriting *rewriting, const void *data, size_t bytes, int64_t offset,
                        struct hf_error *err)
{
    int64_t end = offset + (int64_t)bytes;
    if (!hf_repair_write_at(rewriting->fd, data, bytes, offset, err))
        return hf_error_wrap(err, "%s", rewriting->temporary);
    rewriting->report->bytes_written += (int64_t)bytes;
    if (end - rewriting->started >= SPREAD_BYTES) {
        sync_file_range(rewriting->fd, rewriting->started, end - rewriting->started, SYNC_FILE_RANGE_WRITE);
        rewriting->started = end;
    }
    return true;
}

/* As a reader will see it: nothing takes the place of the old file that does not hold what it is meant to. */
static bool check_image(struct rewriting *rewriting, struct hf_error *err)
{
    const struct hf_examination *examination = rewriting->examination;
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    posix_fadvise(rewriting->fd, 0, 0, POSIX_FADV_DONTNEED); /* from the disk, where it may */
    bool ok = hf_snapshot_file_check_fd(&file, rewriting->fd, rewriting->file->keys, rewriting->target->name, err);
    if (ok)
        hf_record_reader_use(rewriting->reader, file, 0);
    for (size_t i = 0; ok && i < examination->damages_count; i++) {
        const struct hf_repair_damage *damage = &examination->damages[i];
        struct hf_format_record record;
        struct hf_blob *blob = NULL;
        ok = !damage->healed ||
             (hf_record_reader_head(rewriting->reader, damage->offset, &record, err) &&
              hf_hash_equal(&record.hash, &damage->hash) && record.stored_bytes == damage->stored_bytes &&
              hf_record_reader_content(rewriting->reader, damage->offset, &record, &blob, err));
    }
    /* What was written a moment ago and does not read back is the disk's fault, and no verdict on the snapshot. */
    return ok || hf_error_set(err, HF_IO, "%s was written and does not read back", rewriting->temporary);
}

static bool publish(struct rewriting *rewriting, struct hf_error *err)
{
    const struct hf_repair_target *target = rewriting->target;
    bool exchanged;
    if (hf_fault("repair_before_exchange")) {
        unlink(rewriting->temporary);
        return hf_error_errno(err, EIO, "%s cannot take the place of %s", rewriting->temporary, target->path);
    }
    if (!hf_repair_exchange(rewriting->temporary, target->path, &exchanged, err)) {
        unlink(rewriting->temporary);
        return false;
    }
    if (hf_fault("repair_after_exchange"))
        return hf_error_errno(err, EIO, "the directory %s cannot be written to disk", target->directory);
    if (!hf_place_sync_directory(target->directory, err)) /* the old one stays until the new one is sure to */
        return false;
    if (exchanged && unlink(rewriting->temporary) != 0 && errno != ENOENT)
        return hf_error_errno(err, errno, "%s cannot be removed", rewriting->temporary);
    return true;
}
