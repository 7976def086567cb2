/* One file: what is written comes back, and no damage to any of its bytes goes unseen. */
#include "tests/support/repository_fixture.h"

#include "core/auto.h"
#include "repository/format.h"
#include "repository/snapshot_file.h"

#include "tests/support/check_main.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE_BYTES ((size_t)3 << 20)

static const struct hf_test_state small_states[] = {
    {"alpha", "{\"n\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}", 0, 0, false,
     NULL},
    {"beta", "\"short\"", 0, 7, false, "[\"alpha\"]"},
    {"gamma", "", 0, 0, false, NULL},
    {"gone", "x", 0, 3, true, NULL},
    {"never", NULL, 0, 0, false, NULL},
};
static const struct hf_test_snapshot small = {"full-1", NULL, "full-1", 10, small_states, HF_TEST_COUNT(small_states),
                                              NULL,     0};

static struct hf_chain *load(const char *id)
{
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    ck_assert_msg(hf_chain_load(&chain, repository, HF_TEST_SYSTEM, id, &err), "%s", err.text);
    return chain;
}

static void assert_state(struct hf_chain *chain, const char *component, const char *text, size_t bytes)
{
    const struct hf_manifest_entry *entry = hf_chain_find(chain, component);
    HF_AUTO(blob) struct hf_blob *blob = NULL;
    struct hf_error err = {0};
    ck_assert_ptr_nonnull(entry);
    ck_assert_msg(hf_chain_read(chain, entry, &blob, &err), "%s", err.text);
    ck_assert_uint_eq(blob->bytes, bytes);
    ck_assert_mem_eq(blob->data, text, bytes);
}

/* Loads, reads every state and verifies. True when all agree that the file is sound and every state is the right one;
 * a wrong state that is not noticed ends the test. */
static bool is_sound(struct hf_error *err)
{
    struct hf_chain *chain = NULL;
    struct hf_verify_report report;
    bool read = hf_chain_load(&chain, repository, HF_TEST_SYSTEM, small.id, err);
    for (int i = 0; read && i < small.count; i++) {
        const struct hf_test_state *state = &small_states[i];
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        if (!state->text || state->deleted)
            continue;
        read = hf_chain_read(chain, hf_chain_find(chain, state->component), &blob, err);
        if (read)
            ck_assert_mem_eq(blob->data, state->text, strlen(state->text));
    }
    hf_chain_free(chain);
    bool verified = hf_repository_verify(repository, HF_TEST_SYSTEM, small.id, NULL, &report, err);
    ck_assert_msg(!verified || read, "verify found no fault in a file that does not read");
    return verified;
}

START_TEST(states_tombstones_and_registrations_come_back)
{
    hf_test_write_snapshot(repository, &small, NULL);
    struct hf_chain *chain = load("full-1");
    ck_assert_int_eq(hf_chain_count(chain), small.count);
    assert_state(chain, "alpha", small_states[0].text, strlen(small_states[0].text));
    assert_state(chain, "beta", "\"short\"", 7);
    assert_state(chain, "gamma", "", 0);
    const struct hf_manifest_entry *beta = hf_chain_find(chain, "beta");
    ck_assert_int_eq(beta->version, 7);
    ck_assert_str_eq(beta->depends_on, "[\"alpha\"]");
    ck_assert_str_eq(beta->required_pointers, "[\"/q~1table\"]");
    ck_assert_str_eq(beta->blob_file, "full-1");
    ck_assert(hf_chain_find(chain, "gone")->deleted);
    ck_assert_int_eq(hf_chain_find(chain, "never")->version, 0);
    ck_assert_ptr_null(hf_chain_find(chain, "nobody"));
    const struct hf_manifest_header *header = hf_chain_header(chain);
    ck_assert_str_eq(header->label, "before \"the\" change");
    ck_assert_str_eq(header->description, "für Tests");
    ck_assert_int_eq(header->sequence, 10);
    struct hf_error err = {0};
    struct hf_blob *blob = NULL;
    ck_assert(!hf_chain_read(chain, hf_chain_find(chain, "gone"), &blob, &err));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
    hf_chain_free(chain);
}
END_TEST

START_TEST(empty_system_has_a_sound_snapshot)
{
    struct hf_test_snapshot empty = {"full-0", NULL, "full-0", 0, NULL, 0, NULL, 0};
    struct hf_verify_report report;
    struct hf_error err = {0};
    hf_test_write_snapshot(repository, &empty, NULL);
    struct hf_chain *chain = load("full-0");
    ck_assert_int_eq(hf_chain_count(chain), 0);
    ck_assert_ptr_null(hf_chain_find(chain, "a"));
    hf_chain_free(chain);
    ck_assert_msg(hf_repository_verify(repository, HF_TEST_SYSTEM, "full-0", NULL, &report, &err), "%s", err.text);
    ck_assert_int_eq(report.blobs, 0);
}
END_TEST

START_TEST(incompressible_state_is_stored_as_it_is)
{
    HF_AUTO(free) char *noise = hf_alloc(LARGE_BYTES);
    hf_random_bytes(noise, LARGE_BYTES);
    struct hf_test_state states[] = {{"noise", noise, LARGE_BYTES, 0, false, NULL}};
    struct hf_test_snapshot snapshot = {"full-1", NULL, "full-1", 1, states, 1, NULL, 0};
    hf_test_write_snapshot(repository, &snapshot, NULL);
    struct hf_chain *chain = load("full-1");
    ck_assert_int_eq(hf_chain_entry(chain, 0)->blob_stored_bytes, (int64_t)LARGE_BYTES);
    assert_state(chain, "noise", noise, LARGE_BYTES);
    hf_chain_free(chain);
}
END_TEST

START_TEST(compressible_state_is_stored_smaller)
{
    HF_AUTO(free) char *text = hf_alloc(LARGE_BYTES);
    memset(text, 'a', LARGE_BYTES);
    struct hf_test_state states[] = {{"text", text, LARGE_BYTES, 0, false, NULL}};
    struct hf_test_snapshot snapshot = {"full-1", NULL, "full-1", 1, states, 1, NULL, 0};
    ck_assert_int_lt(hf_test_write_snapshot(repository, &snapshot, NULL), 16384);
    struct hf_chain *chain = load("full-1");
    assert_state(chain, "text", text, LARGE_BYTES);
    hf_chain_free(chain);
}
END_TEST

START_TEST(same_content_is_written_once)
{
    static const struct hf_test_state states[] = {
        {"a", "the very same", 0, 0, false, NULL},
        {"b", "another", 0, 0, false, NULL},
        {"c", "the very same", 0, 0, false, NULL},
    };
    struct hf_test_snapshot snapshot = {"full-1", NULL, "full-1", 1, states, 3, NULL, 0};
    struct hf_verify_report report;
    struct hf_error err = {0};
    hf_test_write_snapshot(repository, &snapshot, NULL);
    struct hf_chain *chain = load("full-1");
    ck_assert_int_eq(hf_chain_find(chain, "a")->blob_offset, hf_chain_find(chain, "c")->blob_offset);
    assert_state(chain, "c", "the very same", 13);
    hf_chain_free(chain);
    ck_assert_msg(hf_repository_verify(repository, HF_TEST_SYSTEM, "full-1", NULL, &report, &err), "%s", err.text);
    ck_assert_int_eq(report.blobs, 2);
    ck_assert_int_eq(report.bytes, 13 + 7);
}
END_TEST

START_TEST(every_flipped_bit_is_found)
{
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    struct hf_error err = {0};
    ck_assert_msg(is_sound(&err), "%s", err.text);
    for (size_t at = 0; at < bytes; at++) {
        char was = data[at];
        data[at] = (char)(was ^ (1 << (at % 8)));
        hf_test_write_file(path, data, bytes);
        ck_assert_msg(!is_sound(&err), "a flipped bit in byte %zu of %zu went unseen", at, bytes);
        ck_assert_msg(err.code == HF_DAMAGED, "byte %zu: %s", at, err.text);
        data[at] = was;
    }
}
END_TEST

START_TEST(every_overwritten_byte_is_found)
{
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    struct hf_error err = {0};
    for (size_t at = 0; at < bytes; at++) {
        char was = data[at];
        data[at] = (char)(was == 0 ? 0xff : 0);
        hf_test_write_file(path, data, bytes);
        ck_assert_msg(!is_sound(&err), "byte %zu of %zu, overwritten, went unseen", at, bytes);
        ck_assert_msg(err.code == HF_DAMAGED, "byte %zu: %s", at, err.text);
        data[at] = was;
    }
}
END_TEST

START_TEST(every_truncation_is_found)
{
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    struct stat status;
    struct hf_error err = {0};
    ck_assert_int_eq(stat(path, &status), 0);
    for (off_t length = status.st_size - 1; length >= 0; length--) {
        ck_assert_int_eq(truncate(path, length), 0);
        ck_assert_msg(!is_sound(&err), "a file cut to %ld bytes went unseen", (long)length);
        ck_assert_msg(err.code == HF_DAMAGED, "%ld bytes: %s", (long)length, err.text);
    }
}
END_TEST

START_TEST(bytes_behind_the_end_are_found)
{
    int64_t bytes = hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    struct hf_error err = {0};
    ck_assert_int_eq(truncate(path, bytes + 1), 0);
    ck_assert(!is_sound(&err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
}
END_TEST

START_TEST(newer_format_version_is_not_called_damaged)
{
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    struct hf_error err = {0};
    struct hf_hash checksum;
    size_t header_bytes = (unsigned char)data[12] + 256u * (unsigned char)data[13];
    data[8] = 3;
    hf_hash_of(data, header_bytes - HF_HASH_BYTES, &checksum);
    memcpy(data + header_bytes - HF_HASH_BYTES, checksum.bytes, HF_HASH_BYTES);
    hf_test_write_file(path, data, bytes);
    ck_assert(!is_sound(&err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "version 3"));
}
END_TEST

/* What a reader can trust of a manifest whose footer is lost. */
START_TEST(manifest_carries_checksums_of_its_own)
{
    static const unsigned char zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    struct hf_error err;
    ck_assert(hf_snapshot_file_open(&file, repository, HF_TEST_SYSTEM, "full", small.id, &err));
    HF_AUTO(free) unsigned char *data = hf_alloc((size_t)file->footer.manifest_stored_bytes);
    size_t bytes = (size_t)file->footer.manifest_stored_bytes;
    int frames = 0;
    ck_assert(hf_snapshot_file_read(file, data, bytes, file->footer.manifest_offset, &err));
    for (size_t at = 0; at + sizeof(zstd_magic) < bytes; at++) {
        if (memcmp(data + at, zstd_magic, sizeof(zstd_magic)) == 0) {
            frames++;
            ck_assert_int_ne(data[at + 4] & 4, 0); /* RFC 8878, 3.1.1.1.1.5: Content_Checksum_flag */
        }
    }
    ck_assert_int_eq(frames, 2);
}
END_TEST

/* The entry is right and the record it points to is another's. */
START_TEST(manifest_that_points_to_another_blob_is_found)
{
    struct hf_manifest_header header = hf_test_header(&small);
    struct hf_snapshot_writer *writer = NULL;
    struct hf_error err = {0};
    struct hf_hash one, two;
    struct hf_manifest_entry entry = {.component = "a", .version = 1, .bytes = 3, .blob_file = ""};
    int64_t offset, stored, file_bytes;
    HF_AUTO(free) char *file = NULL;
    hf_hash_of("one", 3, &one);
    hf_hash_of("two", 3, &two);
    ck_assert(hf_snapshot_writer_new(&writer, repository, &header, &err));
    ck_assert(hf_snapshot_writer_add_blob(writer, &one, "one", 3, &offset, &stored, &err));
    ck_assert(hf_snapshot_writer_add_blob(writer, &two, "two", 3, &entry.blob_offset, &entry.blob_stored_bytes, &err));
    entry.hash = one;
    ck_assert(hf_snapshot_writer_add_entry(writer, &entry, &err));
    struct hf_hasher *hasher = hf_hasher_new();
    hf_root_hash_add(hasher, "a", &one);
    hf_hasher_finish(hasher, &header.root_hash);
    hf_hasher_free(hasher);
    ck_assert(hf_snapshot_writer_finish(writer, &header, &file, &file_bytes, &err));
    hf_snapshot_writer_free(writer);
    struct hf_chain *chain = load(small.id);
    struct hf_blob *blob = NULL;
    ck_assert(!hf_chain_read(chain, hf_chain_find(chain, "a"), &blob, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_chain_free(chain);
}
END_TEST

START_TEST(entries_out_of_order_are_refused)
{
    struct hf_manifest_header header = hf_test_header(&small);
    struct hf_snapshot_writer *writer = NULL;
    struct hf_error err = {0};
    struct hf_manifest_entry b = {.component = "b"}, a = {.component = "a"};
    ck_assert(hf_snapshot_writer_new(&writer, repository, &header, &err));
    ck_assert(hf_snapshot_writer_add_entry(writer, &b, &err));
    ck_assert(!hf_snapshot_writer_add_entry(writer, &b, &err));
    ck_assert(!hf_snapshot_writer_add_entry(writer, &a, &err));
    ck_assert_int_eq(err.code, HF_INTERNAL);
    hf_snapshot_writer_free(writer);
}
END_TEST

START_TEST(header_fields_survive_encoding_at_their_longest)
{
    struct hf_format_header in = {.full = false, .sequence = HF_MANIFEST_NUMBER_MAX, .epoch = 1, .cut_at_ms = 2}, out;
    unsigned char data[HF_FORMAT_HEADER_BYTES_MAX];
    struct hf_error err = {0};
    size_t bytes;
    memset(in.system, 's', HF_NAME_MAX);
    memset(in.id, 'i', HF_SNAPSHOT_ID_MAX);
    memset(in.generation, 'g', HF_SNAPSHOT_ID_MAX);
    memset(in.parent, 'p', HF_SNAPSHOT_ID_MAX);
    size_t written = hf_format_encode_header(&in, data);
    ck_assert_msg(hf_format_decode_header(data, written, &out, &bytes, &err), "%s", err.text);
    ck_assert_uint_eq(bytes, written);
    ck_assert_str_eq(out.system, in.system);
    ck_assert_str_eq(out.parent, in.parent);
    ck_assert_int_eq(out.sequence, HF_MANIFEST_NUMBER_MAX);
    ck_assert(!hf_format_decode_header(data, written - 1, &out, &bytes, &err));
}
END_TEST

HF_TEST_MAIN_WITH("snapshot_file", setup, teardown, states_tombstones_and_registrations_come_back,
                  empty_system_has_a_sound_snapshot, incompressible_state_is_stored_as_it_is,
                  compressible_state_is_stored_smaller, same_content_is_written_once, every_flipped_bit_is_found,
                  every_overwritten_byte_is_found, every_truncation_is_found, bytes_behind_the_end_are_found,
                  newer_format_version_is_not_called_damaged, manifest_carries_checksums_of_its_own,
                  manifest_that_points_to_another_blob_is_found, entries_out_of_order_are_refused,
                  header_fields_survive_encoding_at_their_longest);
