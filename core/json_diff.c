/* Compares two values and writes down what leads from the one to the other. */
#include "core/json_exact.h"
#include "core/json_patch.h"
#include "core/json_pointer.h"

#include <string.h>

/* Together less than applying a patch may take (json_patch.c). */
#define WORK_MAX      20000000 /* values looked at */
#define MOVED_MAX     40000000 /* blocks of elements that have to move aside when the patch is applied */
#define MOVED_AT_ONCE 16

#define OPERATION_BYTES 32
#define PATCH_BYTES_MIN (64 * 1024)
#define SHIFT_MAX       32 /* how far the start of an array may have moved on to be recognised */
#define PATH_BYTES_MAX  ((size_t)1 << 32)

struct diffing {
    json_t *operations;
    struct hf_buf path;
    size_t bytes, bytes_max; /* of the operations' text, roughly */
    int64_t work_left, moves_left;
    bool gave_up;
};

static void compare(struct diffing *d, const json_t *from, const json_t *to);
static void compare_objects(struct diffing *d, const json_t *from, const json_t *to);
static void compare_arrays(struct diffing *d, const json_t *from, const json_t *to);
static bool compare_shifted(struct diffing *d, const json_t *from, const json_t *to);
static void compare_middle(struct diffing *d, const json_t *from, const json_t *to, size_t start, size_t end_count);
static bool equal_at(struct diffing *d, const json_t *from, size_t i, const json_t *to, size_t j);
static void compare_at(struct diffing *d, size_t index, const json_t *from, const json_t *to);
static bool may_move(struct diffing *d, size_t edits, size_t elements);
static void emit_at(struct diffing *d, const char *op, size_t index, const json_t *value);
static void emit(struct diffing *d, const char *op, const json_t *value);
static size_t value_bytes(const json_t *value, size_t enough, int64_t *work_left);

json_t *hf_json_patch_diff(const json_t *from, const json_t *to)
{
    struct diffing d = {.operations = json_array(), .work_left = WORK_MAX, .moves_left = MOVED_MAX};
    hf_buf_init(&d.path, PATH_BYTES_MAX);
    d.bytes_max = PATCH_BYTES_MIN + 2 * value_bytes(to, SIZE_MAX / 4, &d.work_left);
    compare(&d, from, to);
    if (d.gave_up || d.path.failed) {
        hf_buf_reset(&d.path);
        json_array_clear(d.operations);
        d.bytes_max = SIZE_MAX;
        emit(&d, "replace", to);
    }
    hf_buf_done(&d.path);
    return d.operations;
}

static void compare(struct diffing *d, const json_t *from, const json_t *to)
{
    d->gave_up = d->gave_up || --d->work_left < 0;
    if (d->gave_up || from == to)
        return;
    if (json_is_object(from) && json_is_object(to))
        compare_objects(d, from, to);
    else if (json_is_array(from) && json_is_array(to))
        compare_arrays(d, from, to);
    else if (!hf_json_same(from, to, NULL)) /* no two containers: takes no time */
        emit(d, "replace", to);
}

static void compare_objects(struct diffing *d, const json_t *from, const json_t *to)
{
    size_t start = d->path.bytes;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)from, name, value)
    {
        const json_t *other = json_object_get(to, name);
        hf_json_pointer_add(&d->path, name);
        if (other)
            compare(d, value, other);
        else
            emit(d, "remove", NULL);
        d->path.bytes = start;
        if (d->gave_up)
            return;
    }
    json_object_foreach((json_t *)to, name, value)
    {
        if (json_object_get(from, name))
            continue;
        hf_json_pointer_add(&d->path, name);
        emit(d, "add", value);
        d->path.bytes = start;
        if (d->gave_up)
            return;
    }
}

/* Element by element, unless replacing the array is shorter. */
static void compare_arrays(struct diffing *d, const json_t *from, const json_t *to)
{
    size_t mark = json_array_size(d->operations), bytes = d->bytes;
    size_t from_count = json_array_size(from), to_count = json_array_size(to), start = 0, end_count = 0;
    if (!compare_shifted(d, from, to)) {
        size_t shorter = from_count < to_count ? from_count : to_count;
        /* Of one length, they need no search for what they have in common. */
        bool search = from_count != to_count;
        while (search && start < shorter && equal_at(d, from, start, to, start))
            start++;
        while (search && end_count < shorter - start &&
               equal_at(d, from, from_count - 1 - end_count, to, to_count - 1 - end_count))
            end_count++;
        compare_middle(d, from, to, start, end_count);
    }
    size_t emitted = json_array_size(d->operations) - mark, emitted_bytes = d->bytes - bytes;
    if (d->gave_up || emitted < 2 || value_bytes(to, emitted_bytes, &d->work_left) >= emitted_bytes)
        return;
    while (json_array_size(d->operations) > mark)
        json_array_remove(d->operations, json_array_size(d->operations) - 1);
    d->bytes = bytes;
    emit(d, "replace", to);
}

/* A window that moved on: the first few elements went, and others came at the end. */
static bool compare_shifted(struct diffing *d, const json_t *from, const json_t *to)
{
    size_t from_count = json_array_size(from), to_count = json_array_size(to), shift = 0, kept = 0;
    if (from_count < 2 || to_count == 0 || equal_at(d, from, 0, to, 0))
        return false;
    for (shift = 1; shift < from_count && shift <= SHIFT_MAX; shift++) {
        kept = from_count - shift;
        if (kept <= to_count && equal_at(d, from, shift, to, 0) && equal_at(d, from, from_count - 1, to, kept - 1))
            break;
    }
    if (shift == from_count || shift > SHIFT_MAX)
        return false;
    for (size_t i = 1; i + 1 < kept; i++)
        if (!equal_at(d, from, shift + i, to, i))
            return false;
    if (!may_move(d, shift, from_count))
        return false;
    for (size_t i = 0; i < shift; i++)
        emit_at(d, "remove", 0, NULL);
    for (size_t i = kept; i < to_count; i++)
        emit_at(d, "add", i, json_array_get(to, i));
    return true;
}

/* Without start elements that are the same at the beginning, and end_count at the end. */
static void compare_middle(struct diffing *d, const json_t *from, const json_t *to, size_t start, size_t end_count)
{
    size_t from_end = json_array_size(from) - end_count, to_end = json_array_size(to) - end_count;
    size_t both_end = from_end < to_end ? from_end : to_end;
    size_t edits = from_end + to_end - 2 * both_end;
    if (!may_move(d, edits, end_count)) {
        emit(d, "replace", to);
        return;
    }
    for (size_t i = start; i < both_end && !d->gave_up; i++)
        compare_at(d, i, json_array_get(from, i), json_array_get(to, i));
    for (size_t i = from_end; i > both_end && !d->gave_up; i--)
        emit_at(d, "remove", i - 1, NULL);
    for (size_t i = both_end; i < to_end && !d->gave_up; i++)
        emit_at(d, "add", i, json_array_get(to, i));
}

static bool equal_at(struct diffing *d, const json_t *from, size_t i, const json_t *to, size_t j)
{
    bool same = hf_json_same(json_array_get(from, i), json_array_get(to, j), &d->work_left);
    d->gave_up = d->gave_up || d->work_left < 0;
    return same;
}

static void compare_at(struct diffing *d, size_t index, const json_t *from, const json_t *to)
{
    size_t start = d->path.bytes;
    hf_buf_add_char(&d->path, '/');
    hf_buf_add_u64(&d->path, index);
    compare(d, from, to);
    d->path.bytes = start;
}

/* May edits be made, each of which moves so many elements? */
static bool may_move(struct diffing *d, size_t edits, size_t elements)
{
    if (edits > HF_JSON_PATCH_OPERATIONS_MAX)
        return false;
    int64_t moves = (int64_t)edits * (int64_t)(elements / MOVED_AT_ONCE);
    if (moves > d->moves_left)
        return false;
    d->moves_left -= moves;
    return true;
}

static void emit_at(struct diffing *d, const char *op, size_t index, const json_t *value)
{
    size_t start = d->path.bytes;
    hf_buf_add_char(&d->path, '/');
    hf_buf_add_u64(&d->path, index);
    emit(d, op, value);
    d->path.bytes = start;
}

/* value NULL: none. */
static void emit(struct diffing *d, const char *op, const json_t *value)
{
    d->bytes += OPERATION_BYTES + d->path.bytes;
    if (value)
        d->bytes += value_bytes(value, d->bytes_max, &d->work_left);
    if (d->bytes > d->bytes_max || json_array_size(d->operations) == HF_JSON_PATCH_OPERATIONS_MAX) {
        d->gave_up = true;
        return;
    }
    json_t *operation = json_object();
    int failed = json_object_set_new(operation, "op", json_string(op));
    failed |=
        json_object_set_new(operation, "path", json_stringn_nocheck(d->path.data ? d->path.data : "", d->path.bytes));
    if (value)
        failed |= json_object_set(operation, "value", (json_t *)value);
    failed |= json_array_append_new(d->operations, operation);
    HF_ASSERT(!failed);
}

/* The size of its text, roughly; stops counting at enough, or when there is no more work left. */
static size_t value_bytes(const json_t *value, size_t enough, int64_t *work_left)
{
    size_t bytes = 2;
    const char *name;
    json_t *member;
    if (--*work_left < 0)
        return enough;
    switch (json_typeof(value)) {
    case JSON_STRING:
        return bytes + json_string_length(value);
    case JSON_ARRAY:
        for (size_t i = 0; bytes < enough && i < json_array_size(value); i++)
            bytes += 1 + value_bytes(json_array_get(value, i), enough - bytes, work_left);
        return bytes;
    case JSON_OBJECT:
        json_object_foreach((json_t *)value, name, member)
        {
            if (bytes >= enough)
                break;
            bytes += 4 + strlen(name) + value_bytes(member, enough - bytes, work_left);
        }
        return bytes;
    case JSON_INTEGER:
        return json_integer_value(value) > -1000 && json_integer_value(value) < 10000 ? 4 : 12;
    case JSON_REAL:
        return 12;
    default:
        return 4;
    }
}
