#include "repository/record.h"

#include <string.h>
#include <zstd.h>

static bool check_stored(const struct hf_format_record *record, const unsigned char *stored, struct hf_hash *hash_out,
                         struct hf_error *err);
static bool place_content(const struct hf_record_decoding *with, const struct hf_format_record *record,
                          const unsigned char *stored, struct hf_blob *blob, struct hf_error *err);
static bool decompress(struct ZSTD_DCtx_s *zstd, void *out, size_t bytes, const unsigned char *packed,
                       size_t packed_bytes, struct hf_error *err);

bool hf_record_decode_head(struct hf_seal *seal, const unsigned char *data, struct hf_format_record *out,
                           struct hf_error *err)
{
    if (!seal)
        return hf_format_decode_record(data, out, err);
    return hf_format_decode_record_fields(data, true, out, err) &&
           hf_seal_unlock(seal, data, HF_FORMAT_RECORD_FIELDS, data + HF_FORMAT_RECORD_FIELDS,
                          HF_HASH_BYTES + HF_SEAL_EXTRA_BYTES, out->hash.bytes, err);
}

bool hf_record_decode(const struct hf_record_decoding *with, const struct hf_format_record *record,
                      const unsigned char *stored, struct hf_blob *blob, struct hf_error *err)
{
    struct hf_hash hash;
    if (!check_stored(record, stored, &hash, err) || !place_content(with, record, stored, blob, err))
        return false;
    if (record->encoding != HF_ENCODING_RAW || with->seal)
        hf_hash_of(blob->data, (size_t)record->bytes, &hash); /* else the stored bytes are the content */
    if (!hf_hash_equal(&hash, &record->hash))
        return hf_error_set(err, HF_DAMAGED, "the content does not match its hash");
    blob->bytes = (size_t)record->bytes;
    return true;
}

/* Checked first, so that the decompressor is given only what was written; and a flipped bit is found even where it
 * would not change the content. */
static bool check_stored(const struct hf_format_record *record, const unsigned char *stored, struct hf_hash *hash_out,
                         struct hf_error *err)
{
    hf_hash_of(stored, (size_t)record->stored_bytes, hash_out);
    if (memcmp(hash_out->bytes, record->stored_check, sizeof(record->stored_check)) != 0)
        return hf_error_set(err, HF_DAMAGED, "the stored bytes do not match their checksum");
    return true;
}

static bool place_content(const struct hf_record_decoding *with, const struct hf_format_record *record,
                          const unsigned char *stored, struct hf_blob *blob, struct hf_error *err)
{
    bool raw = record->encoding == HF_ENCODING_RAW;
    size_t bytes = (size_t)record->stored_bytes;
    if (with->seal) {
        unsigned char *into = raw ? blob->data : with->unsealed;
        if (!hf_seal_unlock(with->seal, record->hash.bytes, HF_HASH_BYTES, stored, bytes, into, err))
            return false;
        stored = into;
        bytes -= HF_SEAL_EXTRA_BYTES;
    }
    if (!raw)
        return decompress(with->zstd, blob->data, (size_t)record->bytes, stored, bytes, err);
    if (stored != blob->data)
        memcpy(blob->data, stored, bytes);
    return true;
}

static bool decompress(struct ZSTD_DCtx_s *zstd, void *out, size_t bytes, const unsigned char *packed,
                       size_t packed_bytes, struct hf_error *err)
{
    size_t got = zstd ? ZSTD_decompressDCtx(zstd, out, bytes, packed, packed_bytes)
                      : ZSTD_decompress(out, bytes, packed, packed_bytes);
    if (ZSTD_isError(got))
        return hf_error_set(err, HF_DAMAGED, "the stored bytes do not decompress: %s", ZSTD_getErrorName(got));
    if (got != bytes)
        return hf_error_set(err, HF_DAMAGED, "the content is shorter than its record says");
    return true;
}
