/* Saying what came of it: failures with their exit status, remarks, JSON documents. */
#include "cli/cli.h"
#include "cli/interrupt.h"
#include "cli/print.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>

struct meaning {
    const char *code;
    int status;
    const char *advice; /* NULL: the text says it */
};

/* What is not listed goes by its HTTP status. */
static const struct meaning meanings[] = {
    {"unreachable", HF_EXIT_UNREACHABLE, "is the service running there? --url or HOLDFAST_URL says where it is"},
    {"timed_out", HF_EXIT_UNREACHABLE, "--timeout allows for more"},
    {"invalid_argument", HF_EXIT_USAGE, NULL}, /* refused here, before anything was sent */
    {"unauthorized", HF_EXIT_FORBIDDEN, "give a token with --token-file, HOLDFAST_TOKEN or the config file"},
    {"forbidden", HF_EXIT_FORBIDDEN, "it takes a token with another role or scope"},
    {"precondition_failed", HF_EXIT_CONFLICT, NULL},
    {"plan_changed", HF_EXIT_CONFLICT, "look at a new plan; where only the system moved on, --force applies this one"},
    {"outcome_unknown", HF_EXIT_FAILED, "it may have been done: look before you repeat it"},
};

static const struct meaning *meaning_of(const struct holdfast_error *err);
static void say(struct hf_cli *cli, const char *what, const struct holdfast_error *err, const char *advice, int status);
static void say_plainly(struct hf_cli *cli, int status, const char *format, va_list args) HF_PRINTF(3, 0);
static void set_clean(json_t *object, const char *name, const char *text);

int hf_exit_of(const struct holdfast_error *err)
{
    const struct meaning *meaning = meaning_of(err);
    if (hf_was_interrupted(err))
        return 128 + hf_interrupt_signal();
    if (meaning)
        return meaning->status;
    switch (err->status) {
    case 401:
    case 403:
        return HF_EXIT_FORBIDDEN;
    case 404:
        return HF_EXIT_NOT_FOUND;
    case 409:
    case 412:
        return HF_EXIT_CONFLICT;
    case 503:
        return HF_EXIT_UNREACHABLE;
    default:
        return HF_EXIT_FAILED;
    }
}

bool hf_was_interrupted(const struct holdfast_error *err)
{
    return hf_interrupt_signal() && strcmp(err->code, "cancelled") == 0;
}

int hf_cli_fail(struct hf_cli *cli, const struct holdfast_error *err, const char *format, ...)
{
    va_list args;
    int status = hf_exit_of(err);
    if (hf_was_interrupted(err))
        return status;
    va_start(args, format);
    HF_AUTO(free) char *what = hf_format_args(format, args);
    va_end(args);
    const struct meaning *meaning = meaning_of(err);
    say(cli, what, err, meaning ? meaning->advice : NULL, status);
    return status;
}

int hf_cli_failed(struct hf_cli *cli, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_plainly(cli, status, format, args);
    va_end(args);
    return status;
}

int hf_cli_usage(struct hf_cli *cli, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_plainly(cli, HF_EXIT_USAGE, format, args);
    va_end(args);
    return HF_EXIT_USAGE;
}

void hf_cli_note(struct hf_cli *cli, const char *format, ...)
{
    va_list args;
    if (cli->quiet || cli->json)
        return;
    va_start(args, format);
    HF_AUTO(free) char *text = hf_format_args(format, args);
    va_end(args);
    fflush(cli->out.file);
    hf_pen_line(&cli->err, HF_PLAIN, "%s", text);
}

int hf_cli_json(struct hf_cli *cli, const json_t *document)
{
    /* On a terminal everything beyond ASCII is escaped too: JSON itself leaves some control characters as they are. */
    size_t flags = JSON_ENCODE_ANY | (cli->out.terminal ? JSON_INDENT(2) | JSON_ENSURE_ASCII : JSON_COMPACT);
    HF_AUTO(free) char *text = json_dumps(document, flags);
    HF_ASSERT(text != NULL);
    /* DEL is the one control character that JSON lets stand. */
    for (const char *at = text; *at; at++)
        if (*at == 0x7f)
            fputs("\\u007f", cli->out.file);
        else
            putc(*at, cli->out.file);
    putc('\n', cli->out.file);
    return HF_EXIT_OK;
}

static const struct meaning *meaning_of(const struct holdfast_error *err)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (strcmp(err->code, meanings[i].code) == 0)
            return &meanings[i];
    return NULL;
}

/* With --json standard error gets one object, so that programs need not read sentences. */
static void say(struct hf_cli *cli, const char *what, const struct holdfast_error *err, const char *advice, int status)
{
    fflush(cli->out.file);
    if (cli->json) {
        HF_AUTO(json) json_t *document = json_object();
        json_t *object = json_object();
        json_object_set_new(document, "error", object);
        json_object_set_new(object, "exit", json_integer(status));
        set_clean(object, "what", what);
        set_clean(object, "code", err ? err->code : "");
        set_clean(object, "text", err ? err->text : "");
        set_clean(object, "requestId", err ? err->request_id : "");
        set_clean(object, "advice", advice ? advice : "");
        HF_AUTO(free) char *text = json_dumps(document, JSON_COMPACT | JSON_ENSURE_ASCII);
        fprintf(cli->err.file, "%s\n", text ? text : "{}");
        return;
    }
    hf_pen_print(&cli->err, HF_RED, "holdfast: ");
    hf_pen_print(&cli->err, HF_PLAIN, "%s", what);
    if (err)
        hf_pen_print(&cli->err, HF_PLAIN, ": %s", *err->text ? err->text : err->code);
    hf_pen_line(&cli->err, HF_PLAIN, "%s", "");
    if (advice)
        hf_pen_line(&cli->err, HF_DIM, "  %s", advice);
    if (err && *err->request_id)
        hf_pen_line(&cli->err, HF_DIM, "  request %s in the service's log", err->request_id);
}

/* What no answer of the service is behind. */
static void say_plainly(struct hf_cli *cli, int status, const char *format, va_list args)
{
    HF_AUTO(free) char *what = hf_format_args(format, args);
    say(cli, what, NULL, NULL, status);
}

/* Left out where it is empty. What was given on the command line may be no UTF-8. */
static void set_clean(json_t *object, const char *name, const char *text)
{
    HF_AUTO(buf) struct hf_buf clean;
    hf_buf_init(&clean, (size_t)1 << 20);
    hf_text_clean(&clean, text, strlen(text));
    if (clean.bytes > 0)
        json_object_set_new(object, name, json_string(clean.data));
}
