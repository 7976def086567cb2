/* Counts of answers by route and status, kept by one loop without touching memory that others use, and added to the
 * shared metrics once a turn. */
#ifndef HF_SERVER_TALLY_H
#define HF_SERVER_TALLY_H

#include "api/routes.h"

struct hf_tally;

struct hf_tally *hf_tally_new(const struct hf_route_table *routes); /* owns: hf_tally_free */
void hf_tally_free(struct hf_tally *tally);

void hf_tally_add(struct hf_tally *tally, const struct hf_route *route, int status); /* route NULL: none was found */
void hf_tally_flush(struct hf_tally *tally);

#endif
