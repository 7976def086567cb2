/* One content as a record: whatever length it is made to take, it is the same content. */
#include "tests/support/keys.h"
#include "tests/support/temp.h"

#include "core/auto.h"
#include "core/id.h"
#include "repository/record.h"

#include <check.h>
#include <string.h>
#include <zstd.h>

#define PLAIN    0
#define SEALED   1
#define FORMS    2
#define ROW_TEXT "{\"n\":[1,2,3,4,5,6,7,8,9,10]},"

static char *directory;
static struct hf_keys *keys;
static struct hf_seal *seals[FORMS]; /* the first stays NULL */
static struct hf_packer *packers[FORMS];
static struct hf_error err;

static void setup(void)
{
    char id[HF_KEY_ID_BYTES];
    unsigned char salt[HF_SEAL_SALT_BYTES];
    directory = hf_test_temp_directory();
    keys = hf_test_keys(directory, HF_TEST_KEY_ONE "\n", NULL, NULL);
    ck_assert(hf_seal_new(&seals[SEALED], keys, id, salt, &err));
    for (int form = 0; form < FORMS; form++)
        packers[form] = hf_packer_new(seals[form]);
}

static void teardown(void)
{
    for (int form = 0; form < FORMS; form++) {
        hf_packer_free(packers[form]);
        hf_seal_free(seals[form]);
    }
    hf_keys_free(keys);
    hf_test_remove_tree(directory);
    free(directory);
}

static size_t extra(int form)
{
    return form == SEALED ? HF_SEAL_EXTRA_BYTES : 0;
}

/* Reads the record as a reader does, and returns its encoding. */
static enum hf_format_encoding assert_reads(int form, const struct hf_packed *packed, const void *data, size_t bytes)
{
    struct hf_format_record record;
    struct hf_hash hash, check;
    hf_hash_of(data, bytes, &hash);
    ck_assert_msg(hf_format_decode_record_fields(packed->head, form == SEALED, &record, &err), "%s", err.text);
    ck_assert_uint_eq((size_t)record.bytes, bytes);
    ck_assert_uint_eq((size_t)record.stored_bytes, packed->stored_bytes);
    hf_hash_of(packed->stored, packed->stored_bytes, &check);
    ck_assert_mem_eq(record.stored_check, check.bytes, sizeof(record.stored_check));
    HF_AUTO(free) unsigned char *inner = hf_alloc(packed->stored_bytes + 1);
    HF_AUTO(free) unsigned char *out = hf_alloc(bytes + 1);
    size_t inner_bytes = packed->stored_bytes - extra(form);
    if (form == SEALED) {
        ck_assert_uint_eq(packed->head_bytes, HF_FORMAT_RECORD_BYTES_MAX);
        ck_assert(hf_seal_unlock(seals[form], packed->head, HF_FORMAT_RECORD_FIELDS,
                                 packed->head + HF_FORMAT_RECORD_FIELDS, HF_HASH_BYTES + HF_SEAL_EXTRA_BYTES,
                                 record.hash.bytes, &err));
        ck_assert(
            hf_seal_unlock(seals[form], hash.bytes, HF_HASH_BYTES, packed->stored, packed->stored_bytes, inner, &err));
    } else {
        ck_assert_uint_eq(packed->head_bytes, HF_FORMAT_RECORD_BYTES);
        ck_assert(hf_format_decode_record(packed->head, &record, &err));
        memcpy(inner, packed->stored, inner_bytes);
    }
    ck_assert(hf_hash_equal(&record.hash, &hash));
    if (record.encoding == HF_ENCODING_ZSTD) {
        size_t got = ZSTD_decompress(out, bytes, inner, inner_bytes);
        ck_assert_msg(!ZSTD_isError(got), "%s", ZSTD_getErrorName(got));
        ck_assert_uint_eq(got, bytes);
    } else {
        ck_assert_uint_eq(inner_bytes, bytes);
        memcpy(out, inner, bytes);
    }
    ck_assert(memcmp(out, data, bytes) == 0);
    return record.encoding;
}

static char *make_rows(size_t count, size_t *bytes_out)
{
    size_t row_bytes = strlen(ROW_TEXT);
    char *text = hf_alloc(count * row_bytes + 1);
    for (size_t i = 0; i < count; i++) {
        memcpy(text + i * row_bytes, ROW_TEXT, row_bytes);
        text[i * row_bytes + 5] = (char)('0' + (i * 7919) % 10);
    }
    *bytes_out = count * row_bytes;
    return text;
}

static bool pack_into(int form, const void *data, size_t bytes, size_t stored_bytes, struct hf_packed *out)
{
    struct hf_hash hash;
    hf_hash_of(data, bytes, &hash);
    return hf_packer_pack_into(packers[form], &hash, data, bytes, stored_bytes, out, &err);
}

START_TEST(what_is_smaller_is_packed_and_all_else_stored_raw)
{
    char noise[500];
    size_t bytes;
    HF_AUTO(free) char *rows = make_rows(100, &bytes);
    hf_random_bytes(noise, sizeof(noise));
    for (int form = 0; form < FORMS; form++) {
        struct hf_packed packed;
        struct hf_hash hash;
        hf_hash_of(rows, bytes, &hash);
        ck_assert(hf_packer_pack(packers[form], &hash, rows, bytes, &packed, &err));
        ck_assert_int_eq(assert_reads(form, &packed, rows, bytes), HF_ENCODING_ZSTD);
        ck_assert_uint_lt(packed.stored_bytes, bytes);
        hf_hash_of(noise, sizeof(noise), &hash);
        ck_assert(hf_packer_pack(packers[form], &hash, noise, sizeof(noise), &packed, &err));
        ck_assert_int_eq(assert_reads(form, &packed, noise, sizeof(noise)), HF_ENCODING_RAW);
        ck_assert_uint_eq(packed.stored_bytes, sizeof(noise) + extra(form));
        hf_hash_of("", 0, &hash);
        ck_assert(hf_packer_pack(packers[form], &hash, "", 0, &packed, &err));
        ck_assert_int_eq(assert_reads(form, &packed, "", 0), HF_ENCODING_RAW);
        ck_assert_uint_eq(packed.stored_bytes, extra(form));
    }
}
END_TEST

/* Sizes with content size fields of one, two and four bytes. */
START_TEST(content_is_made_as_long_as_it_was)
{
    static const size_t counts[] = {6, 40, 200, 6000};
    for (int form = 0; form < FORMS; form++) {
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
            size_t bytes;
            HF_AUTO(free) char *rows = make_rows(counts[i], &bytes);
            struct hf_hash hash;
            struct hf_packed packed;
            hf_hash_of(rows, bytes, &hash);
            ck_assert(hf_packer_pack(packers[form], &hash, rows, bytes, &packed, &err));
            size_t shortest = packed.stored_bytes;
            for (size_t more = 0; more <= 64; more++) {
                ck_assert_msg(pack_into(form, rows, bytes, shortest + more, &packed), "%zu more: %s", more, err.text);
                ck_assert_uint_eq(packed.stored_bytes, shortest + more);
                ck_assert_int_eq(assert_reads(form, &packed, rows, bytes), HF_ENCODING_ZSTD);
            }
            ck_assert(pack_into(form, rows, bytes, bytes - 1 + extra(form), &packed));
            assert_reads(form, &packed, rows, bytes);
            ck_assert(pack_into(form, rows, bytes, bytes + extra(form), &packed));
            ck_assert_int_eq(assert_reads(form, &packed, rows, bytes), HF_ENCODING_RAW);
        }
    }
}
END_TEST

START_TEST(another_level_is_tried_where_the_first_is_too_long)
{
    size_t bytes;
    HF_AUTO(free) char *rows = make_rows(6000, &bytes);
    struct hf_hash hash;
    struct hf_packed packed;
    hf_hash_of(rows, bytes, &hash);
    ck_assert(hf_packer_pack(packers[PLAIN], &hash, rows, bytes, &packed, &err));
    size_t first = packed.stored_bytes, best = ZSTD_compressBound(bytes);
    HF_AUTO(free) char *room = hf_alloc(best);
    best = ZSTD_compress(room, best, rows, bytes, 19);
    ck_assert_uint_lt(best, first);
    ck_assert_msg(pack_into(PLAIN, rows, bytes, best, &packed), "%s", err.text);
    ck_assert_uint_eq(packed.stored_bytes, best);
    assert_reads(PLAIN, &packed, rows, bytes);
}
END_TEST

START_TEST(impossible_lengths_are_refused)
{
    size_t bytes;
    HF_AUTO(free) char *rows = make_rows(40, &bytes);
    char noise[500];
    struct hf_packed packed;
    hf_random_bytes(noise, sizeof(noise));
    for (int form = 0; form < FORMS; form++) {
        ck_assert(!pack_into(form, rows, bytes, 10 + extra(form), &packed));
        ck_assert_int_eq(err.code, HF_NOT_FOUND);
        ck_assert(!pack_into(form, rows, bytes, bytes + 1 + extra(form), &packed));
        ck_assert_int_eq(err.code, HF_NOT_FOUND);
        ck_assert(!pack_into(form, noise, sizeof(noise), sizeof(noise) - 1 + extra(form), &packed));
        ck_assert_int_eq(err.code, HF_NOT_FOUND);
    }
    ck_assert(!pack_into(SEALED, rows, bytes, HF_SEAL_EXTRA_BYTES - 1, &packed));
    ck_assert_int_eq(err.code, HF_NOT_FOUND);
}
END_TEST

START_TEST(sealed_record_does_not_show_the_hash)
{
    static const char text[] = "\"guess me\"";
    struct hf_hash hash;
    struct hf_packed packed;
    hf_hash_of(text, strlen(text), &hash);
    ck_assert(hf_packer_pack(packers[SEALED], &hash, text, strlen(text), &packed, &err));
    for (size_t at = 0; at + 8 <= packed.head_bytes; at++)
        ck_assert(memcmp(packed.head + at, hash.bytes, 8) != 0);
    ck_assert_ptr_null(memmem(packed.stored, packed.stored_bytes, text, 4));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record");
    TCase *cases = tcase_create("record");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, what_is_smaller_is_packed_and_all_else_stored_raw);
    tcase_add_test(cases, content_is_made_as_long_as_it_was);
    tcase_add_test(cases, another_level_is_tried_where_the_first_is_too_long);
    tcase_add_test(cases, impossible_lengths_are_refused);
    tcase_add_test(cases, sealed_record_does_not_show_the_hash);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
