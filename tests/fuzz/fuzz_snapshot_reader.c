/* libFuzzer entry for everything that reads snapshot files. The first byte chooses what the rest is: checksums are put
 * right where they would keep the fuzzer at the door. tests/fuzz/run_fuzzers builds and runs it. */
#include "repository/format.h"
#include "repository/snapshot_file.h"

#include "core/auto.h"

#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum input { WHOLE_FILE, HEADER, RECORD, FOOTER, HEADER_LINE, ENTRY_LINE, BLOBS, MANIFEST, INPUT_COUNT };

static void read_whole(const void *data, size_t bytes);
static void read_header(const uint8_t *data, size_t bytes);
static void read_footer(const uint8_t *data, size_t bytes);
static void read_line(bool entry, const uint8_t *data, size_t bytes);
static void read_built(const uint8_t *blobs, size_t blobs_bytes, const uint8_t *manifest, size_t manifest_bytes,
                       int64_t entries);
static void read_manifest(const uint8_t *data, size_t bytes);
static bool read_entry(void *context, const struct hf_manifest_entry *entry, struct hf_error *err);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct hf_format_record record;
    struct hf_error err;
    if (bytes == 0)
        return 0;
    enum input input = (enum input)(data[0] % INPUT_COUNT);
    data++;
    bytes--;
    if (input == WHOLE_FILE)
        read_whole(data, bytes);
    else if (input == HEADER)
        read_header(data, bytes);
    else if (input == RECORD && bytes >= HF_FORMAT_RECORD_BYTES)
        (void)!hf_format_decode_record(data, &record, &err);
    else if (input == FOOTER)
        read_footer(data, bytes);
    else if (input == HEADER_LINE || input == ENTRY_LINE)
        read_line(input == ENTRY_LINE, data, bytes);
    else if (input == BLOBS)
        read_built(data, bytes, NULL, 0, 0);
    else if (input == MANIFEST)
        read_manifest(data, bytes);
    return 0;
}

/* Opens the bytes as a file, then reads its manifest, what the entries point to, and the first record. */
static void read_whole(const void *data, size_t bytes)
{
    struct hf_snapshot_file *file = NULL;
    struct hf_manifest_header header;
    struct hf_format_record record;
    struct hf_arena arena;
    struct hf_error err;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    HF_ASSERT(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    if (!hf_snapshot_file_open_fd(&file, fd, NULL, "fuzz", &err)) {
        HF_ASSERT(err.code == HF_DAMAGED || err.code == HF_IO);
        return;
    }
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    hf_arena_init(&arena);
    (void)!hf_snapshot_file_read_manifest(file, &arena, &header, read_entry, file, &err);
    if (hf_snapshot_file_read_record(file, file->header_bytes, &record, &err) && record.bytes <= 1 << 20)
        (void)!hf_snapshot_file_read_content(file, file->header_bytes, &record, &blob, &err);
    hf_arena_done(&arena);
    hf_snapshot_file_close(file);
}

static bool read_entry(void *context, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    struct hf_format_record record;
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    HF_ASSERT(hf_name_is_valid(entry->component, strlen(entry->component)));
    if (hf_snapshot_file_read_record(context, entry->blob_offset, &record, err) && record.bytes <= 1 << 20 &&
        hf_snapshot_file_read_content(context, entry->blob_offset, &record, &blob, err)) {
        struct hf_hash hash;
        hf_hash_of(blob->data, blob->bytes, &hash);
        HF_ASSERT(hf_hash_equal(&hash, &record.hash));
    }
    return true;
}

static void read_header(const uint8_t *data, size_t bytes)
{
    unsigned char copy[HF_FORMAT_HEADER_BYTES_MAX];
    struct hf_format_header header;
    struct hf_error err;
    struct hf_hash checksum;
    size_t header_bytes;
    if (bytes > sizeof(copy) - HF_HASH_BYTES || bytes < 16)
        return;
    memcpy(copy, data, bytes);
    copy[12] = (unsigned char)(bytes + HF_HASH_BYTES);
    copy[13] = (unsigned char)((bytes + HF_HASH_BYTES) >> 8);
    copy[14] = copy[15] = 0;
    hf_hash_of(copy, bytes, &checksum);
    memcpy(copy + bytes, checksum.bytes, HF_HASH_BYTES);
    if (hf_format_decode_header(copy, bytes + HF_HASH_BYTES, &header, &header_bytes, &err)) {
        unsigned char again[HF_FORMAT_HEADER_BYTES_MAX];
        HF_ASSERT(hf_format_encode_header(&header, again) == header_bytes && memcmp(copy, again, header_bytes) == 0);
    }
}

static void read_footer(const uint8_t *data, size_t bytes)
{
    unsigned char copy[HF_FORMAT_FOOTER_BYTES];
    struct hf_format_footer footer;
    struct hf_error err;
    struct hf_hash checksum;
    if (bytes < sizeof(copy))
        return;
    memcpy(copy, data, sizeof(copy));
    hf_hash_of(copy, 144, &checksum);
    memcpy(copy + 144, checksum.bytes, HF_HASH_BYTES);
    int64_t file_bytes;
    memcpy(&file_bytes, copy + 128, sizeof(file_bytes));
    if (hf_format_decode_footer(copy, file_bytes, &footer, &err))
        HF_ASSERT(footer.manifest_offset <= file_bytes && footer.manifest_stored_bytes <= file_bytes);
}

static void read_line(bool entry, const uint8_t *data, size_t bytes)
{
    HF_AUTO(arena) struct hf_arena arena;
    struct hf_manifest_header header;
    struct hf_manifest_entry read;
    struct hf_error err;
    hf_arena_init(&arena);
    if (entry)
        (void)!hf_manifest_read_entry((const char *)data, bytes, &arena, &read, &err);
    else
        (void)!hf_manifest_read_header((const char *)data, bytes, &arena, &header, &err);
}

/* Entries are the fuzzer's, behind the header line that the file needs. */
static void read_manifest(const uint8_t *data, size_t bytes)
{
    struct hf_manifest_header header = {
        .system = "s", .id = "full-1", .kind = "full", .generation = "full-1", .sequence = 1};
    HF_AUTO(buf) struct hf_buf manifest;
    hf_buf_init(&manifest, bytes + 4096);
    HF_ASSERT(hf_manifest_write_header(&manifest, &header) && hf_buf_add(&manifest, data, bytes));
    int64_t entries = 0;
    for (size_t i = 0; i < bytes; i++)
        entries += data[i] == '\n';
    read_built(NULL, 0, (const uint8_t *)manifest.data, manifest.bytes, entries);
}

/* A file whose every checksum is right and whose blobs, or manifest before compression, are the fuzzer's. */
static void read_built(const uint8_t *blobs, size_t blobs_bytes, const uint8_t *manifest, size_t manifest_bytes,
                       int64_t entries)
{
    struct hf_format_header header = {
        .full = true, .sequence = 1, .system = "s", .id = "full-1", .generation = "full-1"};
    size_t bound = ZSTD_compressBound(manifest_bytes);
    HF_AUTO(free)
    unsigned char *file = hf_alloc(HF_FORMAT_HEADER_BYTES_MAX + blobs_bytes + bound + HF_FORMAT_FOOTER_BYTES);
    size_t at = hf_format_encode_header(&header, file);
    struct hf_format_footer footer = {.manifest_bytes = (int64_t)manifest_bytes, .entries = entries};
    hf_hash_of(file, at, &footer.header_hash);
    if (blobs_bytes > 0)
        memcpy(file + at, blobs, blobs_bytes);
    at += blobs_bytes;
    footer.manifest_offset = (int64_t)at;
    size_t packed = ZSTD_compress(file + at, bound, manifest, manifest_bytes, 1);
    HF_ASSERT(!ZSTD_isError(packed));
    hf_hash_of(file + at, packed, &footer.manifest_hash);
    footer.manifest_stored_bytes = (int64_t)packed;
    at += packed;
    footer.file_bytes = (int64_t)at + HF_FORMAT_FOOTER_BYTES;
    hf_format_encode_footer(&footer, file + at);
    read_whole(file, at + HF_FORMAT_FOOTER_BYTES);
}
