/* Memory that lives as long as one request: many small allocations, one free. Not thread-safe. */
#ifndef HF_CORE_ARENA_H
#define HF_CORE_ARENA_H

#include <stddef.h>

struct hf_arena {
    struct hf_arena_block *blocks; /* newest first */
    size_t bytes_total;            /* handed out and reserved */
};

void hf_arena_init(struct hf_arena *arena);
void hf_arena_done(struct hf_arena *arena);

/* All results are aligned for any type, live until hf_arena_done, and are never NULL. */
void *hf_arena_alloc(struct hf_arena *arena, size_t bytes); /* zeroed */
char *hf_arena_strdup(struct hf_arena *arena, const char *text);
char *hf_arena_strndup(struct hf_arena *arena, const char *text, size_t bytes);
char *hf_arena_format(struct hf_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void hf_auto_arena(struct hf_arena *arena)
{
    hf_arena_done(arena);
}

#endif
