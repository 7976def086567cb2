/* An event as clients see it: an item of a list, or the data of one in a stream. */
#ifndef HF_ENGINE_EVENT_JSON_H
#define HF_ENGINE_EVENT_JSON_H

#include "core/json.h"
#include "store/journal.h"

/* Owns. An id of 0 is left out: the event is not in the system's list. */
json_t *hf_event_json(const struct hf_event_row *row, const char *system);

#endif
