/* Signatures, deltas and what they make; what a delta from anybody may not do. */
#include "core/delta.h"

#include "core/auto.h"

#include <string.h>

#include "tests/support/check_main.h"

#define LARGE ((size_t)1 << 20)
#define ROOM  (4 * LARGE)

static struct hf_error err;

/* Bytes that do not repeat, the same for the same seed. */
static void fill(char *out, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        out[i] = (char)(seed >> 24);
    }
}

/* The bytes of the delta that leads from one to the other. */
static size_t round_trip(const char *from, size_t from_bytes, const char *to, size_t to_bytes)
{
    HF_AUTO(buf) struct hf_buf signature;
    HF_AUTO(buf) struct hf_buf delta;
    HF_AUTO(buf) struct hf_buf result;
    hf_buf_init(&signature, ROOM);
    hf_buf_init(&delta, ROOM);
    hf_buf_init(&result, to_bytes); /* no byte more */
    ck_assert_msg(hf_delta_sign(from, from_bytes, &signature, &err), "%s", err.text);
    ck_assert_msg(hf_delta_make(signature.data, signature.bytes, to, to_bytes, &delta, &err), "%s", err.text);
    ck_assert_msg(hf_delta_apply(from, from_bytes, delta.data, delta.bytes, &result, &err), "%s", err.text);
    ck_assert_uint_eq(result.bytes, to_bytes);
    ck_assert(to_bytes == 0 || memcmp(result.data, to, to_bytes) == 0);
    return delta.bytes;
}

START_TEST(a_delta_gives_the_new_bytes_from_the_old)
{
    static const size_t sizes[] = {0, 1, 255, 256, 257, 2047, 2048, 2049, 65536, 65537, 200000};
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);
    HF_AUTO(free) char *from = hf_alloc(LARGE);
    HF_AUTO(free) char *to = hf_alloc(LARGE);
    fill(from, LARGE, 1);
    fill(to, LARGE, 2);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            round_trip(from, sizes[i], to, sizes[k]);
            round_trip(from, sizes[i], from, sizes[k]);
            round_trip(from, sizes[i], from + 1, sizes[k]);
        }
}
END_TEST

START_TEST(few_changes_make_a_small_delta_wherever_they_are)
{
    HF_AUTO(free) char *from = hf_alloc(LARGE + 1);
    HF_AUTO(free) char *to = hf_alloc(LARGE + 1);
    fill(from, LARGE, 3);
    ck_assert_uint_lt(round_trip(from, LARGE, from, LARGE), 100);
    memcpy(to + 1, from, LARGE); /* everything moves by one */
    to[0] = 'x';
    to[LARGE / 2] ^= 1;
    to[LARGE] ^= 1;
    ck_assert_uint_lt(round_trip(from, LARGE, to, LARGE + 1), 10000);
    HF_AUTO(buf) struct hf_buf signature;
    hf_buf_init(&signature, ROOM);
    ck_assert(hf_delta_sign(from, LARGE, &signature, &err));
    ck_assert_uint_lt(signature.bytes, 20000);
    ck_assert_mem_eq(signature.data, "rs\x01G", 4);
}
END_TEST

START_TEST(the_result_stops_at_its_maximum)
{
    char from[1000], to[3000];
    fill(from, sizeof(from), 4);
    for (size_t at = 0; at < sizeof(to); at += sizeof(from))
        memcpy(to + at, from, sizeof(from));
    HF_AUTO(buf) struct hf_buf signature;
    HF_AUTO(buf) struct hf_buf delta;
    hf_buf_init(&signature, ROOM);
    hf_buf_init(&delta, ROOM);
    ck_assert(hf_delta_sign(from, sizeof(from), &signature, &err));
    ck_assert(hf_delta_make(signature.data, signature.bytes, to, sizeof(to), &delta, &err));
    for (size_t max = 0; max <= sizeof(to); max += max < sizeof(to) - 2 ? 1499 : 1) {
        HF_AUTO(buf) struct hf_buf result;
        hf_buf_init(&result, max);
        bool ok = hf_delta_apply(from, sizeof(from), delta.data, delta.bytes, &result, &err);
        ck_assert_int_eq(ok, max == sizeof(to));
        ck_assert(ok || err.code == HF_BODY_TOO_LARGE);
        ck_assert_uint_le(result.bytes, max);
    }
    /* One literal byte, then two copies of as much as a length can tell. */
    static const char huge[] = "rs\x02\x36\x01x"
                               "\x54\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"
                               "\x00";
    HF_AUTO(buf) struct hf_buf result;
    hf_buf_init(&result, 100);
    ck_assert(!hf_delta_apply(from, sizeof(from), huge, sizeof(huge) - 1, &result, &err));
    ck_assert_uint_le(result.bytes, 100);
}
END_TEST

static void refuse(const char *delta, size_t bytes, const char *why)
{
    HF_AUTO(buf) struct hf_buf result;
    hf_buf_init(&result, ROOM);
    err.text[0] = '\0';
    ck_assert_msg(!hf_delta_apply("0123456789", 10, delta, bytes, &result, &err), "%s", why);
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert_msg(strstr(err.text, why) != NULL, "%s: %s", why, err.text);
}

#define REFUSE(delta, why) refuse(delta, sizeof(delta) - 1, why)

START_TEST(malformed_deltas_are_refused_with_what_is_wrong)
{
    HF_AUTO(buf) struct hf_buf result;
    hf_buf_init(&result, ROOM);
    /* "ab", then five bytes of the base from the third */
    ck_assert(hf_delta_apply("0123456789", 10,
                             "rs\x02\x36\x02"
                             "ab\x45\x02\x05\x00",
                             11, &result, &err));
    ck_assert_str_eq(result.data, "ab23456");
    REFUSE("", "cut short");
    REFUSE("rs", "cut short");
    REFUSE("rs\x02\x36", "cut short");
    REFUSE("rs\x02\x36\x05"
           "abc",
           "cut short");
    REFUSE("rs\x02\x36\x02"
           "ab",
           "cut short");
    REFUSE("rs\x02\x36\x45\x02", "cut short");
    REFUSE("rs\x01\x37\x02"
           "ab\x00",
           "does not begin like one");
    REFUSE("{\"a\":1}", "does not begin like one");
    REFUSE("rs\x02\x36\x02"
           "ab\x00"
           "c",
           "goes on after its end");
    REFUSE("rs\x02\x36\xff\x00", "makes no sense");
    REFUSE("rs\x02\x36\x45\x0a\x01\x00", "beyond the end");
    REFUSE("rs\x02\x36\x45\x08\x03\x00", "beyond the end");
    REFUSE("rs\x02\x36\x54\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00", "malformed");
    REFUSE("rs\x02\x36\x44\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "malformed");
    REFUSE("rs\x02\x36\x44\xff\xff\xff\xff\x01\x00", "malformed");
    REFUSE("rs\x02\x36\x45\x00\x00\x00", "malformed");
    ck_assert(!hf_delta_apply(NULL, 0, "rs\x02\x36\x45\x00\x01\x00", 8, &result, &err));
    ck_assert(strstr(err.text, "beyond the end") != NULL);
}
END_TEST

START_TEST(what_is_no_signature_is_refused)
{
    static const char *const cases[] = {"", "rs", "no signature at all"};
    HF_AUTO(buf) struct hf_buf delta;
    hf_buf_init(&delta, ROOM);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert(!hf_delta_make(cases[i], strlen(cases[i]), "new", 3, &delta, &err));
        ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    }
    HF_AUTO(buf) struct hf_buf small;
    hf_buf_init(&small, 10);
    ck_assert(!hf_delta_sign("0123456789", 10, &small, &err));
    ck_assert_int_eq(err.code, HF_OVERLOADED);
}
END_TEST

HF_TEST_MAIN("delta", a_delta_gives_the_new_bytes_from_the_old, few_changes_make_a_small_delta_wherever_they_are,
             the_result_stops_at_its_maximum, malformed_deltas_are_refused_with_what_is_wrong,
             what_is_no_signature_is_refused);
