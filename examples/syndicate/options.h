/* The command line. */
#ifndef SYNDICATE_OPTIONS_H
#define SYNDICATE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *url;     /* NULL: $HOLDFAST_URL or the library's default */
    const char *system;  /* NULL: syndicate */
    const char *journal; /* NULL: none */
    int64_t steps;       /* ends when the collective has come to this one; 0: goes on */
    uint64_t seed;
    int64_t agents;
    bool seed_given, agents_given;
    int64_t save_every; /* steps */
    int64_t step_ms;
    int64_t status_seconds; /* 0: no status is printed */
    int64_t stop_seconds;   /* that a stop may take before calls to the service are cancelled */
    bool quiet;
};

/* False: ends with *status. */
bool options_read(struct options *out, int count, char **arguments, int *status);

#endif
