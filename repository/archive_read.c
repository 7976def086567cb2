/* Reading archives. Nothing of an archive is believed before it is checked: names lead to nothing but the entries of
 * its own manifest, and contents are what their hashes say. */
#include "repository/archive_private.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)256 * 1024)

struct hf_archive {
    const struct hf_reader *from;
    struct hf_archive_limits limits;
    struct archive *unpacking; /* what comes, uncompressed: so that what lies behind the tar's end can be seen */
    struct archive *archive;   /* the tar in it */
    char *block;               /* of the archive as it comes */
    int64_t come;
    bool ended;
    const char *piece; /* of the tar, the last one handed on; borrowed from unpacking */
    int64_t piece_bytes, unpacked;
    struct hf_error failure; /* of the reader, or a limit */
    bool failed;
    struct hf_archive_manifest manifest;
};

static bool open_tar(struct hf_archive *archive, struct hf_error *err);
static la_ssize_t read_block(struct archive *packed, void *context, const void **out);
static la_ssize_t read_piece(struct archive *tar, void *context, const void **out);
static bool is_zero(const char *data, int64_t bytes);
static bool find_manifest(struct hf_archive *archive, struct hf_error *err);
static bool next_member(struct hf_archive *archive, struct archive_entry **entry_out, const char **name_out,
                        struct hf_error *err);
static bool check_filters(struct hf_archive *archive, struct hf_error *err);
static bool check_name(const char *path, const char **name_out, struct hf_error *err);
static bool check_type(struct archive_entry *entry, const char *name, bool *directory_out, struct hf_error *err);
static bool read_data(struct hf_archive *archive, void *out, size_t bytes, size_t *got_out, struct hf_error *err);
static bool take_state(struct hf_archive *archive, struct archive_entry *member, const char *name,
                       struct hf_snapshot_writer *writer, struct hf_error *err);
static bool read_content(struct hf_archive *archive, const char *name, struct hf_manifest_entry *entry,
                         struct hf_blob **out, struct hf_error *err);
static bool add_entries(struct hf_archive *archive, struct hf_snapshot_writer *writer, struct hf_error *err);
static bool drain(struct hf_archive *archive, struct hf_error *err);
static bool check_unpacked(struct hf_archive *archive, struct hf_error *err);
static bool tell_failure(struct hf_archive *archive, struct archive *which, struct hf_error *err);

bool hf_archive_open(struct hf_archive **out, const struct hf_reader *from, const struct hf_archive_limits *limits,
                     struct hf_error *err)
{
    struct hf_archive *archive = hf_alloc(sizeof(*archive));
    archive->from = from;
    archive->limits = *limits;
    hf_archive_manifest_init(&archive->manifest);
    if (!open_tar(archive, err) || !find_manifest(archive, err)) {
        hf_archive_free(archive);
        return false;
    }
    *out = archive;
    return true;
}

const struct hf_manifest_header *hf_archive_header(const struct hf_archive *archive)
{
    return &archive->manifest.header;
}

bool hf_archive_is_salvaged(const struct hf_archive *archive)
{
    return archive->manifest.salvaged;
}

bool hf_archive_read(struct hf_archive *archive, struct hf_snapshot_writer *writer, struct hf_error *err)
{
    struct archive_entry *member;
    const char *name;
    for (;;) {
        bool directory;
        if (!next_member(archive, &member, &name, err))
            return false;
        if (!member)
            break;
        if (!check_type(member, name, &directory, err) ||
            (!directory && !take_state(archive, member, name, writer, err)))
            return false;
    }
    return drain(archive, err) && add_entries(archive, writer, err);
}

void hf_archive_free(struct hf_archive *archive)
{
    if (!archive)
        return;
    if (archive->archive)
        archive_read_free(archive->archive);
    if (archive->unpacking)
        archive_read_free(archive->unpacking);
    hf_archive_manifest_done(&archive->manifest);
    free(archive->block);
    free(archive);
}

static bool open_tar(struct hf_archive *archive, struct hf_error *err)
{
    archive->block = hf_alloc(BLOCK_BYTES);
    archive->unpacking = archive_read_new();
    archive->archive = archive_read_new();
    HF_ASSERT(archive->unpacking && archive->archive);
    /* Not ARCHIVE_OK: this libarchive would run a program for it. */
    if (archive_read_support_filter_zstd(archive->unpacking) != ARCHIVE_OK ||
        archive_read_support_filter_gzip(archive->unpacking) != ARCHIVE_OK ||
        archive_read_support_format_raw(archive->unpacking) != ARCHIVE_OK ||
        archive_read_support_format_empty(archive->unpacking) != ARCHIVE_OK ||
        archive_read_support_format_tar(archive->archive) != ARCHIVE_OK)
        return hf_error_set(err, HF_INTERNAL, "the tar library cannot read what archives are made of");
    struct archive_entry *all;
    if (archive_read_open(archive->unpacking, archive, NULL, read_block, NULL) != ARCHIVE_OK)
        return tell_failure(archive, archive->unpacking, err);
    int result = archive_read_next_header(archive->unpacking, &all);
    if (archive->failed || (result != ARCHIVE_OK && result != ARCHIVE_EOF))
        return tell_failure(archive, archive->unpacking, err);
    return check_filters(archive, err) &&
           (archive_read_open(archive->archive, archive, NULL, read_piece, NULL) == ARCHIVE_OK ||
            tell_failure(archive, archive->archive, err));
}

static la_ssize_t read_piece(struct archive *tar, void *context, const void **out)
{
    struct hf_archive *archive = context;
    const void *piece = NULL;
    size_t bytes = 0;
    la_int64_t offset;
    int result = archive_read_data_block(archive->unpacking, &piece, &bytes, &offset);
    if (archive->failed || (result != ARCHIVE_OK && result != ARCHIVE_EOF)) {
        const char *why = archive_error_string(archive->unpacking);
        archive_set_error(tar, EIO, "%s", why ? why : "it cannot be unpacked");
        return -1;
    }
    archive->piece = piece;
    archive->piece_bytes = result == ARCHIVE_OK ? (int64_t)bytes : 0;
    archive->unpacked += archive->piece_bytes;
    *out = piece;
    return (la_ssize_t)archive->piece_bytes;
}

static la_ssize_t read_block(struct archive *packed, void *context, const void **out)
{
    struct hf_archive *archive = context;
    size_t got = 0;
    if (!archive->failed && !archive->ended &&
        !archive->from->read(archive->from->context, archive->block, BLOCK_BYTES, &got, &archive->failure))
        archive->failed = true;
    archive->ended |= got == 0;
    archive->come += (int64_t)got;
    if (!archive->failed && archive->come > archive->limits.archive_bytes_max) {
        hf_error_set(&archive->failure, HF_BODY_TOO_LARGE, "the archive is larger than %lld bytes",
                     (long long)archive->limits.archive_bytes_max);
        archive->failed = true;
    }
    if (archive->failed) {
        archive_set_error(packed, EIO, "the archive broke off");
        return -1;
    }
    *out = archive->block;
    return (la_ssize_t)got;
}

static bool find_manifest(struct hf_archive *archive, struct hf_error *err)
{
    struct archive_entry *member;
    const char *name;
    bool directory = true;
    while (directory) { /* that of the files itself may come first */
        if (!next_member(archive, &member, &name, err))
            return false;
        if (!member)
            return hf_error_set(err, HF_INVALID_REQUEST, "the archive holds no %s", HF_ARCHIVE_MANIFEST);
        if (!check_type(member, name, &directory, err))
            return false;
    }
    if (strcmp(name, HF_ARCHIVE_MANIFEST) != 0)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "the first member is %.200s, not %s; pack it first: tar -cf ARCHIVE %s states", name,
                            HF_ARCHIVE_MANIFEST, HF_ARCHIVE_MANIFEST);
    if (archive_entry_size(member) > archive->limits.manifest_bytes_max)
        return hf_error_set(err, HF_BODY_TOO_LARGE, "%s is larger than %lld bytes", HF_ARCHIVE_MANIFEST,
                            (long long)archive->limits.manifest_bytes_max);
    HF_AUTO(free) char *data = hf_alloc(BLOCK_BYTES);
    for (size_t got = 1; got > 0;) {
        if (!read_data(archive, data, BLOCK_BYTES, &got, err) ||
            !hf_archive_manifest_feed(&archive->manifest, data, got, err))
            return false;
    }
    return hf_archive_manifest_finish(&archive->manifest, err);
}

/* *entry_out NULL: the end. */
static bool next_member(struct hf_archive *archive, struct archive_entry **entry_out, const char **name_out,
                        struct hf_error *err)
{
    struct archive_entry *entry = NULL;
    int result = archive_read_next_header(archive->archive, &entry);
    if (archive->failed || (result != ARCHIVE_OK && result != ARCHIVE_WARN && result != ARCHIVE_EOF))
        return tell_failure(archive, archive->archive, err);
    *entry_out = NULL;
    if (result == ARCHIVE_EOF)
        return true;
    const char *path = archive_entry_pathname(entry);
    if (!path) /* not ASCII */
        return hf_error_set(err, HF_INVALID_REQUEST, "a member has a name that no component can have");
    *entry_out = entry;
    return check_unpacked(archive, err) && check_name(path, name_out, err);
}

/* Compressed once at most: more is a bomb, or a mistake. */
static bool check_filters(struct hf_archive *archive, struct hf_error *err)
{
    return archive_filter_count(archive->unpacking) <= 2 ||
           hf_error_set(err, HF_INVALID_REQUEST, "the archive is compressed more than once");
}

/* name: without a "./" in front, as tar writes it when it packs a directory. */
static bool check_name(const char *path, const char **name_out, struct hf_error *err)
{
    if (path[0] == '/')
        return hf_error_set(err, HF_INVALID_REQUEST, "the member %.200s has an absolute name", path);
    for (const char *part = path; *part; part += strspn(part, "/")) {
        size_t bytes = strcspn(part, "/");
        if (bytes == 2 && part[0] == '.' && part[1] == '.')
            return hf_error_set(err, HF_INVALID_REQUEST, "the member %.200s has \"..\" in its name", path);
        part += bytes;
    }
    while (path[0] == '.' && path[1] == '/')
        path += 2 + strspn(path + 2, "/");
    *name_out = path;
    return true;
}

static bool check_type(struct archive_entry *entry, const char *name, bool *directory_out, struct hf_error *err)
{
    *directory_out = archive_entry_filetype(entry) == AE_IFDIR;
    if (archive_entry_hardlink(entry) || archive_entry_symlink(entry))
        return hf_error_set(err, HF_INVALID_REQUEST, "the member %.200s is a link", name);
    if (!*directory_out && archive_entry_filetype(entry) != AE_IFREG)
        return hf_error_set(err, HF_INVALID_REQUEST, "the member %.200s is neither a file nor a directory", name);
    if (archive_entry_sparse_count(entry) > 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "the member %.200s is a sparse file", name);
    return true;
}

/* At most bytes; less only at the member's end. */
static bool read_data(struct hf_archive *archive, void *out, size_t bytes, size_t *got_out, struct hf_error *err)
{
    size_t done = 0;
    while (done < bytes) {
        la_ssize_t got = archive_read_data(archive->archive, (char *)out + done, bytes - done);
        if (got < 0 || archive->failed)
            return tell_failure(archive, archive->archive, err);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *got_out = done;
    return check_unpacked(archive, err);
}

static bool take_state(struct hf_archive *archive, struct archive_entry *member, const char *name,
                       struct hf_snapshot_writer *writer, struct hf_error *err)
{
    size_t folder = strlen(HF_ARCHIVE_STATES);
    struct hf_manifest_entry *entry = strncmp(name, HF_ARCHIVE_STATES, folder) == 0
                                          ? hf_archive_manifest_find(&archive->manifest, name + folder)
                                          : NULL;
    if (!entry || !hf_manifest_entry_is_present(entry))
        return hf_error_set(err, HF_INVALID_REQUEST, "the manifest does not speak of the member %.200s%s", name,
                            strcmp(name, HF_ARCHIVE_MANIFEST) == 0 ? " a second time" : "");
    if (entry->blob_offset >= 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "the member %s is given twice", name);
    if (entry->bytes > archive->limits.state_bytes_max)
        return hf_error_set(err, HF_BODY_TOO_LARGE, "the member %s has %lld bytes; a state may have %lld", name,
                            (long long)entry->bytes, (long long)archive->limits.state_bytes_max);
    if (!archive_entry_size_is_set(member) || archive_entry_size(member) != entry->bytes)
        return hf_error_set(err, HF_INVALID_REQUEST, "the member %s has %lld bytes, the manifest says %lld", name,
                            (long long)archive_entry_size(member), (long long)entry->bytes);
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    return read_content(archive, name, entry, &blob, err) &&
           hf_snapshot_writer_add_blob(writer, &entry->hash, blob->data, blob->bytes, &entry->blob_offset,
                                       &entry->blob_stored_bytes, err);
}

static bool read_content(struct hf_archive *archive, const char *name, struct hf_manifest_entry *entry,
                         struct hf_blob **out, struct hf_error *err)
{
    HF_AUTO(blob) struct hf_blob *blob = hf_blob_new((size_t)entry->bytes);
    if (!blob)
        return hf_error_set(err, HF_OVERLOADED, "there is no memory for the %lld bytes of the member %s",
                            (long long)entry->bytes, name);
    if (!read_data(archive, blob->data, (size_t)entry->bytes, &blob->bytes, err))
        return archive->failed ? false : hf_error_wrap(err, "the member %s", name);
    struct hf_hash hash;
    hf_hash_of(blob->data, blob->bytes, &hash);
    if ((int64_t)blob->bytes != entry->bytes || !hf_hash_equal(&hash, &entry->hash))
        return hf_error_set(err, HF_INVALID_REQUEST, "the member %s does not have the hash that the manifest says",
                            name);
    *out = blob;
    blob = NULL;
    return true;
}

static bool add_entries(struct hf_archive *archive, struct hf_snapshot_writer *writer, struct hf_error *err)
{
    const struct hf_archive_manifest *manifest = &archive->manifest;
    for (int64_t i = 0; i < manifest->count; i++) {
        struct hf_manifest_entry entry = manifest->entries[i];
        if (!hf_manifest_entry_is_present(&entry))
            entry.blob_offset = 0;
        if (entry.blob_offset < 0)
            return hf_error_set(err, HF_INVALID_REQUEST, "the member %s%s is missing", HF_ARCHIVE_STATES,
                                entry.component);
        if (!hf_snapshot_writer_add_entry(writer, &entry, err))
            return false;
    }
    return true;
}

/* Reads on to the end, so that whoever sends it is not cut off. Only zeros that fill the last block may follow: what
 * else lies there nobody has looked at. */
static bool drain(struct hf_archive *archive, struct hf_error *err)
{
    int64_t left = archive->unpacked - archive_filter_bytes(archive->archive, 0);
    bool zero =
        left == 0 || (left <= archive->piece_bytes && is_zero(archive->piece + archive->piece_bytes - left, left));
    const void *piece;
    for (la_ssize_t got = 1; zero && got > 0;) {
        got = read_piece(archive->archive, archive, &piece);
        if (got < 0)
            return tell_failure(archive, archive->archive, err);
        zero = is_zero(piece, got);
        if (!check_unpacked(archive, err))
            return false;
    }
    if (!zero)
        return hf_error_set(err, HF_INVALID_REQUEST, "something follows the end of the tar that is not its padding");
    const void *block;
    while (!archive->failed && !archive->ended)
        read_block(archive->unpacking, archive, &block);
    if (archive->failed)
        return tell_failure(archive, archive->unpacking, err);
    return archive->come == archive_filter_bytes(archive->unpacking, -1) ||
           hf_error_set(err, HF_INVALID_REQUEST, "something follows the end of the compressed archive");
}

static bool is_zero(const char *data, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++) {
        if (data[i])
            return false;
    }
    return true;
}

static bool check_unpacked(struct hf_archive *archive, struct hf_error *err)
{
    return archive->unpacked <= archive->limits.archive_bytes_max ||
           hf_error_set(err, HF_BODY_TOO_LARGE, "the archive is larger than %lld bytes when it is unpacked",
                        (long long)archive->limits.archive_bytes_max);
}

static bool tell_failure(struct hf_archive *archive, struct archive *which, struct hf_error *err)
{
    if (archive->failed) {
        *err = archive->failure;
        return false;
    }
    const char *why = archive_error_string(which);
    return hf_error_set(err, HF_INVALID_REQUEST, "it is no whole tar archive: %.300s",
                        why ? why : "no reason is given");
}
