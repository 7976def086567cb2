/* The fixed parts of a snapshot file as bytes: header, blob record, footer (docs/snapshot-format.md). Pure functions
 * over memory: what is decoded has been checked against its own checksum and bounds, and nothing else. Private to
 * repository/. */
#ifndef HF_REPOSITORY_FORMAT_H
#define HF_REPOSITORY_FORMAT_H

#include "core/digest.h"
#include "core/error.h"
#include "core/id.h"
#include "repository/manifest.h"

#include <stddef.h>
#include <stdint.h>

#define HF_FORMAT_VERSION_PLAIN     1
#define HF_FORMAT_VERSION_ENCRYPTED 2
#define HF_FORMAT_HEADER_BYTES_MIN  84 /* fixed fields, four empty texts, checksum */
#define HF_FORMAT_HEADER_BYTES_MAX  1024
#define HF_FORMAT_RECORD_FIELDS     32 /* bytes of a record before the content's hash */
#define HF_FORMAT_RECORD_BYTES      64 /* of a plain file */
#define HF_FORMAT_RECORD_BYTES_MAX  92 /* of an encrypted file: its hash is sealed */
#define HF_FORMAT_SEAL_BYTES        28 /* what sealing adds: a nonce of 12 and a tag of 16 */
#define HF_FORMAT_KEY_ID_BYTES      17 /* 16 hex digits and the NUL */
#define HF_FORMAT_SALT_BYTES        16
#define HF_FORMAT_FOOTER_BYTES      184
#define HF_FORMAT_BLOB_BYTES_MAX    (INT64_C(4) << 30)
#define HF_FORMAT_LINE_BYTES_MAX    ((size_t)4 << 20) /* of the manifest, with its newline */
#define HF_FORMAT_WINDOW_LOG_MAX    23                /* of the manifest's zstd frames: at most 8 MiB to decode them */

struct hf_format_header {
    bool full;
    int64_t sequence;
    int64_t epoch;
    int64_t cut_at_ms;
    char system[HF_NAME_MAX + 1];
    char id[HF_SNAPSHOT_ID_MAX + 1];
    char generation[HF_SNAPSHOT_ID_MAX + 1];
    char parent[HF_SNAPSHOT_ID_MAX + 1];
    char key_id[HF_FORMAT_KEY_ID_BYTES]; /* "": a plain file (version 1); else an encrypted one (version 2) */
    unsigned char salt[HF_FORMAT_SALT_BYTES];
};

enum hf_format_encoding { HF_ENCODING_RAW = 0, HF_ENCODING_ZSTD = 1 };

struct hf_format_record {
    enum hf_format_encoding encoding;
    int64_t bytes;
    int64_t stored_bytes;          /* what sealing adds included */
    unsigned char stored_check[8]; /* first bytes of the SHA-256 of the stored bytes */
    struct hf_hash hash;           /* of the content */
};

struct hf_format_footer {
    int64_t manifest_offset;
    int64_t manifest_stored_bytes;
    int64_t manifest_bytes;
    int64_t entries;
    struct hf_hash manifest_hash; /* of the stored manifest */
    struct hf_hash root_hash;     /* zeros in an encrypted file: there only the manifest says it */
    struct hf_hash header_hash;   /* of the whole header, its checksum included */
    int64_t file_bytes;
    int64_t blobs;
};

/* True for an id that can be part of a path here: a name, at most HF_SNAPSHOT_ID_MAX long. */
bool hf_format_id_is_valid(const char *id);

/* Writes the header and returns its length. The texts must be valid. */
size_t hf_format_encode_header(const struct hf_format_header *header, unsigned char out[HF_FORMAT_HEADER_BYTES_MAX]);

/* Decodes the header at the start of data (which may hold more) and tells its length. HF_DAMAGED; HF_IO when it is
 * sound but of a newer format version. */
HF_MUST_USE bool hf_format_decode_header(const unsigned char *data, size_t bytes, struct hf_format_header *out,
                                         size_t *header_bytes_out, struct hf_error *err);

void hf_format_encode_record(const struct hf_format_record *record, unsigned char out[HF_FORMAT_RECORD_BYTES]);
/* The first HF_FORMAT_RECORD_FIELDS bytes of a record of either kind; the hash is left as zeros. */
HF_MUST_USE bool hf_format_decode_record_fields(const unsigned char data[HF_FORMAT_RECORD_FIELDS], bool sealed,
                                                struct hf_format_record *out, struct hf_error *err);
/* Of a plain file. */
HF_MUST_USE bool hf_format_decode_record(const unsigned char data[HF_FORMAT_RECORD_BYTES], struct hf_format_record *out,
                                         struct hf_error *err);

void hf_format_encode_footer(const struct hf_format_footer *footer, unsigned char out[HF_FORMAT_FOOTER_BYTES]);

/* What an encoded footer says of the length of its file; -1: nothing possible. Not checked. */
int64_t hf_format_footer_file_bytes(const unsigned char data[HF_FORMAT_FOOTER_BYTES]);

/* Checks magic, checksum, and that manifest and footer end the file of file_bytes. */
HF_MUST_USE bool hf_format_decode_footer(const unsigned char data[HF_FORMAT_FOOTER_BYTES], int64_t file_bytes,
                                         struct hf_format_footer *out, struct hf_error *err);

#endif
