/* The shared memory: a small blackboard on which components leave what others may want to know. */
#ifndef SYNDICATE_SHARED_MEMORY_H
#define SYNDICATE_SHARED_MEMORY_H

#include "fields.h"
#include "part.h"

enum { SHARED_ENTRIES = 16 };

struct entry {
    char key[32];
    char writer[32];
    double value;
    int64_t step; /* when the value changed last */
};

struct shared_memory {
    struct part part;
    struct entry entries[SHARED_ENTRIES];
    size_t count;
    int64_t writes;
};

/* Writes a value; the same value again changes nothing. A key beyond SHARED_ENTRIES takes the place of the oldest. */
void shared_memory_post(struct shared_memory *memory, const char *key, const char *writer, double value, int64_t step);

void shared_memory_write(const void *part, json_t *to);
void shared_memory_read(void *part, struct reading *from);

#endif
