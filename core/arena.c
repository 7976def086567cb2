#include "core/arena.h"

#include "core/auto.h"
#include "core/error.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES_MIN 4096
#define BLOCK_BYTES_MAX (256 * 1024)

struct hf_arena_block {
    struct hf_arena_block *next;
    size_t capacity;
    size_t used;
    alignas(max_align_t) unsigned char data[];
};

static struct hf_arena_block *add_block(struct hf_arena *arena, size_t bytes);

void hf_arena_init(struct hf_arena *arena)
{
    *arena = (struct hf_arena){0};
}

void hf_arena_done(struct hf_arena *arena)
{
    struct hf_arena_block *block = arena->blocks;
    while (block) {
        struct hf_arena_block *next = block->next;
        free(block);
        block = next;
    }
    hf_arena_init(arena);
}

void *hf_arena_alloc(struct hf_arena *arena, size_t bytes)
{
    const size_t alignment = alignof(max_align_t);
    HF_ASSERT(bytes < SIZE_MAX / 4);
    size_t rounded = (bytes + (bytes == 0) + alignment - 1) & ~(alignment - 1);
    struct hf_arena_block *block = arena->blocks;
    if (!block || block->capacity - block->used < rounded)
        block = add_block(arena, rounded);
    void *memory = block->data + block->used;
    block->used += rounded;
    return memory;
}

char *hf_arena_strdup(struct hf_arena *arena, const char *text)
{
    return hf_arena_strndup(arena, text, strlen(text));
}

char *hf_arena_strndup(struct hf_arena *arena, const char *text, size_t bytes)
{
    size_t length = strnlen(text, bytes);
    char *copy = hf_arena_alloc(arena, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *hf_arena_format(struct hf_arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    HF_ASSERT(length >= 0);
    char *text = hf_arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

/* Blocks double, so that a big request makes few of them. One that serves a single big allocation goes behind the
 * newest block, whose free room stays in use. */
static struct hf_arena_block *add_block(struct hf_arena *arena, size_t bytes)
{
    struct hf_arena_block *newest = arena->blocks;
    size_t usual = arena->bytes_total > BLOCK_BYTES_MIN ? arena->bytes_total : BLOCK_BYTES_MIN;
    if (usual > BLOCK_BYTES_MAX)
        usual = BLOCK_BYTES_MAX;
    bool alone = bytes > usual / 2;
    size_t capacity = alone ? bytes : usual;
    struct hf_arena_block *block = hf_alloc(sizeof(*block) + capacity);
    block->capacity = capacity;
    arena->bytes_total += capacity;
    if (alone && newest) {
        block->next = newest->next;
        newest->next = block;
    } else {
        block->next = newest;
        arena->blocks = block;
    }
    return block;
}
