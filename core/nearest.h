/* How far a mistyped word is from a known one, so that a refusal can name what was probably meant. */
#ifndef HF_CORE_NEAREST_H
#define HF_CORE_NEAREST_H

#include <stdbool.h>

/* How many characters are to be added, removed, replaced, or swapped with their neighbour, without regard to case; only
 * the first 63 characters count. Any thread. */
int hf_edit_distance(const char *a, const char *b);

/* Whether a known word at this distance may have been meant: no more than a third of the characters differ. */
bool hf_is_near(const char *given, int distance);

#endif
