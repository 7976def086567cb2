/* Keeps the collective in the service: everything that the example has to do with holdfast.
 *
 * A save is one commit over all components that changed, each on the condition that its state is still the one this
 * process knows. So what is stored is at any moment the whole of one step, whoever was killed when. */
#ifndef SYNDICATE_KEEPER_H
#define SYNDICATE_KEEPER_H

#include "roster.h"
#include "syndicate.h"

struct keeper;
struct options;

enum kept {
    KEPT,         /* done */
    KEPT_STALE,   /* what is stored is not what this process knows: bring it back */
    KEPT_STOPPED, /* told to stop while the service was away or silent */
    KEPT_FAILED,  /* and said why */
};

/* Listens for SIGTERM and SIGINT from now on. NULL: failed, and said why. Owns what it gives: keeper_close. */
struct keeper *keeper_open(const struct options *options);
void keeper_close(struct keeper *keeper);

/* A signal came: what the service has not done when options.stop_seconds are over is given up (KEPT_STOPPED). */
bool keeper_is_told_to_stop(const struct keeper *keeper);
/* Sleeps, but not on when told to stop. */
void keeper_pause(struct keeper *keeper, int64_t ms);

/* Sets a new system up with its backups; leaves one that is there as it is. */
enum kept keeper_found_system(struct keeper *keeper);
enum kept keeper_register(struct keeper *keeper, const struct roster *roster);
/* Saves all unsaved members in one commit, and returns when it is on the service's disk. */
enum kept keeper_save(struct keeper *keeper, struct roster *roster);
/* Takes a full snapshot. */
enum kept keeper_back_up(struct keeper *keeper, const char *label);
/* Heartbeats of all members, with their metrics. What does not arrive is left to the next time. */
void keeper_beat(struct keeper *keeper, const struct roster *roster, const struct syndicate *syndicate);

int64_t keeper_saved_step(const struct keeper *keeper); /* the last acknowledged one; -1: none */
int64_t keeper_epoch(const struct keeper *keeper);
const char *keeper_url(const struct keeper *keeper);

/* Of the service's status, for people. False: not to be had now. */
struct keeper_status {
    int64_t active_agents;
    int64_t next_backup_ms; /* from now; below 0: none is planned */
    double health;          /* 0 to 1 */
};
bool keeper_read_status(struct keeper *keeper, struct keeper_status *out);
/* Milliseconds between two full backups of the system; 0: as the service's settings say. */
int64_t keeper_backup_interval(const struct keeper *keeper);

#endif
