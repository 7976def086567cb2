/* Writing archives. The bytes depend on the snapshot alone: no clock, no user, no machine. */
#include "repository/archive_private.h"

#include "core/clock.h"

#include <archive.h>
#include <archive_entry.h>
#include <string.h>

#define BLOCK_BYTES    (256 * 1024) /* handed on at once */
#define MANIFEST_BYTES ((size_t)64 * 1024)
#define FILE_MODE      0640

/* Lines on their way to a writer, in larger pieces. */
struct lines {
    const struct hf_writer *to;
    struct hf_buf buf;
};

struct sending {
    struct archive *archive;
    const struct hf_writer *to;
    struct hf_error *err;
    bool failed; /* err says why */
};

static bool write_manifest(const struct hf_chain *chain, const bool *written, const struct hf_writer *to,
                           struct hf_error *err);
static bool write_header(struct lines *lines, const struct hf_chain *chain, const bool *written, struct hf_error *err);
static bool write_entry(struct lines *lines, const struct hf_manifest_entry *entry, bool first, struct hf_error *err);
static void add_text(struct hf_buf *out, const char *name, const char *text);
static void add_time(struct hf_buf *out, const char *name, int64_t at_ms);
static void add_array(struct hf_buf *out, const char *name, const char *text);
static bool pass_lines(struct lines *lines, size_t keep_below, struct hf_error *err);
static bool count_bytes(void *context, const void *data, size_t bytes, struct hf_error *err);
static bool set_up(struct sending *sending, bool zstd, struct hf_error *err);
static la_ssize_t send_block(struct archive *archive, void *context, const void *data, size_t bytes);
static bool send_manifest(struct sending *sending, struct hf_chain *chain, struct hf_error *err);
static bool send_states(struct sending *sending, struct hf_chain *chain, const struct hf_content_source *elsewhere,
                        struct hf_error *err);
static bool read_state(struct hf_chain *chain, const struct hf_manifest_entry *entry,
                       const struct hf_content_source *elsewhere, struct hf_blob **out, struct hf_error *err);
static bool begin_member(struct sending *sending, const char *name, int64_t bytes, int64_t at_ms, struct hf_error *err);
static bool send_data(void *context, const void *data, size_t bytes, struct hf_error *err);
static bool check(struct sending *sending, int result, struct hf_error *err);

bool hf_archive_write_manifest(const struct hf_chain *chain, const struct hf_writer *to, struct hf_error *err)
{
    return write_manifest(chain, NULL, to, err);
}

bool hf_archive_write_salvaged_manifest(const struct hf_chain *chain, const bool *written, const struct hf_writer *to,
                                        struct hf_error *err)
{
    return write_manifest(chain, written, to, err);
}

static bool is_listed(const struct hf_chain *chain, const bool *written, int64_t i)
{
    const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
    return !entry->deleted && (!written || written[i] || !hf_manifest_entry_is_present(entry));
}

/* written NULL: all. */
static bool write_manifest(const struct hf_chain *chain, const bool *written, const struct hf_writer *to,
                           struct hf_error *err)
{
    struct lines lines = {.to = to};
    hf_buf_init(&lines.buf, MANIFEST_BYTES + 4 * HF_FORMAT_LINE_BYTES_MAX);
    bool ok = write_header(&lines, chain, written, err), first = true;
    for (int64_t i = 0; ok && i < hf_chain_count(chain); i++) {
        if (!is_listed(chain, written, i))
            continue;
        ok = write_entry(&lines, hf_chain_entry(chain, i), first, err);
        first = false;
    }
    hf_buf_add_text(&lines.buf, "\n]}\n");
    ok = ok && pass_lines(&lines, 0, err);
    hf_buf_done(&lines.buf);
    return ok;
}

bool hf_archive_write(struct hf_chain *chain, bool zstd, const struct hf_content_source *elsewhere,
                      const struct hf_writer *to, struct hf_error *err)
{
    struct sending sending = {.archive = archive_write_new(), .to = to, .err = err};
    HF_ASSERT(sending.archive);
    bool ok = set_up(&sending, zstd, err) && send_manifest(&sending, chain, err) &&
              send_states(&sending, chain, elsewhere, err) &&
              check(&sending, archive_write_close(sending.archive), err);
    sending.failed = !ok; /* freeing gives what was broken off a proper end, which must not leave */
    archive_write_free(sending.archive);
    return ok;
}

static bool write_header(struct lines *lines, const struct hf_chain *chain, const bool *written, struct hf_error *err)
{
    const struct hf_manifest_header *header = hf_chain_header(chain);
    struct hf_buf *out = &lines->buf;
    int64_t components = 0, state_bytes = 0;
    struct hf_hasher *hasher = hf_hasher_new();
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        if (!hf_manifest_entry_is_present(entry) || !is_listed(chain, written, i))
            continue;
        components++;
        state_bytes += entry->bytes;
        if (written)
            hf_root_hash_add(hasher, entry->component, &entry->hash);
    }
    struct hf_hash rest;
    char root_hash[HF_HASH_LABEL], original[HF_HASH_LABEL];
    hf_hasher_finish(hasher, &rest);
    hf_hasher_free(hasher);
    hf_hash_label(&header->root_hash, original);
    hf_hash_label(written ? &rest : &header->root_hash, root_hash);
    hf_buf_add_format(out, "{\"format\":\"%s\",\"version\":%d", HF_ARCHIVE_FORMAT, HF_ARCHIVE_VERSION);
    add_text(out, ",\"system\":", header->system);
    add_text(out, ",\"id\":", header->id);
    add_text(out, ",\"kind\":", header->kind);
    add_text(out, ",\"trigger\":", header->trigger);
    add_text(out, ",\"label\":", header->label);
    add_text(out, ",\"generation\":", header->generation);
    hf_buf_add_format(out, ",\"sequence\":%lld,\"epoch\":%lld", (long long)header->sequence, (long long)header->epoch);
    add_time(out, ",\"cutAt\":", header->cut_at_ms);
    add_text(out, ",\"rootHash\":", root_hash);
    hf_buf_add_format(out, ",\"components\":%lld,\"stateBytes\":%lld", (long long)components, (long long)state_bytes);
    add_time(out, ",\"createdAt\":", header->created_at_ms);
    if (written) {
        hf_buf_add_text(out, ",\"salvaged\":true");
        add_text(out, ",\"originalRootHash\":", original);
    } else if (header->signature && header->signature[0]) {
        add_text(out, ",\"signedBy\":", header->signed_by);
        add_text(out, ",\"signature\":", header->signature);
    }
    hf_buf_add_text(out, ",\n\"entries\":[");
    return pass_lines(lines, MANIFEST_BYTES, err);
}

static bool write_entry(struct lines *lines, const struct hf_manifest_entry *entry, bool first, struct hf_error *err)
{
    struct hf_buf *out = &lines->buf;
    hf_buf_add_text(out, first ? "\n" : ",\n");
    add_text(out, "{\"component\":", entry->component);
    hf_buf_add_format(out, ",\"version\":%lld", (long long)entry->version);
    if (hf_manifest_entry_is_present(entry)) {
        char hash[HF_HASH_LABEL];
        hf_hash_label(&entry->hash, hash);
        hf_buf_add_format(out, ",\"sequence\":%lld,\"hash\":\"%s\",\"bytes\":%lld", (long long)entry->sequence, hash,
                          (long long)entry->bytes);
        add_text(out, ",\"contentType\":", entry->content_type);
        add_time(out, ",\"committedAt\":", entry->committed_at_ms);
        hf_buf_add_format(out, ",\"file\":\"%s%s\"", HF_ARCHIVE_STATES, entry->component);
    }
    add_time(out, ",\"createdAt\":", entry->created_at_ms);
    add_text(out, ",\"kind\":", entry->component_kind);
    add_array(out, ",\"dependsOn\":", entry->depends_on);
    add_array(out, ",\"requiredPointers\":", entry->required_pointers);
    hf_buf_add_format(out, ",\"heartbeatIntervalMs\":%lld", (long long)entry->heartbeat_interval_ms);
    add_time(out, ",\"registeredAt\":", entry->registered_at_ms);
    hf_buf_add_char(out, '}');
    return pass_lines(lines, MANIFEST_BYTES, err);
}

static void add_text(struct hf_buf *out, const char *name, const char *text)
{
    hf_buf_add_text(out, name);
    hf_buf_add_json_string(out, text ? text : "", text ? strlen(text) : 0);
}

/* 0 and less: not known. */
static void add_time(struct hf_buf *out, const char *name, int64_t at_ms)
{
    char time[HF_TIME_BYTES];
    hf_buf_add_text(out, name);
    if (at_ms <= 0) {
        hf_buf_add_text(out, "null");
        return;
    }
    hf_time_format(at_ms, time);
    hf_buf_add_format(out, "\"%s\"", time);
}

/* A JSON text already, as manifests hold it. */
static void add_array(struct hf_buf *out, const char *name, const char *text)
{
    hf_buf_add_text(out, name);
    hf_buf_add_text(out, text && text[0] ? text : "[]");
}

static bool pass_lines(struct lines *lines, size_t keep_below, struct hf_error *err)
{
    if (lines->buf.failed)
        return hf_error_set(err, HF_OVERLOADED, "an entry of the manifest is too large for an archive");
    if (lines->buf.bytes < keep_below || lines->buf.bytes == 0)
        return true;
    bool ok = lines->to->write(lines->to->context, lines->buf.data, lines->buf.bytes, err);
    hf_buf_reset(&lines->buf);
    return ok;
}

static bool count_bytes(void *context, const void *data, size_t bytes, struct hf_error *err)
{
    (void)data, (void)err;
    *(int64_t *)context += (int64_t)bytes;
    return true;
}

static bool set_up(struct sending *sending, bool zstd, struct hf_error *err)
{
    struct archive *archive = sending->archive;
    if (archive_write_set_format_pax(archive) == ARCHIVE_OK &&
        (!zstd || (archive_write_add_filter_zstd(archive) == ARCHIVE_OK &&
                   archive_write_set_options(archive, "zstd:compression-level=1") == ARCHIVE_OK)) &&
        archive_write_set_bytes_per_block(archive, BLOCK_BYTES) == ARCHIVE_OK &&
        archive_write_set_bytes_in_last_block(archive, 1) == ARCHIVE_OK &&
        archive_write_open(archive, sending, NULL, send_block, NULL) == ARCHIVE_OK)
        return true;
    return check(sending, ARCHIVE_FATAL, err);
}

/* A failure is not told to the library: it would not free what it holds. */
static la_ssize_t send_block(struct archive *archive, void *context, const void *data, size_t bytes)
{
    (void)archive;
    struct sending *sending = context;
    if (!sending->failed && !sending->to->write(sending->to->context, data, bytes, sending->err))
        sending->failed = true;
    return (la_ssize_t)bytes;
}

/* Twice: a member's length comes before it. */
static bool send_manifest(struct sending *sending, struct hf_chain *chain, struct hf_error *err)
{
    int64_t bytes = 0;
    return hf_archive_write_manifest(chain, &(struct hf_writer){count_bytes, &bytes}, err) &&
           begin_member(sending, HF_ARCHIVE_MANIFEST, bytes, hf_chain_header(chain)->cut_at_ms, err) &&
           hf_archive_write_manifest(chain, &(struct hf_writer){send_data, sending}, err);
}

static bool send_states(struct sending *sending, struct hf_chain *chain, const struct hf_content_source *elsewhere,
                        struct hf_error *err)
{
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        if (!hf_manifest_entry_is_present(entry))
            continue;
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        char name[sizeof(HF_ARCHIVE_STATES) + HF_NAME_MAX];
        snprintf(name, sizeof(name), HF_ARCHIVE_STATES "%s", entry->component);
        if (!read_state(chain, entry, elsewhere, &blob, err) ||
            !begin_member(sending, name, (int64_t)blob->bytes, entry->committed_at_ms, err) ||
            !send_data(sending, blob->data, blob->bytes, err))
            return false;
    }
    return true;
}

static bool read_state(struct hf_chain *chain, const struct hf_manifest_entry *entry,
                       const struct hf_content_source *elsewhere, struct hf_blob **out, struct hf_error *err)
{
    char origin[HF_ORIGIN_BYTES];
    struct hf_blob *blob = NULL;
    struct hf_hash hash;
    if (hf_chain_read(chain, entry, out, err))
        return true;
    if (err->code != HF_DAMAGED || !elsewhere ||
        !elsewhere->find(elsewhere->context, &entry->hash, entry->bytes, &blob, origin))
        return false;
    hf_hash_of(blob->data, blob->bytes, &hash);
    if ((int64_t)blob->bytes == entry->bytes && hf_hash_equal(&hash, &entry->hash)) {
        *out = blob;
        return true;
    }
    hf_blob_unref(blob);
    return false;
}

/* Whole seconds: a fraction would cost each member a header of its own, and the manifest has it. */
static bool begin_member(struct sending *sending, const char *name, int64_t bytes, int64_t at_ms, struct hf_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    HF_ASSERT(entry);
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, FILE_MODE);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_set_size(entry, bytes);
    archive_entry_set_mtime(entry, at_ms > 0 ? (time_t)(at_ms / 1000) : 0, 0);
    int result = archive_write_header(sending->archive, entry);
    archive_entry_free(entry);
    return check(sending, result, err);
}

static bool send_data(void *context, const void *data, size_t bytes, struct hf_error *err)
{
    struct sending *sending = context;
    for (size_t done = 0; done < bytes;) {
        la_ssize_t wrote = archive_write_data(sending->archive, (const char *)data + done, bytes - done);
        if (!check(sending, wrote > 0 ? ARCHIVE_OK : ARCHIVE_FATAL, err))
            return false;
        done += (size_t)wrote;
    }
    return true;
}

static bool check(struct sending *sending, int result, struct hf_error *err)
{
    if (sending->failed)
        return false; /* the writer has said why */
    if (result == ARCHIVE_OK)
        return true;
    const char *why = archive_error_string(sending->archive);
    return hf_error_set(err, HF_INTERNAL, "the archive could not be written: %s", why ? why : "no reason is given");
}
