/* What the collective prints. */
#ifndef SYNDICATE_SCREEN_H
#define SYNDICATE_SCREEN_H

#include "homecoming.h"

/* The steps of the start, up to the persistence. */
void screen_start(void);
/* How the homecoming went. */
void screen_homecoming(const struct homecoming *home);
void screen_operational(int64_t backup_interval_ms);
/* The block of figures; status NULL: the service did not tell. */
void screen_status(const struct syndicate *syndicate, const struct keeper_status *status, int64_t uptime_seconds);

/* "23 minutes". At least 24 bytes. */
void screen_duration(int64_t ms, char *out, size_t size);

#endif
