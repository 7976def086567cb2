/* A hash table from names to things whose first member is "char *name". Open addressing, no deletion tombstones:
 * removal shifts back (Knuth, TAOCP volume 3, section 6.4, algorithm R). Not thread-safe; owns nothing but its slots.
 */
#ifndef HF_ENGINE_NAME_TABLE_H
#define HF_ENGINE_NAME_TABLE_H

#include <stdint.h>

struct hf_name_table {
    void **slots;
    uint32_t slot_count; /* 0 or a power of two */
    uint32_t count;
};

void *hf_name_table_find(const struct hf_name_table *table, const char *name); /* NULL: none */
void hf_name_table_add(struct hf_name_table *table, void *thing);              /* its name must not be in yet */
void hf_name_table_remove(struct hf_name_table *table, void *thing);
void hf_name_table_done(struct hf_name_table *table);

#endif
