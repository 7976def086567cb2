#include "options.h"

#include "agent.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MOST = 1000000000 };

static const char usage[] = "usage: syndicate [options]\n"
                            "  --url URL           the service ($HOLDFAST_URL, else http://127.0.0.1:8080)\n"
                            "  --system NAME       the system that the components belong to (syndicate)\n"
                            "  --steps N           end when step N is done (0: go on until a signal)\n"
                            "  --seed N            of a new collective (1)\n"
                            "  --agents N          of a new collective, 1 to 12 (5)\n"
                            "  --save-every N      steps between two saves (1)\n"
                            "  --step-ms N         pause after each step (100)\n"
                            "  --status-seconds N  between two status blocks (10; 0: none)\n"
                            "  --stop-seconds N    that the last save and backup may take after a signal (5)\n"
                            "  --journal FILE      append a line for every acknowledged step and every recovery\n"
                            "  --quiet             print only what went wrong\n"
                            "A token is taken from $HOLDFAST_TOKEN.\n";

static const struct option names[] = {
    {"url", required_argument, NULL, 'u'},
    {"system", required_argument, NULL, 'y'},
    {"steps", required_argument, NULL, 'n'},
    {"seed", required_argument, NULL, 's'},
    {"agents", required_argument, NULL, 'a'},
    {"save-every", required_argument, NULL, 'e'},
    {"step-ms", required_argument, NULL, 'p'},
    {"status-seconds", required_argument, NULL, 't'},
    {"stop-seconds", required_argument, NULL, 'o'},
    {"journal", required_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static bool read_number(const char *name, const char *text, int64_t least, int64_t most, int64_t *out)
{
    char *end;
    errno = 0;
    int64_t value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < least || value > most) {
        fprintf(stderr, "syndicate: --%s must be a number from %" PRId64 " to %" PRId64 "\n", name, least, most);
        return false;
    }
    *out = value;
    return true;
}

static bool take(struct options *out, int letter, const char *value)
{
    int64_t seed;
    switch (letter) {
    case 'u':
        out->url = value;
        return true;
    case 'y':
        out->system = value;
        return true;
    case 'j':
        out->journal = value;
        return true;
    case 'q':
        out->quiet = true;
        return true;
    case 'n':
        return read_number("steps", value, 0, STEPS_MOST, &out->steps);
    case 's':
        out->seed_given = read_number("seed", value, 0, INT64_MAX, &seed);
        out->seed = out->seed_given ? (uint64_t)seed : 0;
        return out->seed_given;
    case 'a':
        out->agents_given = read_number("agents", value, 1, AGENTS_MOST, &out->agents);
        return out->agents_given;
    case 'e':
        return read_number("save-every", value, 1, STEPS_MOST, &out->save_every);
    case 'p':
        return read_number("step-ms", value, 0, 3600000, &out->step_ms);
    case 'o':
        return read_number("stop-seconds", value, 1, 86400, &out->stop_seconds);
    default:
        return read_number("status-seconds", value, 0, 86400, &out->status_seconds);
    }
}

bool options_read(struct options *out, int count, char **arguments, int *status)
{
    *out = (struct options){.system = "syndicate",
                            .seed = 1,
                            .agents = 5,
                            .save_every = 1,
                            .step_ms = 100,
                            .status_seconds = 10,
                            .stop_seconds = 5};
    int letter;
    *status = 2;
    while ((letter = getopt_long(count, arguments, "", names, NULL)) != -1) {
        if (letter == 'h') {
            fputs(usage, stdout);
            *status = 0;
            return false;
        }
        if (letter == '?' || !take(out, letter, optarg)) {
            fputs(usage, stderr);
            return false;
        }
    }
    if (optind == count)
        return true;
    fprintf(stderr, "syndicate: %s is no option\n%s", arguments[optind], usage);
    return false;
}
