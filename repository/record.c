#include "repository/record.h"

#include "core/auto.h"

#include <string.h>
#include <zstd.h>

#define LEVEL               1 /* snapshots must be quick: 400 MB/s and more; level 3 saves a few percent at half that */
#define ROOM_BYTES_MIN      ((size_t)1 << 20)
#define ROOM_KEPT_BYTES     ((size_t)8 << 20) /* a larger one is given back after use */
#define SKIPPABLE_MAGIC     0x184D2A50u
#define SKIPPABLE_BYTES_MIN 8

static const int levels[] = {LEVEL, 3,  6, 9,
                             12,    15, 19}; /* the first is what the writer takes, and nearly always fits */

struct room {
    unsigned char *data;
    size_t bytes;
};

struct hf_packer {
    struct hf_seal *seal; /* borrowed; NULL: plain */
    ZSTD_CCtx *zstd;
    struct room packed, sealed;
};

static bool reserve(struct room *room, size_t bytes, struct hf_error *err);
static bool compress(struct hf_packer *packer, int level, const void *data, size_t bytes, size_t room_bytes,
                     size_t *packed_out, struct hf_error *err);
static bool finish(struct hf_packer *packer, struct hf_format_record *record, const unsigned char *inner,
                   size_t inner_bytes, struct hf_packed *out, struct hf_error *err);
static bool seal_hash(struct hf_packer *packer, const struct hf_hash *hash, struct hf_packed *out,
                      struct hf_error *err);
static size_t fill(unsigned char *frame, size_t bytes, size_t missing);
static size_t widen(unsigned char *frame, size_t bytes, size_t missing);

struct hf_packer *hf_packer_new(struct hf_seal *seal)
{
    struct hf_packer *packer = hf_alloc(sizeof(*packer));
    packer->seal = seal;
    packer->zstd = ZSTD_createCCtx();
    HF_ASSERT(packer->zstd);
    return packer;
}

void hf_packer_free(struct hf_packer *packer)
{
    if (!packer)
        return;
    ZSTD_freeCCtx(packer->zstd);
    free(packer->packed.data);
    free(packer->sealed.data);
    free(packer);
}

bool hf_packer_pack(struct hf_packer *packer, const struct hf_hash *hash, const void *data, size_t bytes,
                    struct hf_packed *out, struct hf_error *err)
{
    struct hf_format_record record = {.bytes = (int64_t)bytes, .hash = *hash};
    size_t packed = 0; /* compilers do not see that it is set */
    if (!compress(packer, LEVEL, data, bytes, ZSTD_compressBound(bytes), &packed, err))
        return false;
    if (packed >= bytes)
        return finish(packer, &record, data, bytes, out, err);
    record.encoding = HF_ENCODING_ZSTD;
    return finish(packer, &record, packer->packed.data, packed, out, err);
}

bool hf_packer_pack_into(struct hf_packer *packer, const struct hf_hash *hash, const void *data, size_t bytes,
                         size_t stored_bytes, struct hf_packed *out, struct hf_error *err)
{
    struct hf_format_record record = {.bytes = (int64_t)bytes, .hash = *hash};
    size_t extra = packer->seal ? HF_SEAL_EXTRA_BYTES : 0;
    size_t inner = stored_bytes - extra;
    if (stored_bytes >= extra && inner == bytes)
        return finish(packer, &record, data, bytes, out, err);
    size_t bound = ZSTD_compressBound(bytes);
    record.encoding = HF_ENCODING_ZSTD;
    for (size_t i = 0; stored_bytes >= extra && inner < bytes && i < sizeof(levels) / sizeof(levels[0]); i++) {
        size_t packed = 0;
        if (!compress(packer, levels[i], data, bytes, bound, &packed, err))
            return false;
        if (packed > inner)
            continue;
        packed = fill(packer->packed.data, packed, inner - packed);
        HF_ASSERT(packed == inner);
        return finish(packer, &record, packer->packed.data, packed, out, err);
    }
    return hf_error_set(err, HF_NOT_FOUND, "a content of %zu bytes cannot be stored in %zu", bytes, stored_bytes);
}

static bool reserve(struct room *room, size_t bytes, struct hf_error *err)
{
    if (bytes <= room->bytes && (room->bytes <= ROOM_KEPT_BYTES || bytes > ROOM_KEPT_BYTES))
        return true;
    free(room->data);
    size_t wanted = bytes < ROOM_BYTES_MIN ? ROOM_BYTES_MIN : bytes;
    room->data = malloc(wanted);
    room->bytes = room->data ? wanted : 0;
    if (!room->data)
        return hf_error_set(err, HF_OVERLOADED, "there is no memory to store a state of %zu bytes", bytes);
    return true;
}

static bool compress(struct hf_packer *packer, int level, const void *data, size_t bytes, size_t room_bytes,
                     size_t *packed_out, struct hf_error *err)
{
    if (!reserve(&packer->packed, room_bytes, err))
        return false;
    ZSTD_CCtx_setParameter(packer->zstd, ZSTD_c_compressionLevel, level);
    size_t packed = ZSTD_compress2(packer->zstd, packer->packed.data, room_bytes, data, bytes);
    if (ZSTD_isError(packed))
        return hf_error_set(err, HF_INTERNAL, "a state could not be compressed: %s", ZSTD_getErrorName(packed));
    *packed_out = packed;
    return true;
}

static bool finish(struct hf_packer *packer, struct hf_format_record *record, const unsigned char *inner,
                   size_t inner_bytes, struct hf_packed *out, struct hf_error *err)
{
    const unsigned char *stored = inner;
    size_t stored_bytes = inner_bytes;
    struct hf_hash check = record->hash; /* raw and plain: the stored bytes are the content */
    if (packer->seal) {
        stored_bytes += HF_SEAL_EXTRA_BYTES;
        if (!reserve(&packer->sealed, stored_bytes, err) ||
            !hf_seal_close(packer->seal, record->hash.bytes, HF_HASH_BYTES, inner, inner_bytes, packer->sealed.data,
                           err))
            return false;
        stored = packer->sealed.data;
    }
    if (packer->seal || record->encoding == HF_ENCODING_ZSTD)
        hf_hash_of(stored, stored_bytes, &check);
    memcpy(record->stored_check, check.bytes, sizeof(record->stored_check));
    record->stored_bytes = (int64_t)stored_bytes;
    hf_format_encode_record(record, out->head);
    out->head_bytes = HF_FORMAT_RECORD_BYTES;
    out->stored = stored;
    out->stored_bytes = stored_bytes;
    return !packer->seal || seal_hash(packer, &record->hash, out, err);
}

/* The hash of a short state is as good as the state to one who can guess. Bound to the other fields of its record. */
static bool seal_hash(struct hf_packer *packer, const struct hf_hash *hash, struct hf_packed *out, struct hf_error *err)
{
    out->head_bytes = HF_FORMAT_RECORD_BYTES_MAX;
    return hf_seal_close(packer->seal, out->head, HF_FORMAT_RECORD_FIELDS, hash->bytes, HF_HASH_BYTES,
                         out->head + HF_FORMAT_RECORD_FIELDS, err);
}

/* Makes the one frame longer by what is missing, without changing what it decompresses to; there is room. */
static size_t fill(unsigned char *frame, size_t bytes, size_t missing)
{
    if (missing < SKIPPABLE_BYTES_MIN)
        return widen(frame, bytes, missing);
    size_t body = missing - SKIPPABLE_BYTES_MIN;
    unsigned char *skippable = frame + bytes;
    for (int i = 0; i < 4; i++) {
        skippable[i] = (unsigned char)(SKIPPABLE_MAGIC >> (8 * i));
        skippable[4 + i] = (unsigned char)(body >> (8 * i));
    }
    memset(skippable + SKIPPABLE_BYTES_MIN, 0, body);
    return bytes + missing;
}

/* Too little for a frame of its own: a dictionary id of 0, which says that there is none (RFC 8878, 3.1.1.1.3), takes
 * one, two or four bytes, and an empty raw block before the others three. */
static size_t widen(unsigned char *frame, size_t bytes, size_t missing)
{
    static const struct {
        unsigned char id_flag, id_bytes, blocks;
    } ways[SKIPPABLE_BYTES_MIN] = {{0, 0, 0}, {1, 1, 0}, {2, 2, 0}, {0, 0, 1},
                                   {3, 4, 0}, {2, 2, 1}, {0, 0, 2}, {3, 4, 1}};
    static const unsigned char content_size_bytes[4] = {0, 2, 4, 8};
    unsigned char descriptor = frame[4];
    bool single_segment = (descriptor & 0x20) != 0;
    size_t id_at = single_segment ? 5 : 6;
    size_t size_bytes = content_size_bytes[descriptor >> 6];
    if (size_bytes == 0 && single_segment)
        size_bytes = 1;
    HF_ASSERT((descriptor & 3) == 0); /* we never compress with a dictionary */
    size_t id_bytes = ways[missing].id_bytes, blocks_bytes = 3u * ways[missing].blocks;
    size_t blocks_at = id_at + size_bytes;
    memmove(frame + blocks_at + missing, frame + blocks_at, bytes - blocks_at);
    memmove(frame + id_at + id_bytes, frame + id_at, size_bytes);
    memset(frame + id_at, 0, id_bytes);
    memset(frame + blocks_at + id_bytes, 0, blocks_bytes);
    frame[4] = (unsigned char)(descriptor | ways[missing].id_flag);
    return bytes + missing;
}
