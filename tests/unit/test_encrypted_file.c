/* Encrypted snapshot files: they come back with their key, say so without it, show nothing, and no damage to them goes
 * unseen. Files of before stay readable beside them. */
#include "tests/support/keys.h"
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include "core/auto.h"
#include "core/id.h"
#include "repository/format.h"
#include "repository/snapshot_file.h"

#include <check.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS_TEXT   "{\"n\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}"
#define LARGE_BYTES ((size_t)3 << 20)

/* A file of format version 1, as it was written before there were others. */
static const char version_1_file[] =
    "iUhGU04NChoBAAAAZwAAAAoAAAAAAAAAAwAAAAAAAAB7rSEGogEAAAEAAAAHAGRlZmF1bHQGAGZ1bGwtMQYAZnVsbC0xAACzoo70"
    "TXfcpoAmKlIH8iA2madxwvco9a3rB42uCQXMNUhGQjEBAAAAVwAAAAAAAAAZAAAAAAAAACxaUrYJB7oH7AdTza3MCDzt70fZtQgv"
    "NEXY1oLKKqxwPaqHOBbCLnUotS/9IFeFAABQeyJuIjpbMSxdfQEAGuq4SEZCMQAAAAAHAAAAAAAAAAcAAAAAAAAARcZKcB34/ytF"
    "xkpwHfj/K/2Bdh59UOcMJHnP09UzwqGhhMChO3aPNSJzaG9ydCJIRkIxAAAAAAAAAAAAAAAAAAAAAAAAAADjsMRCmPwcFOOwxEKY"
    "/BwUmvv0yJlvuSQnrkHkZJuTTKSVmRt4UrhVKLUv/WDEAOUJAHYWRSpwJ20OxKqqquqDlkhtsqtma6G1/p1EcsfqLH4nI0LIv62t"
    "aTSLFNQQjgg3ADgAOQBPOPmJqMszOOHLOsFw+ShP7Nw80UajqI6d5RMJRq6TI6Pg5OKgaSLFzpBx8jaRKod2dr5zYVpBRmt3CDN0"
    "mXZepiLs80inZRRKGa0t1g6F8ySwATZ6Tst5eQ90J1U4/8VHBz6dbOeNlwrFh1mVjwFz3xw6KWfodDjPjY8P5DzPyWwdgVD0HQrS"
    "lgHZAfWLIcmxFAJJjoNKVJUxtpgq8HBQtZpC/gaVhggAFiillFIKfvXyyehBiN8XSKCOk1qNbrxz+SLjVBw0ikB+4wAoUniaOHnu"
    "vAGDZNAAYuSbh/O7IOCrGw0AEYubrEmoYAhnYT5cVb7FYUNb5kWv7EFCG6S0wIVNaz3EJAMotS/9AFhFDgC2X1sgQE3yN5dh+YIk"
    "+IgfiLSkWmBLHj1aQbtHq1j0nVF01OVPAFUAUgDM2qfkCHKquW6pTvPu1J4cIp1ka6mZ3GHxybbmy3fljrts6Yq14w8RlpphGTLD"
    "NoPNQZDf6T8g3rJBkGlN7PIRbLgZDqUZ8qVPq6NRnScCH+/Sz2DTwK/EvqgCQoAZINvlL01qgvwleUD8woYv/UUzZEmTBzYHvafY"
    "awiyPbgD8u9NGo3qbJhW6yBAa3LbE8XhaIb8DomFS//S6myag2z/SkQ2AY06uVJMKjn9tZX8tD9MtkdIQ07OmOZ0U6LTeiHOVrsf"
    "AShYIpC/1KugDoJ8386JwChAUR6TIb+SFMSqRDapf3E26Cx/bbL4hUG2B0pHLH+pwe0AFOf8Y7mQ5d9XXqKjntajkHSYi4m5FtF7"
    "7K32pV58C1mP1ndLK704kfecrxlnv4Uc+XQvreUnqkeNRi9aeg0MkCmClfQdL9V0SIsK9fHlUCEg0AIJKCBhB7pkIrxkB0CESb2X"
    "HDYjSKwoFuXmfE+GwoiCHt0fgyIT5cjQCDNpF1FERZmzdMYQeDEoskYO51hmgceGNPzb4M8DSFTz+ja0IBlxyikGEw1HAQAAAAAA"
    "ABcDAAAAAAAABQgAAAAAAAAEAAAAAAAAAB8qffULwIYqgqsk5ejVFJYO63Y8WzTpuxTAkTcqbVHg6ZKJ/Z7mCTCnffpTVVqqsHS2"
    "gDS2U+rUXSOW9Mr4jjUMl3D00zCnE8DhAxjoGeEASs58UFI+RWtsAjJ/tuhbMxYFAAAAAAAAAwAAAAAAAADNxG0+L5ArLcSEDp/b"
    "e+dg9yHz6q1BhRm1+v4ed21M2EhGU05FTkQK";

static const struct hf_test_state states[] = {
    {"alpha", ROWS_TEXT, 0, 0, false, NULL},
    {"beta-component", "\"short\"", 0, 7, false, "[\"alpha\"]"},
    {"gamma", "", 0, 0, false, NULL},
    {"gone-component", "x", 0, 3, true, NULL},
};
static const struct hf_test_snapshot small = {"full-1", NULL, "full-1", 10, states, HF_TEST_COUNT(states), NULL, 0};

static char *directory;
static struct hf_repository *repository;
static struct hf_keys *keys;
static struct hf_error err;

static void setup(void)
{
    directory = hf_test_temp_directory();
    repository = hf_test_repository(directory);
    keys = NULL;
}

static void teardown(void)
{
    hf_repository_close(repository);
    hf_keys_free(keys);
    hf_test_remove_tree(directory);
    free(directory);
}

/* text NULL: none. */
static void use_keys(const char *text)
{
    hf_keys_free(keys);
    keys = text ? hf_test_keys(directory, text, NULL, NULL) : NULL;
    hf_repository_use_keys(repository, keys);
}

static bool verify(const char *id)
{
    struct hf_verify_report report;
    return hf_repository_verify(repository, HF_TEST_SYSTEM, id, NULL, &report, &err);
}

/* Reads every state through a chain; a wrong one ends the test. */
static bool read_all(const struct hf_test_snapshot *snapshot)
{
    const struct hf_test_state *whole = snapshot->whole ? snapshot->whole : snapshot->states;
    int count = snapshot->whole ? snapshot->whole_count : snapshot->count;
    struct hf_chain *chain = NULL;
    bool ok = hf_chain_load(&chain, repository, HF_TEST_SYSTEM, snapshot->id, &err);
    for (int i = 0; ok && i < count; i++) {
        HF_AUTO(blob) struct hf_blob *blob = NULL;
        if (!whole[i].text || whole[i].deleted)
            continue;
        size_t bytes = whole[i].bytes ? whole[i].bytes : strlen(whole[i].text);
        ok = hf_chain_read(chain, hf_chain_find(chain, whole[i].component), &blob, &err);
        if (ok) {
            ck_assert_uint_eq(blob->bytes, bytes);
            ck_assert(memcmp(blob->data, whole[i].text, bytes) == 0);
        }
    }
    hf_chain_free(chain);
    return ok;
}

static void assert_sound(const struct hf_test_snapshot *snapshot)
{
    ck_assert_msg(read_all(snapshot), "%s", err.text);
    ck_assert_msg(verify(snapshot->id), "%s", err.text);
}

static void assert_key_missing(const char *id)
{
    struct hf_chain *chain = NULL;
    ck_assert(!hf_chain_load(&chain, repository, HF_TEST_SYSTEM, id, &err));
    ck_assert_msg(err.code == HF_KEY_MISSING, "%s", err.text);
    ck_assert_ptr_nonnull(strstr(err.text, HF_TEST_KEY_ONE_ID));
    ck_assert_ptr_nonnull(strstr(err.text, "PERSISTENCE_ENCRYPTION_KEY_FILE"));
    ck_assert(!verify(id));
    ck_assert_msg(err.code == HF_KEY_MISSING, "%s", err.text);
}

static unsigned version_of(const struct hf_test_snapshot *snapshot)
{
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, snapshot);
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    return (unsigned char)data[8];
}

START_TEST(encrypted_states_come_back)
{
    HF_AUTO(free) char *noise = hf_alloc(LARGE_BYTES);
    HF_AUTO(free) char *text = hf_alloc(LARGE_BYTES);
    hf_random_bytes(noise, LARGE_BYTES);
    memset(text, 'a', LARGE_BYTES);
    struct hf_test_state large[] = {{"empty", "", 0, 0, false, NULL},
                                    {"noise", noise, LARGE_BYTES, 0, false, NULL},
                                    {"same", text, LARGE_BYTES, 0, false, NULL},
                                    {"text", text, LARGE_BYTES, 0, false, NULL}};
    struct hf_test_snapshot snapshot = {"full-2", NULL, "full-2", 11, large, 4, NULL, 0};
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    hf_test_write_snapshot(repository, &snapshot, NULL);
    ck_assert_uint_eq(version_of(&small), HF_FORMAT_VERSION_ENCRYPTED);
    assert_sound(&small);
    assert_sound(&snapshot);
}
END_TEST

START_TEST(empty_system_is_encrypted_too)
{
    struct hf_test_snapshot empty = {"full-0", NULL, "full-0", 0, NULL, 0, NULL, 0};
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &empty, NULL);
    assert_sound(&empty);
}
END_TEST

START_TEST(manifest_of_many_pieces_comes_back)
{
    enum { COUNT = 20000, NAME = 64 };
    HF_AUTO(free) struct hf_test_state *many = hf_alloc(COUNT * sizeof(*many));
    HF_AUTO(free) char *names = hf_alloc(2 * COUNT * NAME);
    for (int i = 0; i < COUNT; i++) {
        char *name = names + (size_t)i * 2 * NAME, *text = name + NAME;
        unsigned char
            noise[16]; /* hashes and these do not compress: the manifest is longer than what is read at once */
        hf_random_bytes(noise, sizeof(noise));
        int at = snprintf(name, NAME, "c%05d-", i);
        for (size_t n = 0; n < sizeof(noise); n++)
            at += snprintf(name + at, NAME - (size_t)at, "%02x", noise[n]);
        snprintf(text, NAME, "%d", i);
        many[i] = (struct hf_test_state){name, text, 0, 0, false, NULL};
    }
    struct hf_test_snapshot snapshot = {"full-3", NULL, "full-3", 12, many, COUNT, NULL, 0};
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &snapshot, NULL);
    assert_sound(&snapshot);
}
END_TEST

START_TEST(without_its_key_a_file_says_which_it_wants)
{
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    use_keys(NULL);
    assert_key_missing(small.id);
    use_keys(HF_TEST_KEY_TWO "\n");
    assert_key_missing(small.id);
    ck_assert_ptr_nonnull(strstr(err.text, HF_TEST_KEY_TWO_ID));
    HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
    ck_assert_msg(hf_snapshot_file_open(&file, repository, HF_TEST_SYSTEM, "full", small.id, &err), "%s", err.text);
    ck_assert(!hf_snapshot_file_unlock(file, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    ck_assert_int_eq(file->header.sequence, 10);
    struct hf_blob_index *index = hf_blob_index_new();
    ck_assert(!hf_blob_index_add_file(index, repository, HF_TEST_SYSTEM, "full", small.id, &err));
    ck_assert_int_eq(err.code, HF_KEY_MISSING);
    hf_blob_index_free(index);
}
END_TEST

START_TEST(rotated_keys_read_old_files_and_write_new_ones)
{
    struct hf_test_snapshot later = {"full-2", NULL, "full-2", 11, states, HF_TEST_COUNT(states), NULL, 0};
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    use_keys(HF_TEST_KEY_TWO "\n" HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &later, NULL);
    assert_sound(&small);
    assert_sound(&later);
    use_keys(HF_TEST_KEY_TWO "\n");
    assert_sound(&later);
    assert_key_missing(small.id);
}
END_TEST

/* Whichever way encryption is switched in the midst of a generation. */
START_TEST(plain_and_encrypted_files_make_one_generation)
{
    static const char *const settings[][2] = {{NULL, HF_TEST_KEY_ONE "\n"}, {HF_TEST_KEY_ONE "\n", NULL}};
    static const struct hf_test_state changed[] = {{"alpha", "\"new\"", 0, 2, false, NULL},
                                                   {"beta-component", ROWS_TEXT, 0, 8, false, NULL}};
    static const struct hf_test_state whole[] = {{"alpha", "\"new\"", 0, 2, false, NULL},
                                                 {"beta-component", ROWS_TEXT, 0, 8, false, NULL},
                                                 {"gamma", "", 0, 0, false, NULL}};
    for (int i = 0; i < 2; i++) {
        const char *anchor = i ? "full-2" : "full-1", *second = i ? "incremental-2" : "incremental-1";
        struct hf_test_snapshot full = {anchor, NULL, anchor, 10, states, HF_TEST_COUNT(states), NULL, 0};
        struct hf_test_snapshot incremental = {second, anchor, anchor, 20, changed, 2, whole, 3};
        struct hf_blob_index *index = hf_blob_index_new();
        use_keys(settings[i][0]);
        hf_test_write_snapshot(repository, &full, index);
        use_keys(settings[i][1]);
        hf_test_write_snapshot(repository, &incremental, index); /* beta's content lies in the full */
        hf_blob_index_free(index);
        ck_assert_uint_ne(version_of(&full), version_of(&incremental));
        use_keys(HF_TEST_KEY_ONE "\n");
        assert_sound(&full);
        assert_sound(&incremental);
        use_keys(NULL);
        assert_key_missing(incremental.id);
    }
}
END_TEST

START_TEST(nothing_of_the_content_shows)
{
    static const char *const hidden[] = {"short",     "alpha",     "beta",
                                         "gamma",     "component", "\"n\"",
                                         "1,1,1,1,1", "default\"", "f\xc3\xbcr Tests",
                                         "before",    "rootHash"};
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        ck_assert_msg(!memmem(data, bytes, hidden[i], strlen(hidden[i])), "\"%s\" shows", hidden[i]);
    struct hf_hash hash = hf_test_header(&small).root_hash;
    ck_assert_msg(!memmem(data, bytes, hash.bytes, 8), "the root hash shows");
    for (int i = 0; i < small.count; i++) {
        hf_hash_of(states[i].text, strlen(states[i].text), &hash);
        ck_assert_msg(!memmem(data, bytes, hash.bytes, 8), "the hash of %s shows", states[i].component);
    }
}
END_TEST

START_TEST(same_content_is_written_differently_each_time)
{
    struct hf_test_snapshot again = small;
    again.id = "full-9"; /* as long, so that everything lies at the same offset */
    again.generation = "full-9";
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    hf_test_write_snapshot(repository, &again, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    HF_AUTO(free) char *other_path = hf_test_snapshot_path(directory, &again);
    size_t bytes, other_bytes, header_bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    HF_AUTO(free) char *other = hf_test_read_file(other_path, &other_bytes);
    struct hf_format_header header, other_header;
    ck_assert(hf_format_decode_header((unsigned char *)data, bytes, &header, &header_bytes, &err));
    ck_assert(hf_format_decode_header((unsigned char *)other, other_bytes, &other_header, &header_bytes, &err));
    ck_assert_str_eq(header.key_id, other_header.key_id);
    ck_assert_mem_ne(header.salt, other_header.salt, sizeof(header.salt));
    const char *record = data + header_bytes + HF_FORMAT_RECORD_FIELDS;
    const char *other_record = other + header_bytes + HF_FORMAT_RECORD_FIELDS;
    ck_assert_mem_ne(record, other_record, HF_SEAL_NONCE_BYTES);
    ck_assert_mem_ne(record + HF_SEAL_NONCE_BYTES, other_record + HF_SEAL_NONCE_BYTES, HF_HASH_BYTES);
    size_t content = HF_FORMAT_RECORD_BYTES_MAX - HF_FORMAT_RECORD_FIELDS;
    ck_assert_mem_ne(record + content, other_record + content, HF_SEAL_NONCE_BYTES);
}
END_TEST

/* Changed at every byte in each of these ways. */
START_TEST(every_changed_byte_is_found)
{
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    size_t bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    assert_sound(&small);
    for (size_t at = 0; at < bytes; at++) {
        char was = data[at];
        char changed[] = {(char)(was ^ (1 << (at % 8))), was == 0 ? (char)0xff : 0};
        for (int way = 0; way < 2; way++) {
            data[at] = changed[way];
            hf_test_write_file(path, data, bytes);
            bool read = read_all(&small);
            ck_assert_msg(!verify(small.id), "byte %zu of %zu, changed, went unseen", at, bytes);
            ck_assert_msg(err.code == HF_DAMAGED, "byte %zu: %s", at, err.text);
            (void)read; /* it may lie in what no state needs; read_all ends the test when a state is wrong */
        }
        data[at] = was;
    }
}
END_TEST

START_TEST(every_truncation_is_found)
{
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    for (off_t length = status.st_size - 1; length >= 0; length--) {
        ck_assert_int_eq(truncate(path, length), 0);
        ck_assert_msg(!verify(small.id), "a file cut to %ld bytes went unseen", (long)length);
        ck_assert_msg(err.code == HF_DAMAGED, "%ld bytes: %s", (long)length, err.text);
    }
}
END_TEST

/* Sound parts of another file of the same key do not fit: each file has a key of its own. */
START_TEST(record_of_another_file_is_found)
{
    struct hf_test_snapshot again = small;
    again.id = "full-9";
    again.generation = "full-9";
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    hf_test_write_snapshot(repository, &again, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    HF_AUTO(free) char *other_path = hf_test_snapshot_path(directory, &again);
    size_t bytes, other_bytes, header_bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    HF_AUTO(free) char *other = hf_test_read_file(other_path, &other_bytes);
    struct hf_format_header header;
    ck_assert(hf_format_decode_header((unsigned char *)data, bytes, &header, &header_bytes, &err));
    memcpy(data + header_bytes, other + header_bytes, 200);
    hf_test_write_file(path, data, bytes);
    ck_assert(!verify(small.id));
    ck_assert_int_eq(err.code, HF_DAMAGED);
}
END_TEST

/* Sound ends around a manifest that is too short to have been sealed. */
START_TEST(manifest_shorter_than_a_seal_is_found)
{
    use_keys(HF_TEST_KEY_ONE "\n");
    hf_test_write_snapshot(repository, &small, NULL);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &small);
    size_t bytes, header_bytes;
    HF_AUTO(free) char *data = hf_test_read_file(path, &bytes);
    struct hf_format_header header;
    ck_assert(hf_format_decode_header((unsigned char *)data, bytes, &header, &header_bytes, &err));
    for (size_t stored = 0; stored <= HF_FORMAT_SEAL_BYTES; stored++) {
        unsigned char *manifest = (unsigned char *)data + header_bytes;
        struct hf_format_footer footer = {.manifest_offset = (int64_t)header_bytes,
                                          .manifest_stored_bytes = (int64_t)stored,
                                          .manifest_bytes = 100,
                                          .file_bytes = (int64_t)(header_bytes + stored + HF_FORMAT_FOOTER_BYTES)};
        hf_hash_of(manifest, stored, &footer.manifest_hash);
        hf_hash_of(data, header_bytes, &footer.header_hash);
        hf_format_encode_footer(&footer, manifest + stored);
        hf_test_write_file(path, data, (size_t)footer.file_bytes);
        ck_assert(!read_all(&small));
        ck_assert_msg(err.code == HF_DAMAGED, "%zu bytes: %s", stored, err.text);
    }
}
END_TEST

START_TEST(record_that_cannot_be_sealed_is_refused)
{
    struct hf_format_record record = {.encoding = HF_ENCODING_RAW, .bytes = 5}, out;
    unsigned char data[HF_FORMAT_RECORD_BYTES];
    for (record.stored_bytes = 0; record.stored_bytes < 40; record.stored_bytes++) {
        hf_format_encode_record(&record, data);
        bool right = record.stored_bytes == record.bytes + HF_FORMAT_SEAL_BYTES;
        ck_assert_int_eq(hf_format_decode_record_fields(data, true, &out, &err), right);
        ck_assert(right || err.code == HF_DAMAGED);
    }
    record.encoding = HF_ENCODING_ZSTD;
    for (record.stored_bytes = 0; record.stored_bytes < 40; record.stored_bytes++) {
        hf_format_encode_record(&record, data);
        bool right =
            record.stored_bytes >= HF_FORMAT_SEAL_BYTES && record.stored_bytes < record.bytes + HF_FORMAT_SEAL_BYTES;
        ck_assert_int_eq(hf_format_decode_record_fields(data, true, &out, &err), right);
    }
}
END_TEST

START_TEST(file_of_version_1_is_read_with_and_without_keys)
{
    unsigned char data[sizeof(version_1_file)];
    size_t bytes;
    static const struct hf_test_state old[] = {{"alpha", ROWS_TEXT, 0, 0, false, NULL},
                                               {"beta", "\"short\"", 0, 7, false, "[\"alpha\"]"},
                                               {"gamma", "", 0, 0, false, NULL},
                                               {"gone", "x", 0, 3, true, NULL}};
    struct hf_test_snapshot snapshot = {"full-1", NULL, "full-1", 10, old, 4, NULL, 0};
    hf_test_write_snapshot(repository, &snapshot, NULL); /* makes the directory */
    ck_assert_uint_eq(version_of(&snapshot), HF_FORMAT_VERSION_PLAIN);
    HF_AUTO(free) char *path = hf_test_snapshot_path(directory, &snapshot);
    ck_assert(hf_base64_decode(version_1_file, strlen(version_1_file), data, &bytes));
    hf_test_write_file(path, data, bytes);
    assert_sound(&snapshot);
    use_keys(HF_TEST_KEY_ONE "\n");
    assert_sound(&snapshot);
}
END_TEST

struct noted {
    int count;
    int64_t sequence, file_bytes;
    char id[HF_SNAPSHOT_ID_MAX + 1], generation[HF_SNAPSHOT_ID_MAX + 1];
    enum hf_code code;
};

static bool note(void *context, const struct hf_manifest_header *header, const char *file, int64_t file_bytes,
                 const struct hf_error *damage)
{
    struct noted *noted = context;
    (void)file;
    noted->count++;
    noted->sequence = header->sequence;
    noted->file_bytes = file_bytes;
    noted->code = damage ? damage->code : HF_OK;
    snprintf(noted->id, sizeof(noted->id), "%s", header->id);
    snprintf(noted->generation, sizeof(noted->generation), "%s", header->generation ? header->generation : "");
    return true;
}

START_TEST(scan_tells_of_a_missing_key_and_goes_on)
{
    struct hf_test_snapshot plain = {"full-2", NULL, "full-2", 11, states, HF_TEST_COUNT(states), NULL, 0};
    struct noted noted = {0};
    use_keys(HF_TEST_KEY_ONE "\n");
    int64_t bytes = hf_test_write_snapshot(repository, &small, NULL);
    ck_assert(hf_repository_scan(repository, NULL, note, &noted, &err));
    ck_assert_int_eq(noted.code, HF_OK);
    use_keys(NULL);
    noted = (struct noted){0};
    ck_assert(hf_repository_scan(repository, NULL, note, &noted, &err));
    ck_assert_int_eq(noted.count, 1);
    ck_assert_int_eq(noted.code, HF_KEY_MISSING);
    ck_assert_str_eq(noted.id, small.id);
    ck_assert_str_eq(noted.generation, small.generation);
    ck_assert_int_eq(noted.sequence, small.sequence);
    ck_assert_int_eq(noted.file_bytes, bytes);
    hf_test_write_snapshot(repository, &plain, NULL);
    noted = (struct noted){0};
    ck_assert(hf_repository_scan(repository, NULL, note, &noted, &err));
    ck_assert_int_eq(noted.count, 2);
    ck_assert_int_eq(noted.code, HF_OK);
}
END_TEST

START_TEST(header_with_key_survives_encoding_at_its_longest)
{
    struct hf_format_header in = {.sequence = HF_MANIFEST_NUMBER_MAX,
                                  .epoch = 1,
                                  .cut_at_ms = 2,
                                  .key_id = "0123456789abcdef"},
                            out;
    unsigned char data[HF_FORMAT_HEADER_BYTES_MAX];
    size_t bytes;
    memset(in.system, 's', HF_NAME_MAX);
    memset(in.id, 'i', HF_SNAPSHOT_ID_MAX);
    memset(in.generation, 'g', HF_SNAPSHOT_ID_MAX);
    memset(in.parent, 'p', HF_SNAPSHOT_ID_MAX);
    for (size_t i = 0; i < sizeof(in.salt); i++)
        in.salt[i] = (unsigned char)(17 * i);
    size_t written = hf_format_encode_header(&in, data);
    ck_assert_msg(hf_format_decode_header(data, written, &out, &bytes, &err), "%s", err.text);
    ck_assert_uint_eq(bytes, written);
    ck_assert_str_eq(out.key_id, in.key_id);
    ck_assert_mem_eq(out.salt, in.salt, sizeof(in.salt));
    static const char *const wrong[] = {"0123456789ABCDEF", "0123456789abcde", "0123456789abcdeg"};
    for (int i = 0; i < 3; i++) {
        snprintf(in.key_id, sizeof(in.key_id), "%s", wrong[i]);
        written = hf_format_encode_header(&in, data);
        ck_assert_msg(!hf_format_decode_header(data, written, &out, &bytes, &err), "%s", wrong[i]);
        ck_assert_int_eq(err.code, HF_DAMAGED);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("encrypted_file");
    TCase *cases = tcase_create("encrypted_file");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, encrypted_states_come_back);
    tcase_add_test(cases, empty_system_is_encrypted_too);
    tcase_add_test(cases, manifest_of_many_pieces_comes_back);
    tcase_add_test(cases, without_its_key_a_file_says_which_it_wants);
    tcase_add_test(cases, rotated_keys_read_old_files_and_write_new_ones);
    tcase_add_test(cases, plain_and_encrypted_files_make_one_generation);
    tcase_add_test(cases, nothing_of_the_content_shows);
    tcase_add_test(cases, same_content_is_written_differently_each_time);
    tcase_add_test(cases, every_changed_byte_is_found);
    tcase_add_test(cases, every_truncation_is_found);
    tcase_add_test(cases, record_of_another_file_is_found);
    tcase_add_test(cases, manifest_shorter_than_a_seal_is_found);
    tcase_add_test(cases, record_that_cannot_be_sealed_is_refused);
    tcase_add_test(cases, file_of_version_1_is_read_with_and_without_keys);
    tcase_add_test(cases, scan_tells_of_a_missing_key_and_goes_on);
    tcase_add_test(cases, header_with_key_survives_encoding_at_its_longest);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
