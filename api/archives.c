/* Archives: a snapshot leaves as a tar, and a tar comes back as a snapshot. */
#include "api/api.h"
#include "api/auth.h"
#include "api/conditions.h"
#include "api/handlers.h"
#include "api/snapshot_json.h"
#include "engine/heal.h"
#include "engine/snapshot.h"
#include "engine/validation.h"
#include "repository/archive.h"

#include <string.h>
#include <strings.h>

#define LABEL_BYTES_MAX 256
#define DIGEST_BYTES    64 /* "sha-256=:…:" */

/* One download; owns everything, since it outlives the handler. */
struct download {
    struct hf_engine *engine;
    int64_t system_id;
    char system[HF_NAME_MAX + 4];
    char id[HF_SNAPSHOT_ID_MAX];
    bool asked_elsewhere;   /* its own files lack something */
    struct hf_chain *chain; /* leased; NULL: let go */
    bool zstd;
    struct hf_hasher *hasher;
    const struct hf_writer *to;
    char digest[DIGEST_BYTES];
};

/* A body that is hashed while it is read. */
struct upload {
    const struct hf_reader *body;
    struct hf_hasher *hasher;
    const char *content_digest; /* what was promised; NULL: nothing */
};

static bool read_compression(const struct hf_request *request, bool *zstd_out, struct hf_error *err);
static bool check_whole_allowed(const struct hf_request *request, const char *verb, struct hf_error *err);
static bool produce_archive(void *context, const struct hf_writer *to, struct hf_error *err);
static bool find_elsewhere(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                           char origin[HF_ORIGIN_BYTES]);
static bool hash_and_pass(void *context, const void *data, size_t bytes, struct hf_error *err);
static const char *name_digest(void *context);
static void let_go(struct download *download);
static void free_download(void *context);
static bool check_archive_type(const char *content_type, struct hf_error *err);
static bool read_body(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err);

enum hf_verdict hf_api_snapshot_archive(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    struct hf_system_info system;
    struct hf_snapshot_row row;
    bool zstd = false;
    if (!engine || !read_compression(request, &zstd, err) || !check_whole_allowed(request, "downloaded", err) ||
        !hf_api_read_system(engine, request->params[0], &system, err) ||
        !hf_snapshot_find(engine, system.name, request->params[1], &request->arena, &row, err) ||
        !hf_snapshot_lease(engine, system.id, row.id, err))
        return HF_FAIL;
    struct hf_chain *chain = NULL;
    if (!hf_validation_load_chain(engine, system.name, row.id, &chain, err)) {
        hf_snapshot_release(engine, system.id, row.id);
        return HF_FAIL;
    }
    struct download *download = hf_alloc(sizeof(*download));
    *download = (struct download){
        .engine = engine, .system_id = system.id, .chain = chain, .zstd = zstd, .hasher = hf_hasher_new()};
    snprintf(download->system, sizeof(download->system), "%s", system.name);
    snprintf(download->id, sizeof(download->id), "%s", row.id);
    hf_reply_header_format(request, reply, "Content-Disposition", "attachment; filename=\"%s-%s.tar%s\"", system.name,
                           row.id, zstd ? ".zst" : "");
    reply->status = 200;
    reply->content_type = zstd ? "application/zstd" : "application/x-tar";
    reply->produce = produce_archive;
    reply->produce_context = download;
    reply->produce_free = free_download;
    reply->trailer.name = "Content-Digest";
    reply->trailer_value = name_digest;
    return HF_DONE;
}

enum hf_verdict hf_api_snapshot_import(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    struct hf_engine *engine = hf_api_engine(request, err);
    const char *label = hf_request_query(request, "label");
    if (!engine || !check_whole_allowed(request, "imported", err) ||
        !check_archive_type(request->headers[HF_H_CONTENT_TYPE], err))
        return HF_FAIL;
    if (label && strlen(label) > LABEL_BYTES_MAX) {
        hf_error_set(err, HF_INVALID_REQUEST, "query parameter label is longer than %d bytes", LABEL_BYTES_MAX);
        return HF_FAIL;
    }
    struct upload upload = {.body = request->body_stream,
                            .hasher = hf_hasher_new(),
                            .content_digest = request->headers[HF_H_CONTENT_DIGEST]};
    const struct hf_reader reader = {read_body, &upload};
    struct hf_snapshot_row row;
    struct hf_system_info system;
    bool ok = hf_snapshot_import(engine, request->params[0], &reader, label, &request->arena, &row, err) &&
              hf_api_read_system(engine, request->params[0], &system, err);
    hf_hasher_free(upload.hasher);
    if (!ok)
        return HF_FAIL;
    HF_AUTO(json) json_t *object = hf_api_snapshot_json(engine, &system, &row);
    hf_reply_header_format(request, reply, "Location", "/v1/systems/%s/snapshots/%s", system.name, row.id);
    hf_reply_json(reply, 201, object);
    return HF_DONE;
}

static bool read_compression(const struct hf_request *request, bool *zstd_out, struct hf_error *err)
{
    const char *compress = hf_request_query(request, "compress");
    *zstd_out = compress && strcmp(compress, "zstd") == 0;
    if (!compress || *zstd_out || strcmp(compress, "none") == 0)
        return true;
    return hf_error_set(err, HF_INVALID_REQUEST, "query parameter compress must be zstd or none");
}

/* An archive is the whole system. */
static bool check_whole_allowed(const struct hf_request *request, const char *verb, struct hf_error *err)
{
    const char *prefix = request->principal ? request->principal->component_prefix : NULL;
    if (!prefix)
        return true;
    return hf_error_set(err, HF_FORBIDDEN,
                        "an archive holds every component and cannot be %s with token %s, which is limited to "
                        "components that begin with %s",
                        verb, request->principal->id, prefix);
}

static bool produce_archive(void *context, const struct hf_writer *to, struct hf_error *err)
{
    struct download *download = context;
    download->to = to;
    const struct hf_content_source elsewhere = {find_elsewhere, download};
    bool ok = hf_archive_write(download->chain, download->zstd, &elsewhere,
                               &(struct hf_writer){hash_and_pass, download}, err);
    let_go(download); /* before the client knows that it has all: it may delete the snapshot next */
    if (!ok)
        return false;
    struct hf_hash hash;
    char base64[4 * ((HF_HASH_BYTES + 2) / 3) + 1];
    hf_hasher_finish(download->hasher, &hash);
    hf_base64_encode(hash.bytes, HF_HASH_BYTES, base64);
    snprintf(download->digest, sizeof(download->digest), "sha-256=:%s:", base64);
    return true;
}

/* What damage took from the files comes from wherever else it is, so that the download is whole; they are mended
 * meanwhile. */
static bool find_elsewhere(void *context, const struct hf_hash *hash, int64_t bytes, struct hf_blob **out,
                           char origin[HF_ORIGIN_BYTES])
{
    struct download *download = context;
    if (!download->asked_elsewhere)
        hf_validation_mend_later(download->engine, download->system, download->id);
    download->asked_elsewhere = true;
    return hf_heal_find(download->engine, download->system, hash, bytes, HF_HEAL_THOROUGH, out, origin);
}

static bool hash_and_pass(void *context, const void *data, size_t bytes, struct hf_error *err)
{
    struct download *download = context;
    hf_hasher_add(download->hasher, data, bytes);
    return download->to->write(download->to->context, data, bytes, err);
}

static const char *name_digest(void *context)
{
    return ((struct download *)context)->digest;
}

static void let_go(struct download *download)
{
    if (!download->chain)
        return;
    hf_chain_free(download->chain);
    download->chain = NULL;
    hf_snapshot_release(download->engine, download->system_id, download->id);
}

static void free_download(void *context)
{
    struct download *download = context;
    let_go(download);
    hf_hasher_free(download->hasher);
    free(download);
}

/* None of them can be sent by a form on somebody's page. */
static bool check_archive_type(const char *content_type, struct hf_error *err)
{
    static const char *const types[] = {"application/x-tar", "application/zstd", "application/gzip",
                                        "application/x-gtar", "application/octet-stream"};
    size_t bytes = content_type ? strcspn(content_type, "; \t") : 0;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (bytes == strlen(types[i]) && strncasecmp(content_type, types[i], bytes) == 0)
            return true;
    }
    return hf_error_set(err, HF_UNSUPPORTED_MEDIA,
                        "an archive is sent as Content-Type application/x-tar, application/zstd, application/gzip or "
                        "application/octet-stream");
}

/* The import reads to the end before it publishes, so that a wrong digest is known in time. */
static bool read_body(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err)
{
    struct upload *upload = context;
    if (!upload->body->read(upload->body->context, out, bytes_max, got_out, err))
        return false;
    hf_hasher_add(upload->hasher, out, *got_out);
    if (*got_out > 0 || !upload->content_digest)
        return true;
    struct hf_hash hash;
    hf_hasher_finish(upload->hasher, &hash);
    return hf_content_digest_check(upload->content_digest, &hash, err);
}
