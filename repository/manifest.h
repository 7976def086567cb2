/* What a snapshot says about itself: a header and one entry a component, as plain structs and as the JSON lines of
 * docs/snapshot-format.md. */
#ifndef HF_REPOSITORY_MANIFEST_H
#define HF_REPOSITORY_MANIFEST_H

#include "core/arena.h"
#include "core/buf.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/id.h"

#include <stdint.h>

/* The greatest number that is read or written: what every reader of JSON has exactly. Files and archives may come from
 * anywhere, and what is counted on from their numbers must not overflow. */
#define HF_MANIFEST_NUMBER_MAX  ((INT64_C(1) << 53) - 1)
#define HF_MANIFEST_TIME_MAX_MS INT64_C(253402300799999) /* the end of year 9999 */

#define HF_SNAPSHOT_ID_MAX 96 /* "incremental-20261123T013000Z-9223372036854775807-99" fits */

struct hf_manifest_header {
    const char *system;
    const char *id;
    const char *kind; /* full | incremental */
    const char *trigger;
    const char *label;
    const char *generation; /* id of the anchor; the anchor's own id when this is one */
    const char *parent;     /* "" for an anchor */
    int64_t sequence;       /* the cut */
    int64_t epoch;
    int64_t cut_at_ms;
    struct hf_hash root_hash; /* of the whole system at the cut, see hf_root_hash_add */
    int64_t components;       /* with a present state, in the whole system at the cut */
    int64_t changed;          /* entries with a state that differ from the parent (full: from the previous snapshot) */
    int64_t deleted;          /* tombstones among the entries */
    int64_t state_bytes;      /* sum of the present states of the whole system */
    /* settings of the system, so that it can be rebuilt from files alone; -1: the service's */
    const char *description;
    int64_t backup_interval_ms;
    int64_t incremental_interval_ms;
    int64_t max_retention_hours;
    int64_t created_at_ms;
    /* of the root hash (keys.h); both "" where the snapshot is not signed */
    const char *signed_by; /* id of the public key */
    const char *signature; /* base64 */
};

/* A full lists every component (tombstones and registrations without a state too); an incremental those whose state
 * or registration changed since its parent. */
struct hf_manifest_entry {
    const char *component;
    int64_t version; /* 0: registered, never had a state */
    int64_t sequence;
    struct hf_hash hash;
    int64_t bytes;
    const char *content_type;
    int64_t committed_at_ms;
    bool deleted;
    /* registration */
    const char *component_kind;
    const char *depends_on;        /* JSON array */
    const char *required_pointers; /* JSON array */
    int64_t heartbeat_interval_ms;
    int64_t registered_at_ms;
    int64_t created_at_ms;
    /* where the blob is; unused for tombstones and version 0 */
    const char *blob_file; /* snapshot id within the same generation; "" while writing: this file */
    int64_t blob_offset;
    int64_t blob_stored_bytes;
};

/* True for an entry that stands for a present state. */
static inline bool hf_manifest_entry_is_present(const struct hf_manifest_entry *entry)
{
    return entry->version > 0 && !entry->deleted;
}

/* One line each, with its newline. */
bool hf_manifest_write_header(struct hf_buf *out, const struct hf_manifest_header *header);
bool hf_manifest_write_entry(struct hf_buf *out, const struct hf_manifest_entry *entry);

/* Strict: unknown or missing fields, bad names, negative or too great numbers are HF_DAMAGED. Texts go to the arena. */
HF_MUST_USE bool hf_manifest_read_header(const char *line, size_t bytes, struct hf_arena *arena,
                                         struct hf_manifest_header *out, struct hf_error *err);
HF_MUST_USE bool hf_manifest_read_entry(const char *line, size_t bytes, struct hf_arena *arena,
                                        struct hf_manifest_entry *out, struct hf_error *err);

/* A header whose texts live in the arena; kind becomes one of the two words. Texts that a damaged file lacks are "". */
void hf_manifest_header_copy(struct hf_arena *arena, const struct hf_manifest_header *from,
                             struct hf_manifest_header *to);

/* The root hash: SHA-256 over, for every present state in byte order of its name, name, a NUL, the 32 hash bytes.
 * Equal systems have equal root hashes however they were stored. */
void hf_root_hash_add(struct hf_hasher *hasher, const char *component, const struct hf_hash *hash);

#endif
