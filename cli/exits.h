/* What the command's exit status says. One table: the manual and --help print it. */
#ifndef HF_CLI_EXITS_H
#define HF_CLI_EXITS_H

#define HF_EXIT_TABLE(X)                                                                                               \
    X(HF_EXIT_OK, 0, "done, and nothing is wrong")                                                                     \
    X(HF_EXIT_FAILED, 1, "it failed; what and why is on standard error")                                               \
    X(HF_EXIT_USAGE, 2, "wrong usage or a wrong setting; nothing was done")                                            \
    X(HF_EXIT_UNREACHABLE, 3, "the service cannot be reached, or is not ready")                                        \
    X(HF_EXIT_NOT_FOUND, 4, "there is no such system, component, version, snapshot or recovery")                       \
    X(HF_EXIT_CONFLICT, 5, "a conflict, or a condition that does not hold; nothing was changed")                       \
    X(HF_EXIT_REFUSED, 6, "it needs a yes: none was given; nothing was changed")                                       \
    X(HF_EXIT_DEGRADED, 7,                                                                                             \
      "it ran, and found something degraded, damaged or failed (status, doctor, validate, drill)")                     \
    X(HF_EXIT_FORBIDDEN, 8, "the token is missing, unknown, or does not allow this")                                   \
    X(HF_EXIT_INTERRUPTED, 130, "interrupted with Ctrl-C")                                                             \
    X(HF_EXIT_PIPE, 141, "whoever read the output went away")                                                          \
    X(HF_EXIT_TERMINATED, 143, "ended by SIGTERM")

enum hf_exit {
#define X(name, status, text) name = status,
    HF_EXIT_TABLE(X)
#undef X
};

/* The same as an array, in ascending order. */
struct hf_exit_meaning {
    int status;
    const char *text;
};
extern const struct hf_exit_meaning hf_exit_meanings[];
extern const int hf_exit_meaning_count;

#endif
