/* What every component of the collective begins with. Only step belongs to its state; the rest is about saving it. */
#ifndef SYNDICATE_PART_H
#define SYNDICATE_PART_H

#include <stdbool.h>
#include <stdint.h>

struct part {
    int64_t step;         /* when it changed last */
    bool changed;         /* in the step under way: set by whoever changes the component */
    const char *happened; /* in the step under way: something of weight, by name; NULL: nothing */
    bool unsaved;         /* changed since the last acknowledged save */
    const char *event;    /* what happened since then; goes with the save */
};

#endif
