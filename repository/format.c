#include "repository/format.h"

#include <string.h>

#define MAGIC_BYTES          8
#define HEADER_FIXED_BYTES   44
#define FOOTER_CHECKED_BYTES 144
#define SALT_HEX_BYTES       (2 * HF_FORMAT_SALT_BYTES + 1)

/* Like PNG's: a byte over 127, a CR LF pair and a control-Z catch transfers that "correct" text. */
static const unsigned char header_magic[MAGIC_BYTES] = {0x89, 'H', 'F', 'S', 'N', '\r', '\n', 0x1a};
static const unsigned char footer_magic[MAGIC_BYTES] = {'H', 'F', 'S', 'N', 'E', 'N', 'D', '\n'};
static const unsigned char record_magic[4] = {'H', 'F', 'B', '1'};

enum { KIND_FULL = 1, KIND_INCREMENTAL = 2 };

static void put_number(unsigned char *out, uint64_t value, int bytes);
static uint64_t get_number(const unsigned char *data, int bytes);
static bool get_size(const unsigned char *data, int64_t *out);
static size_t put_text(unsigned char *out, const char *text);
static bool get_text(const unsigned char *data, size_t end, size_t *at, char *out, size_t text_max);
static bool decode_header_fields(const unsigned char *data, size_t end, bool encrypted, struct hf_format_header *out);
static bool get_key(const unsigned char *data, size_t end, size_t *at, struct hf_format_header *out);
static bool get_hex(const char *text, unsigned char *out, size_t bytes);
static void put_hex(const unsigned char *data, size_t bytes, char *out);

bool hf_format_id_is_valid(const char *id)
{
    size_t bytes = strlen(id);
    return bytes <= HF_SNAPSHOT_ID_MAX && hf_name_is_valid(id, bytes);
}

size_t hf_format_encode_header(const struct hf_format_header *header, unsigned char out[HF_FORMAT_HEADER_BYTES_MAX])
{
    bool encrypted = header->key_id[0] != '\0';
    memset(out, 0, HEADER_FIXED_BYTES);
    memcpy(out, header_magic, MAGIC_BYTES);
    put_number(out + 8, encrypted ? HF_FORMAT_VERSION_ENCRYPTED : HF_FORMAT_VERSION_PLAIN, 4);
    put_number(out + 16, (uint64_t)header->sequence, 8);
    put_number(out + 24, (uint64_t)header->epoch, 8);
    put_number(out + 32, (uint64_t)header->cut_at_ms, 8);
    put_number(out + 40, header->full ? KIND_FULL : KIND_INCREMENTAL, 4);
    size_t at = HEADER_FIXED_BYTES;
    at += put_text(out + at, header->system);
    at += put_text(out + at, header->id);
    at += put_text(out + at, header->generation);
    at += put_text(out + at, header->parent);
    if (encrypted) {
        char salt[SALT_HEX_BYTES];
        put_hex(header->salt, HF_FORMAT_SALT_BYTES, salt);
        at += put_text(out + at, header->key_id);
        at += put_text(out + at, salt);
    }
    put_number(out + 12, at + HF_HASH_BYTES, 4);
    struct hf_hash checksum;
    hf_hash_of(out, at, &checksum);
    memcpy(out + at, checksum.bytes, HF_HASH_BYTES);
    return at + HF_HASH_BYTES;
}

bool hf_format_decode_header(const unsigned char *data, size_t bytes, struct hf_format_header *out,
                             size_t *header_bytes_out, struct hf_error *err)
{
    if (bytes < HF_FORMAT_HEADER_BYTES_MIN)
        return hf_error_set(err, HF_DAMAGED, "the file is too short for a header");
    if (memcmp(data, header_magic, MAGIC_BYTES) != 0)
        return hf_error_set(err, HF_DAMAGED, "the file does not start as a snapshot file does");
    uint64_t version = get_number(data + 8, 4);
    size_t header_bytes = (size_t)get_number(data + 12, 4);
    if (header_bytes < HF_FORMAT_HEADER_BYTES_MIN || header_bytes > HF_FORMAT_HEADER_BYTES_MAX || header_bytes > bytes)
        return hf_error_set(err, HF_DAMAGED, "the header's length of %zu bytes is impossible", header_bytes);
    size_t end = header_bytes - HF_HASH_BYTES;
    struct hf_hash checksum;
    hf_hash_of(data, end, &checksum);
    if (memcmp(data + end, checksum.bytes, HF_HASH_BYTES) != 0)
        return hf_error_set(err, HF_DAMAGED, "the header does not match its checksum");
    if (version != HF_FORMAT_VERSION_PLAIN && version != HF_FORMAT_VERSION_ENCRYPTED)
        return hf_error_set(err, HF_IO, "the file has format version %llu; this program reads versions up to %d",
                            (unsigned long long)version, HF_FORMAT_VERSION_ENCRYPTED);
    struct hf_format_header header = {0};
    if (!decode_header_fields(data, end, version == HF_FORMAT_VERSION_ENCRYPTED, &header))
        return hf_error_set(err, HF_DAMAGED, "the header holds an impossible field");
    *out = header;
    *header_bytes_out = header_bytes;
    return true;
}

static bool decode_header_fields(const unsigned char *data, size_t end, bool encrypted, struct hf_format_header *out)
{
    uint64_t kind = get_number(data + 40, 4);
    out->full = kind == KIND_FULL;
    size_t at = HEADER_FIXED_BYTES;
    return (kind == KIND_FULL || kind == KIND_INCREMENTAL) && get_size(data + 16, &out->sequence) &&
           get_size(data + 24, &out->epoch) && get_size(data + 32, &out->cut_at_ms) &&
           out->sequence <= HF_MANIFEST_NUMBER_MAX && out->epoch <= HF_MANIFEST_NUMBER_MAX &&
           out->cut_at_ms <= HF_MANIFEST_TIME_MAX_MS && get_text(data, end, &at, out->system, HF_NAME_MAX) &&
           get_text(data, end, &at, out->id, HF_SNAPSHOT_ID_MAX) &&
           get_text(data, end, &at, out->generation, HF_SNAPSHOT_ID_MAX) &&
           get_text(data, end, &at, out->parent, HF_SNAPSHOT_ID_MAX) && (!encrypted || get_key(data, end, &at, out)) &&
           at == end && hf_name_is_valid(out->system, strlen(out->system)) && hf_format_id_is_valid(out->id) &&
           hf_format_id_is_valid(out->generation) && (!out->parent[0] || hf_format_id_is_valid(out->parent));
}

/* A text that says another thing in other digits would let one file have two headers: hex is lower case only. */
static bool get_key(const unsigned char *data, size_t end, size_t *at, struct hf_format_header *out)
{
    unsigned char key_id[(HF_FORMAT_KEY_ID_BYTES - 1) / 2];
    char salt[SALT_HEX_BYTES];
    return get_text(data, end, at, out->key_id, HF_FORMAT_KEY_ID_BYTES - 1) &&
           get_hex(out->key_id, key_id, sizeof(key_id)) && get_text(data, end, at, salt, sizeof(salt) - 1) &&
           get_hex(salt, out->salt, sizeof(out->salt));
}

void hf_format_encode_record(const struct hf_format_record *record, unsigned char out[HF_FORMAT_RECORD_BYTES])
{
    memcpy(out, record_magic, sizeof(record_magic));
    put_number(out + 4, record->encoding, 4);
    put_number(out + 8, (uint64_t)record->bytes, 8);
    put_number(out + 16, (uint64_t)record->stored_bytes, 8);
    memcpy(out + 24, record->stored_check, sizeof(record->stored_check));
    memcpy(out + 32, record->hash.bytes, HF_HASH_BYTES);
}

bool hf_format_decode_record_fields(const unsigned char data[HF_FORMAT_RECORD_FIELDS], bool sealed,
                                    struct hf_format_record *out, struct hf_error *err)
{
    struct hf_format_record record = {0};
    uint64_t encoding = get_number(data + 4, 4);
    int64_t extra = sealed ? HF_FORMAT_SEAL_BYTES : 0;
    if (memcmp(data, record_magic, sizeof(record_magic)) != 0)
        return hf_error_set(err, HF_DAMAGED, "no blob record starts here");
    if (encoding != HF_ENCODING_RAW && encoding != HF_ENCODING_ZSTD)
        return hf_error_set(err, HF_DAMAGED, "the blob record has an unknown encoding");
    record.encoding = (enum hf_format_encoding)encoding;
    if (!get_size(data + 8, &record.bytes) || record.bytes > HF_FORMAT_BLOB_BYTES_MAX ||
        !get_size(data + 16, &record.stored_bytes) || record.stored_bytes < extra ||
        record.stored_bytes > HF_FORMAT_BLOB_BYTES_MAX + extra)
        return hf_error_set(err, HF_DAMAGED, "the blob record has an impossible length");
    int64_t inner = record.stored_bytes - extra;
    if (record.encoding == HF_ENCODING_RAW ? inner != record.bytes : inner >= record.bytes)
        return hf_error_set(err, HF_DAMAGED, "the blob record's lengths do not fit its encoding");
    memcpy(record.stored_check, data + 24, sizeof(record.stored_check));
    *out = record;
    return true;
}

bool hf_format_decode_record(const unsigned char data[HF_FORMAT_RECORD_BYTES], struct hf_format_record *out,
                             struct hf_error *err)
{
    if (!hf_format_decode_record_fields(data, false, out, err))
        return false;
    memcpy(out->hash.bytes, data + HF_FORMAT_RECORD_FIELDS, HF_HASH_BYTES);
    return true;
}

void hf_format_encode_footer(const struct hf_format_footer *footer, unsigned char out[HF_FORMAT_FOOTER_BYTES])
{
    put_number(out, (uint64_t)footer->manifest_offset, 8);
    put_number(out + 8, (uint64_t)footer->manifest_stored_bytes, 8);
    put_number(out + 16, (uint64_t)footer->manifest_bytes, 8);
    put_number(out + 24, (uint64_t)footer->entries, 8);
    memcpy(out + 32, footer->manifest_hash.bytes, HF_HASH_BYTES);
    memcpy(out + 64, footer->root_hash.bytes, HF_HASH_BYTES);
    memcpy(out + 96, footer->header_hash.bytes, HF_HASH_BYTES);
    put_number(out + 128, (uint64_t)footer->file_bytes, 8);
    put_number(out + 136, (uint64_t)footer->blobs, 8);
    struct hf_hash checksum;
    hf_hash_of(out, FOOTER_CHECKED_BYTES, &checksum);
    memcpy(out + FOOTER_CHECKED_BYTES, checksum.bytes, HF_HASH_BYTES);
    memcpy(out + FOOTER_CHECKED_BYTES + HF_HASH_BYTES, footer_magic, MAGIC_BYTES);
}

int64_t hf_format_footer_file_bytes(const unsigned char data[HF_FORMAT_FOOTER_BYTES])
{
    int64_t bytes;
    return get_size(data + 128, &bytes) ? bytes : -1;
}

bool hf_format_decode_footer(const unsigned char data[HF_FORMAT_FOOTER_BYTES], int64_t file_bytes,
                             struct hf_format_footer *out, struct hf_error *err)
{
    if (memcmp(data + FOOTER_CHECKED_BYTES + HF_HASH_BYTES, footer_magic, MAGIC_BYTES) != 0)
        return hf_error_set(err, HF_DAMAGED, "the file does not end as a snapshot file does; it may be cut short");
    struct hf_hash checksum;
    hf_hash_of(data, FOOTER_CHECKED_BYTES, &checksum);
    if (memcmp(data + FOOTER_CHECKED_BYTES, checksum.bytes, HF_HASH_BYTES) != 0)
        return hf_error_set(err, HF_DAMAGED, "the footer does not match its checksum");
    struct hf_format_footer footer;
    if (!get_size(data, &footer.manifest_offset) || !get_size(data + 8, &footer.manifest_stored_bytes) ||
        !get_size(data + 16, &footer.manifest_bytes) || !get_size(data + 24, &footer.entries) ||
        !get_size(data + 128, &footer.file_bytes) || !get_size(data + 136, &footer.blobs))
        return hf_error_set(err, HF_DAMAGED, "the footer holds an impossible number");
    memcpy(footer.manifest_hash.bytes, data + 32, HF_HASH_BYTES);
    memcpy(footer.root_hash.bytes, data + 64, HF_HASH_BYTES);
    memcpy(footer.header_hash.bytes, data + 96, HF_HASH_BYTES);
    if (footer.file_bytes != file_bytes)
        return hf_error_set(err, HF_DAMAGED, "the file has %lld bytes and was written with %lld", (long long)file_bytes,
                            (long long)footer.file_bytes);
    /* Subtractions only: every number is non-negative, so nothing here can overflow. */
    if (file_bytes < HF_FORMAT_FOOTER_BYTES || footer.manifest_offset > file_bytes - HF_FORMAT_FOOTER_BYTES ||
        footer.manifest_stored_bytes != file_bytes - HF_FORMAT_FOOTER_BYTES - footer.manifest_offset)
        return hf_error_set(err, HF_DAMAGED, "the footer places the manifest outside the file");
    *out = footer;
    return true;
}

static void put_number(unsigned char *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static uint64_t get_number(const unsigned char *data, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)data[i] << (8 * i);
    return value;
}

/* Everything stored in eight bytes is a count, a length or a time: never over INT64_MAX. */
static bool get_size(const unsigned char *data, int64_t *out)
{
    uint64_t value = get_number(data, 8);
    if (value > INT64_MAX)
        return false;
    *out = (int64_t)value;
    return true;
}

static size_t put_text(unsigned char *out, const char *text)
{
    size_t bytes = strlen(text);
    put_number(out, bytes, 2);
    memcpy(out + 2, text, bytes);
    return 2 + bytes;
}

/* Takes one length-prefixed text at *at and moves on; false when it passes end or text_max. */
static bool get_text(const unsigned char *data, size_t end, size_t *at, char *out, size_t text_max)
{
    if (end - *at < 2)
        return false;
    size_t bytes = (size_t)get_number(data + *at, 2);
    if (bytes > text_max || bytes > end - *at - 2 || memchr(data + *at + 2, 0, bytes))
        return false;
    memcpy(out, data + *at + 2, bytes);
    out[bytes] = '\0';
    *at += 2 + bytes;
    return true;
}

static bool get_hex(const char *text, unsigned char *out, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * bytes || strspn(text, digits) != 2 * bytes)
        return false;
    for (size_t i = 0; i < bytes; i++)
        out[i] =
            (unsigned char)((strchr(digits, text[2 * i]) - digits) << 4 | (strchr(digits, text[2 * i + 1]) - digits));
    return true;
}

static void put_hex(const unsigned char *data, size_t bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * bytes] = '\0';
}
