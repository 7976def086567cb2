/* Recoveries as the service tells of them. */
#ifndef HF_CLIENT_RECOVERIES_H
#define HF_CLIENT_RECOVERIES_H

#include "client/call.h"

/* What the recovery's JSON says, but for duration_ms. False: it is none. */
bool hf_recoveries_read(const json_t *json, struct holdfast_recovery *out);

/* Checks names (ended by NULL, not none) and makes a JSON array of them; owns (json_decref); NULL: refused. */
json_t *hf_recoveries_names(const char *const *components, struct holdfast_error *err);

/* The header that makes a recovery one, however often it is sent: with this key, or with a new one. Owns, free(). */
char *hf_recoveries_key_line(const char *key_or_null);

#endif
