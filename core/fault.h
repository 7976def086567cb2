/* Named fault points for tests: compiled out unless HF_FAULTS is defined.
 *
 * HOLDFAST_FAULT=name:action[:skip] in the environment arms one point; action is "error" (the point reports failure),
 * "exit" (_exit(137) on the spot, as kill -9 would) or "sleep=MS". skip counts passes to let through first.
 * Several are separated by commas. Names are listed in core/fault.c so that a typo is refused at start. */
#ifndef HF_CORE_FAULT_H
#define HF_CORE_FAULT_H

#include <stdbool.h>

#ifdef HF_FAULTS
bool hf_fault(const char *name); /* true: the caller must fail as if the operation behind it had failed */
#else
#define hf_fault(name) false
#endif

#endif
