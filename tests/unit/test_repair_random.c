/* Harm at random: it ends in healed, or in damaged with the exact list. */
#include "tests/support/repair_world.h"

#include "core/auto.h"
#include "repository/format.h"

#include <string.h>
#include <unistd.h>

#define RANDOM_CASES 300
#define SEALED_CASES 60

enum harm { HARM_FLIP, HARM_BYTES, HARM_ZEROS, HARM_CUT, HARM_APPEND, HARM_DELETE, HARM_SWAP, HARM_OVERWRITE, HARMS };

static unsigned random_state;

static size_t pick(size_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (size_t)(((uint64_t)(random_state >> 4) * below) >> 28);
}

/* Does the harm, and tells what the file's bytes are then (owns; NULL: not a matter of bytes). */
static char *harm_file(enum harm harm, int which, int other, size_t *bytes_out)
{
    struct hf_test_original *original = &hf_test_world.originals[which];
    size_t bytes = original->bytes, at = pick(bytes), length = 1 + pick(pick(4) ? 200 : 4000);
    char *data = hf_alloc(bytes + length);
    memcpy(data, original->data, bytes);
    size_t end = at + length < bytes ? at + length : bytes;
    if (harm == HARM_FLIP)
        data[at] ^= (char)(1 << pick(8));
    else if (harm == HARM_BYTES)
        for (size_t i = 0; i < 1 + length % 5; i++)
            data[pick(bytes)] ^= (char)(1 + pick(255));
    else if (harm == HARM_ZEROS)
        memset(data + at, 0, end - at);
    else if (harm == HARM_CUT)
        bytes = at;
    else if (harm == HARM_APPEND)
        bytes += length;
    if (harm <= HARM_APPEND) {
        hf_test_write_file(original->path, data, bytes);
        *bytes_out = bytes;
        return data;
    }
    free(data);
    ck_assert_int_eq(unlink(original->path), 0);
    if (harm != HARM_DELETE)
        hf_test_write_file(original->path, hf_test_world.originals[other].data, hf_test_world.originals[other].bytes);
    if (harm == HARM_SWAP)
        hf_test_write_file(hf_test_world.originals[other].path, original->data, original->bytes);
    return NULL;
}

static size_t differing(const char *data, size_t bytes, const struct hf_test_original *original, size_t from, size_t to)
{
    size_t count = 0;
    for (size_t i = from; i < to; i++)
        count += i >= bytes || data[i] != original->data[i];
    return count;
}

/* What must be lost without mirror and primary. */
struct expected {
    bool file;
    int lost;
    struct hf_hash hash[HF_TEST_RECORDS_MAX];
};

static struct expected expect(enum harm harm, int which, const char *data, size_t bytes, bool source)
{
    const struct hf_test_original *original = &hf_test_world.originals[which];
    struct expected expected = {0};
    size_t footer_at = original->bytes - HF_FORMAT_FOOTER_BYTES;
    if (hf_test_world.outlined) {
        for (int i = 0; i < original->records && harm != HARM_SWAP && !source; i++) {
            const struct hf_test_record *record = &original->record[i];
            bool empty = record->end == record->offset + original->record_bytes; /* made again from nothing */
            if (record->unique && !empty &&
                (!data || differing(data, bytes, original, record->offset + original->record_bytes, record->end) > 0))
                expected.hash[expected.lost++] = record->hash;
        }
        return expected;
    }
    if (!data) {
        expected.file = harm != HARM_SWAP;
        return expected;
    }
    size_t header = differing(data, bytes, original, 0, original->header_bytes);
    size_t footer = differing(data, bytes, original, footer_at, original->bytes);
    expected.file = differing(data, bytes, original, original->manifest_at, footer_at) > 0;
    /* Salt and key of an encrypted file are in its header alone; of a footer that was cut, the length is gone; and
     * where the manifest begins, the footer says and the last record. */
    if (hf_test_world.keys) {
        const struct hf_test_record *last = original->records ? &original->record[original->records - 1] : NULL;
        if (header > 1 || (header && footer) || bytes < original->bytes ||
            (last && differing(data, bytes, original, footer_at, footer_at + 8) > 0 &&
             differing(data, bytes, original, last->offset, last->offset + original->record_bytes) > 0))
            expected.file = true;
    }
    for (int i = 0; i < original->records && !expected.file && !source; i++) {
        const struct hf_test_record *record = &original->record[i];
        if (record->unique &&
            differing(data, bytes, original, record->offset + original->record_bytes, record->end) > 0)
            expected.hash[expected.lost++] = record->hash;
    }
    return expected;
}

static void run_random_case(int number)
{
    const struct hf_content_source from_primary = {hf_test_find_in_source, NULL};
    enum harm harm = (enum harm)pick(HARMS);
    int which = (int)pick(HF_TEST_FILES), other = (which + 1 + (int)pick(HF_TEST_FILES - 1)) % HF_TEST_FILES;
    bool with_mirror = pick(3) == 0, with_source = pick(4) == 0;
    size_t bytes = 0;
    HF_AUTO(free) char *data = harm_file(harm, which, other, &bytes);
    struct expected expected = expect(harm, which, data, bytes, with_source);
    struct hf_repair_report report =
        hf_test_repair_with(which, with_mirror ? hf_test_world.mirror : NULL, with_source ? &from_primary : NULL);
    char what[128];
    snprintf(what, sizeof(what), "case %d: harm %d to %s", number, (int)harm, hf_test_world.snapshots[which].id);
    ck_assert(hf_test_no_temporary_files());
    if (with_mirror)
        expected = (struct expected){0};
    ck_assert_msg(report.file_lost == expected.file, "%s: %s", what, report.what);
    ck_assert_msg(report.lost_count == expected.lost, "%s: %lld lost: %s", what, (long long)report.lost_count,
                  report.what);
    for (int i = 0; i < expected.lost; i++)
        ck_assert_msg(hf_hash_equal(&report.lost[i].hash, &expected.hash[i]), "%s", what);
    bool whole = !expected.file && expected.lost == 0;
    ck_assert_msg((report.outcome == HF_REPAIR_DAMAGED) == !whole, "%s: %s", what, report.what);
    if (whole) {
        hf_test_assert_original(which, what);
        hf_test_assert_world_sound(what);
    } else {
        struct hf_verify_report verify;
        struct hf_error err = {0};
        ck_assert(!hf_repository_verify(hf_test_world.repository, HF_TEST_SYSTEM, hf_test_world.snapshots[which].id,
                                        NULL, &verify, &err));
        ck_assert_msg(err.code == HF_DAMAGED || err.code == HF_NOT_FOUND, "%s: %s", what, err.text);
    }
}

static void run_random_cases(unsigned seed, int count)
{
    random_state = seed;
    for (int i = 0; i < count; i++) {
        hf_test_world_restore();
        run_random_case(i);
    }
}

START_TEST(random_harm_ends_in_healed_or_in_the_exact_list)
{
    run_random_cases(20261123, RANDOM_CASES);
}
END_TEST

START_TEST(random_harm_to_encrypted_files_ends_the_same_way)
{
    ck_assert_uint_eq(hf_test_world.originals[0].record_bytes, HF_FORMAT_RECORD_BYTES_MAX);
    run_random_cases(47, SEALED_CASES);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("repair_random");
    hf_arena_init(&hf_test_world.arena);
    TCase *cases = hf_test_add_case(suite, "plain", hf_test_world_setup, hf_test_world_teardown);
    tcase_add_test(cases, random_harm_ends_in_healed_or_in_the_exact_list);
    cases = hf_test_add_case(suite, "outlines", hf_test_world_setup_outlined, hf_test_world_teardown);
    tcase_add_test(cases, random_harm_ends_in_healed_or_in_the_exact_list);
    cases = hf_test_add_case(suite, "encrypted outlines", hf_test_world_setup_sealed_outlined, hf_test_world_teardown);
    tcase_add_test(cases, random_harm_to_encrypted_files_ends_the_same_way);
    cases = hf_test_add_case(suite, "encrypted", hf_test_world_setup_sealed, hf_test_world_teardown);
    tcase_add_test(cases, random_harm_to_encrypted_files_ends_the_same_way);
    return hf_test_world_run(suite);
}
