/* One run of the command: what was asked, where the service is, where text goes; and the calls all commands share. */
#ifndef HF_CLI_CLI_H
#define HF_CLI_CLI_H

#include "cli/exits.h"
#include "cli/options.h"
#include "cli/pen.h"
#include "cli/settings.h"
#include "client/holdfast.h"
#include "core/json.h"

struct hf_cli {
    struct hf_options options;
    struct hf_settings settings;
    struct hf_pen out, err;
    struct holdfast *service; /* NULL for commands that need none */
    bool json, quiet;
};

/* All of the program: the exit status. */
int hf_cli_main(int argc, char *argv[]);

/* ---- asking the service ---- */

/* path: a format whose arguments are escaped by the caller (hf_escape). Owns the answer; NULL on failure, then *err is
 * filled; code bad_answer where it is no JSON object. */
json_t *hf_cli_get(struct hf_cli *cli, struct holdfast_error *err, const char *path, ...)
    __attribute__((format(printf, 3, 4)));

struct hf_sending {
    const char *method; /* NULL: POST */
    json_t *body;       /* taken; NULL: none */
    const char *header; /* a whole one, as "Prefer: respond-async"; NULL: none */
    bool idempotent;    /* may be repeated though it may have arrived */
    bool slow;          /* is answered when it is done, however long that takes */
};
json_t *hf_cli_send(struct hf_cli *cli, const struct hf_sending *sending, struct holdfast_error *err, const char *path,
                    ...) __attribute__((format(printf, 4, 5)));

/* The answer itself, where it has all these fields (separated by spaces) and they are texts that are not empty; else it
 * is freed, *err is bad_answer and the result NULL, as it is for an answer of NULL. What is not a holdfast service may
 * answer {} to anything. */
json_t *hf_cli_expect(json_t *answer, const char *fields, struct holdfast_error *err);

/* The same for one list, which may be empty. */
json_t *hf_cli_expect_list(json_t *answer, const char *member, struct holdfast_error *err);

/* All pages of a list, or the first `most` entries of it (0: all): an array. */
json_t *hf_cli_list(struct hf_cli *cli, const char *path, const char *member, size_t most, struct holdfast_error *err);

/* Percent-escapes what a path or query may not hold. Owns, free(). */
char *hf_escape(const char *text);

/* A moment as the API takes it: "15m" becomes that long ago, in RFC 3339; anything else stays. Owns, free(). */
char *hf_moment(const char *text);
/* Whether the option, if it is given, is a moment; else says so as wrong usage. */
bool hf_moment_check(struct hf_cli *cli, const char *option);

/* ---- fields of answers: lenient, as an answer may come from another release ---- */

const char *hf_field_text(const json_t *object, const char *name); /* "" where there is none; borrowed */
int64_t hf_field_int(const json_t *object, const char *name);      /* 0 where there is none */
double hf_field_real(const json_t *object, const char *name);
bool hf_field_true(const json_t *object, const char *name);

/* ---- saying what came of it ---- */

/* Says what failed, why and what to do, on standard error; returns the exit status that belongs to the error. Says
 * nothing of a call that a signal cancelled. */
int hf_cli_fail(struct hf_cli *cli, const struct holdfast_error *err, const char *format, ...) HF_PRINTF(3, 4);

/* The same for what failed here. */
int hf_cli_failed(struct hf_cli *cli, int status, const char *format, ...) HF_PRINTF(3, 4);
int hf_cli_usage(struct hf_cli *cli, const char *format, ...) HF_PRINTF(2, 3);

/* A remark on standard error; not with --quiet or --json. */
void hf_cli_note(struct hf_cli *cli, const char *format, ...) HF_PRINTF(2, 3);

/* One JSON document: indented on a terminal, else on one line. Returns HF_EXIT_OK. */
int hf_cli_json(struct hf_cli *cli, const json_t *document);

int hf_exit_of(const struct holdfast_error *err);

/* Whether a signal cancelled the call. If it changes something it may have been done all the same, and that must be
 * said: hf_cli_fail says nothing then. */
bool hf_was_interrupted(const struct holdfast_error *err);

#endif
