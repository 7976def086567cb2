#include "shared_memory.h"

#include <stdio.h>
#include <string.h>

static struct entry *find_place(struct shared_memory *memory, const char *key)
{
    struct entry *oldest = &memory->entries[0];
    for (size_t i = 0; i < memory->count; i++) {
        if (strcmp(memory->entries[i].key, key) == 0)
            return &memory->entries[i];
        if (memory->entries[i].step < oldest->step)
            oldest = &memory->entries[i];
    }
    return memory->count < SHARED_ENTRIES ? &memory->entries[memory->count++] : oldest;
}

void shared_memory_post(struct shared_memory *memory, const char *key, const char *writer, double value, int64_t step)
{
    struct entry *entry = find_place(memory, key);
    if (strcmp(entry->key, key) == 0 && strcmp(entry->writer, writer) == 0 && entry->value == value)
        return;
    *entry = (struct entry){.value = value, .step = step};
    snprintf(entry->key, sizeof(entry->key), "%s", key);
    snprintf(entry->writer, sizeof(entry->writer), "%s", writer);
    memory->writes++;
    memory->part.changed = true;
}

void shared_memory_write(const void *part, json_t *to)
{
    const struct shared_memory *memory = part;
    put_integer(to, "writes", memory->writes);
    json_t *list = put_list(to, "contents");
    for (size_t i = 0; i < memory->count; i++) {
        json_t *entry = add_object(list);
        put_text(entry, "key", memory->entries[i].key);
        put_text(entry, "writer", memory->entries[i].writer);
        put_real(entry, "value", memory->entries[i].value);
        put_integer(entry, "step", memory->entries[i].step);
    }
}

void shared_memory_read(void *part, struct reading *from)
{
    struct shared_memory *memory = part;
    memory->writes = get_integer(from, "writes", 0, INT64_MAX);
    memory->count = get_list(from, "contents", 0, SHARED_ENTRIES);
    for (size_t i = 0; i < memory->count; i++) {
        struct reading inner = reading_enter(from, "contents", i);
        struct entry *entry = &memory->entries[i];
        get_text(&inner, "key", entry->key, sizeof(entry->key));
        get_text(&inner, "writer", entry->writer, sizeof(entry->writer));
        entry->value = get_real(&inner, "value");
        entry->step = get_integer(&inner, "step", 0, INT64_MAX);
        reading_leave(from, &inner, "contents", i);
    }
}
