/* What is different between two moments of a system. */
#ifndef HF_ENGINE_DIFF_H
#define HF_ENGINE_DIFF_H

#include "engine/past.h"

#include <jansson.h>

struct hf_diff;

enum hf_change { HF_CHANGE_ADDED, HF_CHANGE_REMOVED, HF_CHANGE_CHANGED, HF_CHANGE_UNCHANGED, HF_CHANGE_COUNT };

/* One component with a state on at least one side. The same content of the same type is unchanged,
 * whatever its versions are. */
struct hf_difference {
    const char *component;
    enum hf_change change;
    const struct hf_past_entry *from, *to; /* NULL: it has no state there */
};

#define HF_DIFF_REASON_BYTES 240

/* Opens both moments; the errors are those of hf_past_open. Holds no database session while it is open. One thread; not
 * from a loop thread. */
HF_MUST_USE bool hf_diff_open(struct hf_engine *engine, const char *system, const struct hf_past_moment *from,
                              const struct hf_past_moment *to, struct hf_diff **out, struct hf_error *err);
void hf_diff_close(struct hf_diff *diff); /* accepts NULL */

const struct hf_past_cut *hf_diff_from(const struct hf_diff *diff);
const struct hf_past_cut *hf_diff_to(const struct hf_diff *diff);

/* All components in name order, each once; false at the end. */
bool hf_diff_next(struct hf_diff *diff, struct hf_difference *out);

/* One component; false when it has a state on neither side. */
bool hf_diff_find(const struct hf_diff *diff, const char *component, struct hf_difference *out);

/* The RFC 6902 patch that, applied to from, gives to exactly (owns). NULL with success: there is none, for this reason.
 * The errors are those of hf_past_read. */
HF_MUST_USE bool hf_diff_patch(struct hf_diff *diff, const struct hf_difference *difference, json_t **patch_out,
                               char reason_out[HF_DIFF_REASON_BYTES], struct hf_error *err);

const char *hf_change_name(enum hf_change change); /* added | removed | changed | unchanged */

#endif
