/* Makes the inputs that the fuzzers begin with: write_seeds DIRECTORY fills DIRECTORY/<fuzzer>. They are made anew from
 * the real writers, so that they follow the formats. */
#include "core/auto.h"
#include "core/delta.h"
#include "repository/archive.h"
#include "repository/format.h"
#include "repository/snapshot_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* As fuzz_snapshot_reader.c counts them. */
enum { WHOLE_FILE, HEADER, RECORD, FOOTER, HEADER_LINE, ENTRY_LINE, BLOBS, MANIFEST };
/* As fuzz_archive_import.c counts them. */
enum { ARCHIVE, ARCHIVE_IN_PIECES, ARCHIVE_MANIFEST, ARCHIVE_MEMBERS };
/* As fuzz_delta.c counts them. */
enum { DELTA_OF_10 = 1, DELTA_OF_ALL = 3, DELTA_SMALL_ROOM = 8, SIGNATURE = 16 };
/* As fuzz_client_answers.c counts them. */
enum { STREAM_IN_PIECES_OF_3 = 2, PROBLEM_412 = 140 };

static const char *root;

static void make_directory(const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        perror(path);
        exit(1);
    }
}

static struct hf_manifest_entry make_entry(const char *component)
{
    return (struct hf_manifest_entry){.component = component,
                                      .version = 7,
                                      .sequence = 9,
                                      .bytes = 13,
                                      .content_type = "application/json",
                                      .committed_at_ms = 1795399200123,
                                      .component_kind = "agent",
                                      .depends_on = "[\"world\"]",
                                      .required_pointers = "[\"/q\"]",
                                      .blob_file = "",
                                      .blob_stored_bytes = 13};
}

static void write_seed(const char *fuzzer, const char *name, int first_byte, const void *data, size_t bytes)
{
    HF_AUTO(free) char *directory = hf_format("%s/%s", root, fuzzer);
    HF_AUTO(free) char *path = hf_format("%s/%s", directory, name);
    HF_AUTO(free) char *seed = hf_alloc(bytes + 1);
    make_directory(directory);
    size_t at = 0;
    if (first_byte >= 0)
        seed[at++] = (char)first_byte;
    memcpy(seed + at, data, bytes);
    FILE *file = fopen(path, "wb");
    HF_ASSERT(file && fwrite(seed, 1, at + bytes, file) == at + bytes && fclose(file) == 0);
}

static char *read_file(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    HF_ASSERT(file && fseek(file, 0, SEEK_END) == 0);
    long bytes = ftell(file);
    char *data = hf_alloc((size_t)bytes + 1);
    HF_ASSERT(bytes > 0 && fseek(file, 0, SEEK_SET) == 0 && fread(data, 1, (size_t)bytes, file) == (size_t)bytes);
    fclose(file);
    *bytes_out = (size_t)bytes;
    return data;
}

static struct hf_manifest_header make_header(const struct hf_hash *root_hash)
{
    return (struct hf_manifest_header){.system = "default",
                                       .id = "full-1",
                                       .kind = "full",
                                       .trigger = "manual",
                                       .label = "before \"the\" change",
                                       .generation = "full-1",
                                       .parent = "",
                                       .sequence = 9,
                                       .epoch = 3,
                                       .cut_at_ms = 1795399200123,
                                       .root_hash = *root_hash,
                                       .components = 2,
                                       .state_bytes = 100,
                                       .description = "seeds",
                                       .backup_interval_ms = -1,
                                       .incremental_interval_ms = 300000,
                                       .max_retention_hours = -1,
                                       .created_at_ms = 1795390000000,
                                       .signed_by = "",
                                       .signature = ""};
}

static void add_state(struct hf_snapshot_writer *writer, struct hf_hasher *root_hasher, const char *component,
                      const char *text)
{
    struct hf_error err;
    struct hf_manifest_entry entry = make_entry(component);
    entry.bytes = (int64_t)strlen(text);
    hf_hash_of(text, strlen(text), &entry.hash);
    hf_root_hash_add(root_hasher, component, &entry.hash);
    HF_ASSERT(hf_snapshot_writer_add_blob(writer, &entry.hash, text, strlen(text), &entry.blob_offset,
                                          &entry.blob_stored_bytes, &err) &&
              hf_snapshot_writer_add_entry(writer, &entry, &err));
}

/* The path of a small snapshot file, made by the real writer. Owns: free(). */
static char *write_snapshot(struct hf_repository *repository, const char *scratch)
{
    struct hf_error err;
    struct hf_hash root_hash = {0};
    struct hf_manifest_header header = make_header(&root_hash);
    struct hf_snapshot_writer *writer = NULL;
    HF_AUTO(free) char *file = NULL;
    int64_t file_bytes;
    HF_ASSERT(hf_snapshot_writer_new(&writer, repository, &header, &err));
    struct hf_hasher *root_hasher = hf_hasher_new();
    add_state(writer, root_hasher, "agent-1", "{\"q\":[1,2,3]}");
    add_state(writer, root_hasher, "agent-2",
              "{\"text\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
    hf_hasher_finish(root_hasher, &header.root_hash);
    hf_hasher_free(root_hasher);
    HF_ASSERT(hf_snapshot_writer_finish(writer, &header, &file, &file_bytes, &err));
    hf_snapshot_writer_free(writer);
    return hf_format("%s/full/%s", scratch, file);
}

/* The whole file, and each part as the fuzzer takes it. */
static void write_reader_seeds(const char *path)
{
    static const char fuzzer[] = "fuzz_snapshot_reader";
    size_t bytes;
    HF_AUTO(free) char *file = read_file(path, &bytes);
    struct hf_format_header header;
    struct hf_format_footer footer;
    struct hf_error err;
    size_t header_bytes;
    HF_ASSERT(hf_format_decode_header((unsigned char *)file, bytes, &header, &header_bytes, &err));
    const char *end = file + bytes - HF_FORMAT_FOOTER_BYTES;
    HF_ASSERT(hf_format_decode_footer((const unsigned char *)end, (int64_t)bytes, &footer, &err));
    write_seed(fuzzer, "whole", WHOLE_FILE, file, bytes);
    write_seed(fuzzer, "header", HEADER, file, header_bytes - HF_HASH_BYTES);
    write_seed(fuzzer, "record", RECORD, file + header_bytes, HF_FORMAT_RECORD_BYTES);
    write_seed(fuzzer, "footer", FOOTER, end, HF_FORMAT_FOOTER_BYTES);
    write_seed(fuzzer, "blobs", BLOBS, file + header_bytes, (size_t)footer.manifest_offset - header_bytes);

    HF_AUTO(buf) struct hf_buf line;
    hf_buf_init(&line, 1 << 20);
    struct hf_manifest_header manifest = make_header(&footer.root_hash);
    HF_ASSERT(hf_manifest_write_header(&line, &manifest));
    write_seed(fuzzer, "header_line", HEADER_LINE, line.data, line.bytes - 1);
    hf_buf_reset(&line);
    struct hf_manifest_entry entry = make_entry("agent-1");
    entry.blob_file = "full-1";
    entry.blob_offset = (int64_t)header_bytes;
    HF_ASSERT(hf_manifest_write_entry(&line, &entry));
    write_seed(fuzzer, "entry_line", ENTRY_LINE, line.data, line.bytes - 1);
    entry.component = "agent-2";
    HF_ASSERT(hf_manifest_write_entry(&line, &entry));
    write_seed(fuzzer, "manifest", MANIFEST, line.data, line.bytes);
}

static bool write_buf(void *context, const void *data, size_t bytes, struct hf_error *err)
{
    (void)err;
    return hf_buf_add(context, data, bytes);
}

/* The snapshot as an archive, plain and packed, its manifest, and its first state as a member of a tar. */
static void write_archive_seeds(struct hf_repository *repository)
{
    static const char fuzzer[] = "fuzz_archive_import";
    struct hf_chain *chain = NULL;
    struct hf_error err;
    HF_AUTO(buf) struct hf_buf out;
    hf_buf_init(&out, 1 << 20);
    HF_ASSERT(hf_chain_load(&chain, repository, "default", "full-1", &err));
    HF_ASSERT(hf_archive_write(chain, true, NULL, &(struct hf_writer){write_buf, &out}, &err));
    write_seed(fuzzer, "packed", ARCHIVE, out.data, out.bytes);
    hf_buf_reset(&out);
    HF_ASSERT(hf_archive_write_manifest(chain, &(struct hf_writer){write_buf, &out}, &err));
    write_seed(fuzzer, "manifest", ARCHIVE_MANIFEST, out.data, out.bytes);
    size_t first = 512 + (out.bytes + 511) / 512 * 512;
    hf_buf_reset(&out);
    HF_ASSERT(hf_archive_write(chain, false, NULL, &(struct hf_writer){write_buf, &out}, &err));
    write_seed(fuzzer, "plain", ARCHIVE_IN_PIECES, out.data, out.bytes);
    write_seed(fuzzer, "member", ARCHIVE_MEMBERS, out.data + first, 1024);
    hf_chain_free(chain);
}

/* The signature of the base, and deltas from it. */
static void write_delta_seeds(void)
{
    static const char fuzzer[] = "fuzz_delta";
    static char base[100000], changed[100001];
    static const char by_hand[] = "rs\x02\x36\x02"
                                  "ab\x45\x02\x05\x00";
    struct hf_error err;
    HF_AUTO(buf) struct hf_buf signature;
    HF_AUTO(buf) struct hf_buf delta;
    hf_buf_init(&signature, 1 << 20);
    hf_buf_init(&delta, 1 << 20);
    for (size_t i = 0; i < sizeof(base); i++)
        changed[i + 1] = base[i] = (char)(i * i / 7 + i);
    changed[0] = 'x';
    changed[sizeof(changed) / 2] ^= 1;
    HF_ASSERT(hf_delta_sign(base, sizeof(base), &signature, &err) &&
              hf_delta_make(signature.data, signature.bytes, changed, sizeof(changed), &delta, &err));
    write_seed(fuzzer, "signature", SIGNATURE, signature.data, signature.bytes);
    write_seed(fuzzer, "delta", DELTA_OF_ALL, delta.data, delta.bytes);
    write_seed(fuzzer, "delta_too_large", DELTA_OF_ALL + DELTA_SMALL_ROOM, delta.data, delta.bytes);
    write_seed(fuzzer, "by_hand", DELTA_OF_10, by_hand, sizeof(by_hand) - 1);
}

/* A stream as the service sends it, and a problem. */
static void write_answer_seeds(void)
{
    static const char fuzzer[] = "fuzz_client_answers";
    static const char stream[] = "retry: 2000\nid: 4711\n\n: keep-alive\n\nid: 4712\r\nevent: snapshot.completed\r\n"
                                 "data: {\"id\":4712}\rdata\n\n";
    static const char problem[] = "{\"type\":\"t\",\"status\":412,\"detail\":\"it is at another ETag\",\"code\":"
                                  "\"precondition_failed\",\"retryable\":false,\"currentEtag\":\"\\\"1-00\\\"\"}";
    write_seed(fuzzer, "stream", STREAM_IN_PIECES_OF_3, stream, sizeof(stream) - 1);
    write_seed(fuzzer, "problem", PROBLEM_412, problem, sizeof(problem) - 1);
}

static void write_outbox_seeds(void)
{
    static const char file[] = "holdfast-outbox 1\nsystem default\ncomponent agent-7\ncontent-type application/json\n"
                               "event large-reward\nevent-snapshot 1\nepoch 3\nqueued-at 1795397400123\nbytes 2\n"
                               "sha-256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n\n{}";
    write_seed("fuzz_outbox_file", "state", -1, file, sizeof(file) - 1);
}

int main(int argc, char *argv[])
{
    if (argc != 2) {
        fputs("usage: write_seeds DIRECTORY\n", stderr);
        return 2;
    }
    root = argv[1];
    make_directory(root);
    HF_AUTO(free) char *scratch = hf_format("%s/scratch", root);
    make_directory(scratch);
    HF_AUTO(free) char *fulls = hf_format("%s/full", scratch);
    HF_AUTO(free) char *incrementals = hf_format("%s/incremental", scratch);
    struct hf_repository *repository = NULL;
    struct hf_error err;
    HF_ASSERT(hf_repository_open(&repository, fulls, incrementals, &err));
    HF_AUTO(free) char *path = write_snapshot(repository, scratch);
    write_reader_seeds(path);
    write_archive_seeds(repository);
    write_delta_seeds();
    write_answer_seeds();
    write_outbox_seeds();
    hf_repository_close(repository);
    return 0;
}
