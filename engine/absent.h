/* What no component is there to remember: the orders (State-Order) of deletions that found none. A table of fixed size,
 * where a later one may take the place of another; in memory only, like the orders of components. The catalogue's lock
 * protects it. */
#ifndef HF_ENGINE_ABSENT_H
#define HF_ENGINE_ABSENT_H

#include "engine/catalog.h"

struct hf_absent;

struct hf_absent *hf_absent_new(void); /* owns: hf_absent_free */
void hf_absent_free(struct hf_absent *absent);

/* Keeps the order, unless a later one of the same writer is known. */
void hf_absent_note(struct hf_absent *absent, const char *system, const char *component, const struct hf_order *order);
/* writer 0: none is known. */
struct hf_order hf_absent_find(const struct hf_absent *absent, const char *system, const char *component);

#endif
