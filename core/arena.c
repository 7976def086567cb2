#include "core/arena.h"

#include "core/auto.h"
#include "core/error.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES_MIN 8192 /* a usual request fits into one */
#define BLOCK_BYTES_MAX (256 * 1024)

/* How many blocks of the smallest size a thread keeps for its next requests. None under the address sanitizer, which
 * could not tell a stale pointer from a good one. */
#define SPARES_MAX 64
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#undef SPARES_MAX
#define SPARES_MAX 0
#endif
#elif defined(__SANITIZE_ADDRESS__)
#undef SPARES_MAX
#define SPARES_MAX 0
#endif

struct hf_arena_block {
    struct hf_arena_block *next;
    size_t capacity;
    size_t used;
    bool zeroed; /* fresh from the system: need not be cleared again */
    alignas(max_align_t) unsigned char data[];
};

static _Thread_local struct {
    struct hf_arena_block *first;
    int count;
} spares;

static struct hf_arena_block *add_block(struct hf_arena *arena, size_t bytes);
static void drop_block(struct hf_arena_block *block);

void hf_arena_init(struct hf_arena *arena)
{
    *arena = (struct hf_arena){0};
}

void hf_arena_done(struct hf_arena *arena)
{
    struct hf_arena_block *block = arena->blocks;
    while (block) {
        struct hf_arena_block *next = block->next;
        drop_block(block);
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
    return block->zeroed ? memory : memset(memory, 0, rounded);
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
    struct hf_arena_block *block = capacity == BLOCK_BYTES_MIN ? spares.first : NULL;
    if (block) {
        spares.first = block->next;
        spares.count--;
        block->used = 0;
        block->zeroed = false;
    } else {
        block = hf_alloc(sizeof(*block) + capacity);
        block->zeroed = true;
    }
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

static pthread_key_t spares_key;

static void free_spares(void *unused)
{
    (void)unused;
    while (spares.first) {
        struct hf_arena_block *next = spares.first->next;
        free(spares.first);
        spares.first = next;
    }
    spares.count = SPARES_MAX; /* what this thread still drops on its way out is freed at once */
}

static void make_spares_key(void)
{
    HF_ASSERT(!pthread_key_create(&spares_key, free_spares));
}

static void drop_block(struct hf_arena_block *block)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (block->capacity != BLOCK_BYTES_MIN || spares.count >= SPARES_MAX) {
        free(block);
        return;
    }
    if (!spares.first) {
        pthread_once(&once, make_spares_key);
        pthread_setspecific(spares_key, &spares); /* so that the thread's end frees them */
    }
    block->next = spares.first;
    spares.first = block;
    spares.count++;
}
