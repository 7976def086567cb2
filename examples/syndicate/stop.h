/* Being told to stop, by SIGTERM or SIGINT.
 *
 * What is under way then may still end well, for a time; after that all calls to the service are cancelled, so that the
 * process ends whatever the service does. A second signal cancels them at once. */
#ifndef SYNDICATE_STOP_H
#define SYNDICATE_STOP_H

#include <stdbool.h>
#include <stdint.h>

struct holdfast;
struct stop;

/* Takes both signals from the calling thread and those it starts later on. service is borrowed until stop_end. Owns
 * what it gives. */
struct stop *stop_listen(struct holdfast *service, int64_t patience_ms);
/* Before the service is closed. NULL: nothing. The signals stay blocked. */
void stop_end(struct stop *stop);

bool stop_is_told(struct stop *stop);
/* Sleeps, but not on when told to stop. */
void stop_pause(struct stop *stop, int64_t ms);

#endif
