/* The order in which components come back, made here: for tokens that may not open a recovery. */
#ifndef HF_CLIENT_HYDRATE_PLAN_H
#define HF_CLIENT_HYDRATE_PLAN_H

#include "client/call.h"

/* A plan with "waves" as a recovery has them, of the present versions; each component is a wave of its own, after what
 * it needs. names (an array; NULL: all) and include_dependencies as in struct holdfast_hydration. Owns *out
 * (json_decref). */
bool hf_hydrate_plan(struct holdfast *service, const json_t *names, bool include_dependencies, json_t **out,
                     struct holdfast_error *err);

#endif
