#include "core/blob.h"

#include "core/auto.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "tests/support/check_main.h"

START_TEST(a_new_blob_is_empty_with_room_and_one_reference)
{
    HF_AUTO(blob) struct hf_blob *blob = hf_blob_new(100);
    ck_assert_ptr_nonnull(blob);
    ck_assert_uint_eq(blob->bytes, 0);
    ck_assert_uint_ge(blob->capacity, 100);
    ck_assert_int_eq(atomic_load(&blob->references), 1);
    memset(blob->data, 1, 100);
}
END_TEST

START_TEST(a_copy_holds_the_bytes_it_was_made_of)
{
    char source[] = "state";
    HF_AUTO(blob) struct hf_blob *blob = hf_blob_copy(source, 5);
    HF_AUTO(blob) struct hf_blob *empty = hf_blob_copy(NULL, 0);
    source[0] = 'X';
    ck_assert_uint_eq(blob->bytes, 5);
    ck_assert_mem_eq(blob->data, "state", 5);
    ck_assert_uint_eq(empty->bytes, 0);
}
END_TEST

START_TEST(growing_keeps_the_content)
{
    HF_AUTO(blob) struct hf_blob *blob = hf_blob_copy("0123456789", 10);
    blob = hf_blob_grow(blob, 1000000);
    ck_assert_ptr_nonnull(blob);
    ck_assert_uint_ge(blob->capacity, 1000000);
    ck_assert_uint_eq(blob->bytes, 10);
    ck_assert_mem_eq(blob->data, "0123456789", 10);
    memset(blob->data, 2, 1000000);
    ck_assert_ptr_eq(hf_blob_grow(blob, 5), blob);
    ck_assert_uint_ge(blob->capacity, 1000000);
}
END_TEST

START_TEST(an_impossible_size_is_refused_and_the_old_blob_stays)
{
    ck_assert_ptr_null(hf_blob_new(SIZE_MAX - 4));
    HF_AUTO(blob) struct hf_blob *blob = hf_blob_copy("abc", 3);
    ck_assert_ptr_null(hf_blob_grow(blob, SIZE_MAX - 4));
    ck_assert_mem_eq(blob->data, "abc", 3);
}
END_TEST

static void *take_and_drop(void *arg)
{
    struct hf_blob *blob = arg;
    for (int i = 0; i < 20000; i++)
        hf_blob_unref(hf_blob_ref(blob));
    hf_blob_unref(blob);
    return NULL;
}

START_TEST(references_survive_many_threads)
{
    struct hf_blob *blob = hf_blob_copy("shared", 6);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_drop, hf_blob_ref(blob)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(atomic_load(&blob->references), 1);
    ck_assert_mem_eq(blob->data, "shared", 6);
    hf_blob_unref(blob);
    hf_blob_unref(NULL);
}
END_TEST

HF_TEST_MAIN("blob", a_new_blob_is_empty_with_room_and_one_reference, a_copy_holds_the_bytes_it_was_made_of,
             growing_keeps_the_content, an_impossible_size_is_refused_and_the_old_blob_stays,
             references_survive_many_threads);
