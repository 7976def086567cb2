/* libFuzzer entry for archives that come from elsewhere. The first byte chooses what the rest is: a whole archive, in
 * small pieces or large ones; a manifest.json, in a tar whose checksums are right; or members behind a manifest that is
 * right. What is taken must be a sound snapshot. tests/fuzz/run_fuzzers builds and runs it. */
#include "core/auto.h"
#include "core/buf.h"
#include "repository/archive.h"

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK   512
#define TAR_MAX ((size_t)4 << 20)
#define STATES  2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum input { WHOLE, WHOLE_IN_PIECES, MANIFEST, MEMBERS, INPUT_COUNT };

struct source {
    const uint8_t *data;
    size_t bytes, at, step;
};

/* Those of the seeds: agent-1 and agent-2. */
static const char *const contents[STATES] = {
    "{\"q\":[1,2,3]}", "{\"text\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"};
static struct hf_repository *repository;

static bool read_source(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err)
{
    (void)err;
    struct source *source = context;
    size_t left = source->bytes - source->at, bytes = bytes_max < source->step ? bytes_max : source->step;
    if (bytes > left)
        bytes = left;
    if (bytes > 0)
        memcpy(out, source->data + source->at, bytes);
    source->at += bytes;
    *got_out = bytes;
    return true;
}

static char in_memory[] = "/dev/shm/holdfast-fuzz-XXXXXX", elsewhere[] = "/tmp/holdfast-fuzz-XXXXXX";
static const char *directory;

static void remove_repository(void)
{
    HF_AUTO(free) char *system = hf_format("%s/fuzz", directory);
    hf_repository_close(repository);
    rmdir(system);
    rmdir(directory);
}

/* One place for all runs, in memory where there is such a directory. */
static void open_repository(void)
{
    struct hf_error err;
    directory = mkdtemp(in_memory);
    if (!directory)
        directory = mkdtemp(elsewhere);
    HF_ASSERT(directory && hf_repository_open(&repository, directory, directory, &err));
    atexit(remove_repository);
}

static void check_taken(void)
{
    struct hf_chain *chain = NULL;
    struct hf_error err;
    HF_ASSERT(hf_chain_load(&chain, repository, "fuzz", "full-1", &err));
    for (int64_t i = 0; i < hf_chain_count(chain); i++) {
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        const struct hf_manifest_entry *entry = hf_chain_entry(chain, i);
        HF_ASSERT(!hf_manifest_entry_is_present(entry) || hf_chain_read(chain, entry, &blob, &err));
    }
    hf_chain_free(chain);
    int64_t freed;
    HF_ASSERT(hf_repository_delete(repository, "fuzz", "full", "full-1", &freed, &err));
}

static void take_in(const uint8_t *data, size_t bytes, size_t step)
{
    static const struct hf_archive_limits limits = {(int64_t)8 << 20, (int64_t)1 << 20, (int64_t)1 << 20};
    struct source source = {data, bytes, 0, step};
    const struct hf_reader reader = {read_source, &source};
    struct hf_archive *archive = NULL;
    struct hf_error err;
    if (!hf_archive_open(&archive, &reader, &limits, &err)) {
        HF_ASSERT(err.code == HF_INVALID_REQUEST || err.code == HF_BODY_TOO_LARGE);
        return;
    }
    struct hf_manifest_header header = *hf_archive_header(archive);
    header.system = "fuzz";
    header.id = header.generation = "full-1";
    header.kind = "full";
    header.trigger = "import";
    header.signed_by = header.signature = "";
    struct hf_snapshot_writer *writer = NULL;
    HF_AUTO(free) char *file = NULL;
    int64_t file_bytes;
    HF_ASSERT(hf_snapshot_writer_new(&writer, repository, &header, &err));
    bool taken = hf_archive_read(archive, writer, &err);
    HF_ASSERT(taken || err.code == HF_INVALID_REQUEST || err.code == HF_BODY_TOO_LARGE);
    if (taken)
        HF_ASSERT(hf_snapshot_writer_finish(writer, &header, &file, &file_bytes, &err));
    hf_snapshot_writer_free(writer);
    hf_archive_free(archive);
    if (taken)
        check_taken();
}

static void add_member(struct hf_buf *out, const char *name, const void *data, size_t bytes)
{
    static const char zeros[BLOCK];
    char head[BLOCK] = {0};
    snprintf(head, 100, "%s", name);
    memcpy(head + 100, "0000640", 8);
    snprintf(head + 124, 12, "%011llo", (long long)bytes);
    memcpy(head + 136, "00000000000", 12);
    memcpy(head + 156, "0", 1);
    memcpy(head + 257, "ustar\00000", 8);
    memset(head + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 8, "%06o", sum);
    hf_buf_add(out, head, BLOCK);
    hf_buf_add(out, data, bytes);
    hf_buf_add(out, zeros, (BLOCK - bytes % BLOCK) % BLOCK);
}

static void add_good_manifest(struct hf_buf *tar)
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, TAR_MAX);
    struct hf_hash hash[STATES], root_hash;
    struct hf_hasher *hasher = hf_hasher_new();
    char label[HF_HASH_LABEL], name[16];
    size_t sum = 0;
    for (int i = 0; i < STATES; i++) {
        hf_hash_of(contents[i], strlen(contents[i]), &hash[i]);
        snprintf(name, sizeof(name), "agent-%d", i + 1);
        hf_root_hash_add(hasher, name, &hash[i]);
        sum += strlen(contents[i]);
    }
    hf_hasher_finish(hasher, &root_hash);
    hf_hasher_free(hasher);
    hf_hash_label(&root_hash, label);
    hf_buf_add_format(
        &text,
        "{\"format\":\"holdfast-archive\",\"version\":1,\"system\":\"s\",\"id\":\"full-1\",\"kind\":\"full\","
        "\"trigger\":\"manual\",\"label\":\"\",\"generation\":\"full-1\",\"sequence\":9,\"epoch\":1,"
        "\"cutAt\":\"2026-11-23T01:30:00.123Z\",\"rootHash\":\"%s\",\"components\":%d,\"stateBytes\":%zu,"
        "\"createdAt\":null,\"entries\":[",
        label, STATES, sum);
    for (int i = 0; i < STATES; i++) {
        hf_hash_label(&hash[i], label);
        hf_buf_add_format(&text,
                          "%s{\"component\":\"agent-%d\",\"version\":1,\"sequence\":%d,\"hash\":\"%s\",\"bytes\":%zu,"
                          "\"contentType\":\"text/plain\",\"committedAt\":null,\"file\":\"states/agent-%d\","
                          "\"createdAt\":null,\"kind\":\"\",\"dependsOn\":[],\"requiredPointers\":[],"
                          "\"heartbeatIntervalMs\":0,\"registeredAt\":null}",
                          i ? "," : "", i + 1, i + 1, label, strlen(contents[i]), i + 1);
    }
    hf_buf_add_text(&text, "]}");
    add_member(tar, "manifest.json", text.data, text.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    if (!repository)
        open_repository();
    enum input input = (enum input)(data[0] % INPUT_COUNT);
    data++;
    bytes--;
    if (input == WHOLE || input == WHOLE_IN_PIECES) {
        take_in(data, bytes, input == WHOLE ? SIZE_MAX : 37);
        return 0;
    }
    HF_AUTO(buf) struct hf_buf tar;
    hf_buf_init(&tar, TAR_MAX);
    if (input == MANIFEST) {
        add_member(&tar, "manifest.json", data, bytes);
        add_member(&tar, "states/agent-1", contents[0], strlen(contents[0]));
        add_member(&tar, "states/agent-2", contents[1], strlen(contents[1]));
    } else {
        add_good_manifest(&tar);
        add_member(&tar, "states/agent-2", contents[1], strlen(contents[1]));
        hf_buf_add(&tar, data, bytes);
    }
    take_in((const uint8_t *)tar.data, tar.bytes, SIZE_MAX);
    return 0;
}
