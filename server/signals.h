/* SIGTERM and SIGINT: the first asks for an ordered stop, a second one during the stop ends the process at once. */
#ifndef HF_SERVER_SIGNALS_H
#define HF_SERVER_SIGNALS_H

#include "core/error.h"

/* Blocks the signals in this and all later threads, ignores SIGPIPE, and starts the thread that receives them. Call
 * before any other thread starts. */
HF_MUST_USE bool hf_signals_start(struct hf_error *err);

/* Waits for the first signal; returns its name. Main thread. */
const char *hf_signals_wait(void);

#endif
