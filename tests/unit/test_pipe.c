#include "core/pipe.h"

#include "core/auto.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/support/check_main.h"

#define BYTES_MAX 1000
#define TOTAL     1000000

static atomic_int wakes;

static void count_wake(void *context)
{
    (void)context;
    atomic_fetch_add(&wakes, 1);
}

static struct hf_pipe *make_pipe(int64_t patience_ms)
{
    const struct hf_pipe_options options = {
        .bytes_max = BYTES_MAX,
        .patience_ms = patience_ms,
        .read_late = {HF_INVALID_REQUEST, "nothing came"},
        .write_late = {HF_IO, "nothing was taken"},
        .wake = count_wake,
    };
    return hf_pipe_new(&options);
}

static unsigned char byte_at(size_t position)
{
    return (unsigned char)(position * 7 + position / 251);
}

static void fill(unsigned char *out, size_t position, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = byte_at(position + i);
}

static void expect_bytes(const unsigned char *data, size_t position, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        ck_assert_msg(data[i] == byte_at(position + i), "byte %zu differs", position + i);
}

static void *write_all(void *argument)
{
    struct hf_pipe *pipe = argument;
    struct hf_error err;
    unsigned char data[3 * BYTES_MAX];
    for (size_t at = 0, step = 1; at < TOTAL; step = step * 5 % 2999 + 1) {
        size_t bytes = step < TOTAL - at ? step : TOTAL - at;
        fill(data, at, bytes);
        if (!hf_pipe_write(pipe, data, bytes, &err))
            return (void *)"the writer failed";
        at += bytes;
    }
    hf_pipe_finish(pipe);
    return NULL;
}

START_TEST(two_threads_move_more_than_the_pipe_holds)
{
    struct hf_pipe *pipe = make_pipe(60000);
    struct hf_error err;
    pthread_t writer;
    void *failure;
    unsigned char data[777];
    size_t at = 0, got;
    ck_assert_int_eq(pthread_create(&writer, NULL, write_all, pipe), 0);
    do {
        ck_assert(hf_pipe_read(pipe, data, sizeof(data), &got, &err));
        expect_bytes(data, at, got);
        at += got;
    } while (got > 0);
    ck_assert_uint_eq(at, TOTAL);
    ck_assert(hf_pipe_read(pipe, data, sizeof(data), &got, &err)); /* the end stays the end */
    ck_assert_uint_eq(got, 0);
    ck_assert_int_eq(pthread_join(writer, &failure), 0);
    ck_assert_ptr_null(failure);
    hf_pipe_free(pipe);
}
END_TEST

START_TEST(an_end_that_never_waits_is_told_when_bytes_come)
{
    struct hf_pipe *pipe = make_pipe(60000);
    struct hf_error err;
    unsigned char data[BYTES_MAX];
    size_t got;
    atomic_store(&wakes, 0);
    ck_assert(hf_pipe_write(pipe, "ab", 2, &err));
    ck_assert_int_eq(atomic_load(&wakes), 0); /* nobody had asked */
    ck_assert_int_eq(hf_pipe_take(pipe, data, sizeof(data), &got), HF_PIPE_MOVED);
    ck_assert_uint_eq(got, 2);
    ck_assert_int_eq(hf_pipe_take(pipe, data, sizeof(data), &got), HF_PIPE_WAIT);
    ck_assert(hf_pipe_write(pipe, "c", 1, &err));
    ck_assert(hf_pipe_write(pipe, "d", 1, &err));
    ck_assert_int_eq(atomic_load(&wakes), 1); /* once */
    ck_assert_int_eq(hf_pipe_take(pipe, data, 1, &got), HF_PIPE_MOVED);
    ck_assert_int_eq(hf_pipe_take(pipe, data, sizeof(data), &got), HF_PIPE_MOVED);
    ck_assert_mem_eq(data, "d", 1);
    ck_assert_int_eq(hf_pipe_take(pipe, data, sizeof(data), &got), HF_PIPE_WAIT);
    hf_pipe_finish(pipe);
    ck_assert_int_eq(atomic_load(&wakes), 2);
    ck_assert_int_eq(hf_pipe_take(pipe, data, sizeof(data), &got), HF_PIPE_END);
    hf_pipe_free(pipe);
}
END_TEST

START_TEST(an_end_that_never_waits_is_told_when_half_of_the_pipe_is_free)
{
    struct hf_pipe *pipe = make_pipe(60000);
    struct hf_error err;
    unsigned char data[2 * BYTES_MAX], back[2 * BYTES_MAX];
    size_t moved, more, got;
    fill(data, 0, sizeof(data));
    atomic_store(&wakes, 0);
    ck_assert_int_eq(hf_pipe_offer(pipe, data, 300, &moved), HF_PIPE_MOVED);
    ck_assert_uint_eq(moved, 300);
    ck_assert_int_eq(hf_pipe_offer(pipe, data + 300, 1000, &moved), HF_PIPE_WAIT);
    ck_assert_uint_eq(moved, 700);
    ck_assert(hf_pipe_read(pipe, back, 499, &got, &err));
    ck_assert_int_eq(atomic_load(&wakes), 0);
    ck_assert(hf_pipe_read(pipe, back + got, 1, &more, &err));
    ck_assert_int_eq(atomic_load(&wakes), 1);
    ck_assert_int_eq(hf_pipe_offer(pipe, data + 1000, 500, &moved), HF_PIPE_MOVED);
    ck_assert(hf_pipe_read(pipe, back + 500, sizeof(back) - 500, &got, &err));
    ck_assert_uint_eq(got, 1000);
    expect_bytes(back, 0, 1500);
    hf_pipe_free(pipe);
}
END_TEST

START_TEST(a_reader_gives_up_when_nothing_comes)
{
    struct hf_pipe *pipe = make_pipe(20);
    struct hf_error err;
    char data[4];
    size_t got;
    ck_assert(!hf_pipe_read(pipe, data, sizeof(data), &got, &err));
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert_str_eq(err.text, "nothing came for 20 ms");
    hf_pipe_free(pipe);
}
END_TEST

START_TEST(a_writer_gives_up_when_nothing_is_taken)
{
    struct hf_pipe *pipe = make_pipe(20);
    struct hf_error err;
    static const char data[BYTES_MAX + 1];
    ck_assert(!hf_pipe_write(pipe, data, sizeof(data), &err));
    ck_assert_int_eq(err.code, HF_IO);
    ck_assert_str_eq(err.text, "nothing was taken for 20 ms");
    hf_pipe_free(pipe);
}
END_TEST

static void *break_it(void *argument)
{
    hf_pipe_break(argument, HF_IO, "the client left");
    return NULL;
}

START_TEST(breaking_ends_a_wait_on_either_side)
{
    static const char data[BYTES_MAX + 1];
    for (int side = 0; side < 2; side++) {
        struct hf_pipe *pipe = make_pipe(60000);
        struct hf_error err;
        pthread_t breaker;
        char out[4];
        size_t got;
        ck_assert_int_eq(pthread_create(&breaker, NULL, break_it, pipe), 0);
        ck_assert(side == 0 ? !hf_pipe_write(pipe, data, sizeof(data), &err)
                            : !hf_pipe_read(pipe, out, sizeof(out), &got, &err));
        ck_assert_int_eq(err.code, HF_IO);
        ck_assert_str_eq(err.text, "the client left");
        ck_assert_int_eq(pthread_join(breaker, NULL), 0);
        ck_assert(hf_pipe_is_broken(pipe));
        hf_pipe_free(pipe);
    }
}
END_TEST

START_TEST(a_broken_pipe_gives_no_byte_away)
{
    struct hf_pipe *pipe = make_pipe(60000);
    struct hf_error err;
    char out[4];
    size_t moved;
    atomic_store(&wakes, 0);
    ck_assert(hf_pipe_write(pipe, "abc", 3, &err));
    hf_pipe_finish(pipe);
    hf_pipe_break(pipe, HF_DAMAGED, "first");
    hf_pipe_break(pipe, HF_IO, "second");
    ck_assert_int_eq(hf_pipe_take(pipe, out, sizeof(out), &moved), HF_PIPE_BROKEN);
    ck_assert(!hf_pipe_read(pipe, out, sizeof(out), &moved, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_str_eq(err.text, "first");
    hf_pipe_free(pipe);
}
END_TEST

START_TEST(breaking_wakes_an_end_that_never_waits)
{
    struct hf_pipe *pipe = make_pipe(60000);
    static const char data[BYTES_MAX + 1];
    size_t moved;
    atomic_store(&wakes, 0);
    ck_assert_int_eq(hf_pipe_offer(pipe, data, sizeof(data), &moved), HF_PIPE_WAIT);
    hf_pipe_break(pipe, HF_IO, "nobody reads");
    ck_assert_int_eq(atomic_load(&wakes), 1);
    ck_assert_int_eq(hf_pipe_offer(pipe, data, 1, &moved), HF_PIPE_BROKEN);
    ck_assert_uint_eq(moved, 0);
    hf_pipe_free(pipe);
}
END_TEST

START_TEST(a_pipe_that_was_read_to_its_end_cannot_break)
{
    struct hf_pipe *pipe = make_pipe(60000);
    struct hf_error err;
    char out[4];
    size_t got;
    hf_pipe_finish(pipe);
    ck_assert(hf_pipe_read(pipe, out, sizeof(out), &got, &err));
    ck_assert_uint_eq(got, 0);
    hf_pipe_break(pipe, HF_IO, "too late");
    ck_assert(!hf_pipe_is_broken(pipe));
    ck_assert(hf_pipe_read(pipe, out, sizeof(out), &got, &err));
    hf_pipe_free(pipe);
}
END_TEST

static void count_own_wake(void *context)
{
    ++*(int *)context;
}

START_TEST(two_ends_that_never_wait_are_told_apart)
{
    struct hf_pipe *pipe = make_pipe(60000);
    static const char data[BYTES_MAX + 1];
    char out[BYTES_MAX];
    size_t moved;
    int reader_wakes = 0;
    atomic_store(&wakes, 0);
    hf_pipe_set_reader_wake(pipe, count_own_wake, &reader_wakes);
    ck_assert_int_eq(hf_pipe_take(pipe, out, sizeof(out), &moved), HF_PIPE_WAIT);
    ck_assert_int_eq(hf_pipe_offer(pipe, data, sizeof(data), &moved), HF_PIPE_WAIT);
    ck_assert_int_eq(reader_wakes, 1);
    ck_assert_int_eq(atomic_load(&wakes), 0);
    ck_assert_int_eq(hf_pipe_take(pipe, out, sizeof(out), &moved), HF_PIPE_MOVED);
    ck_assert_int_eq(reader_wakes, 1);
    ck_assert_int_eq(atomic_load(&wakes), 1);
    ck_assert(!hf_pipe_is_finished(pipe));
    ck_assert_int_eq(hf_pipe_take(pipe, out, sizeof(out), &moved), HF_PIPE_WAIT);
    hf_pipe_finish(pipe);
    ck_assert_int_eq(reader_wakes, 2);
    ck_assert(hf_pipe_is_finished(pipe));
    hf_pipe_free(pipe);
}
END_TEST

HF_TEST_MAIN("pipe", two_threads_move_more_than_the_pipe_holds, an_end_that_never_waits_is_told_when_bytes_come,
             an_end_that_never_waits_is_told_when_half_of_the_pipe_is_free, a_reader_gives_up_when_nothing_comes,
             a_writer_gives_up_when_nothing_is_taken, breaking_ends_a_wait_on_either_side,
             a_broken_pipe_gives_no_byte_away, breaking_wakes_an_end_that_never_waits,
             a_pipe_that_was_read_to_its_end_cannot_break, two_ends_that_never_wait_are_told_apart);
