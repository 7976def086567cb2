/* What is kept of every answer: counts, its duration, a line in the log. One per loop, on its thread. */
#ifndef HF_SERVER_RECORD_H
#define HF_SERVER_RECORD_H

#include "server/exchange.h"
#include "server/tally.h"

struct hf_record {
    struct hf_tally *tally;
    int warnings; /* since they were last allowed */
};

void hf_record_init(struct hf_record *record, const struct hf_route_table *routes);
void hf_record_done(struct hf_record *record); /* of a zeroed one as well */

void hf_record_add(struct hf_record *record, const struct hf_exchange *exchange, int status);
void hf_record_flush(struct hf_record *record); /* the counts, to the shared metrics; once a turn */

/* Once a second: only so many failures are logged from one call to the next, and the rest counted here. */
void hf_record_allow_warnings(struct hf_record *record);

#endif
