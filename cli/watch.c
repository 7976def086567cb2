/* watch. */
#include "cli/events.h"
#include "cli/interrupt.h"
#include "cli/lists.h"
#include "cli/print.h"
#include "cli/status.h"
#include "core/clock.h"

#include <inttypes.h>
#include <string.h>

/* The other screen of the terminal, without a cursor; and back. */
#define SCREEN_ENTER "\033[?1049h\033[?25l"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"

#define INTERVAL_MIN_MS 100
#define EVENTS_KEPT     12
#define EVENTS_MAX      1000 /* of one look; the next takes up where it ended */

struct watch {
    struct hf_cli *cli;
    int64_t interval_ms;
    json_t *events; /* the last ones */
    char last_id[24];
    bool lines; /* each event is a line, so that none is left out */
    bool whole; /* it was begun: from last_id on, all are wanted */
};

static bool read_interval(struct hf_cli *cli, int64_t *out);
static int watch_screen(struct watch *watch);
static int watch_lines(struct watch *watch);
static json_t *look(struct watch *watch, json_t **fresh, struct holdfast_error *err);
static void draw(struct watch *watch, const json_t *status, const struct holdfast_error *err);
static void write_line(const struct hf_pen *pen, const json_t *status);
static void print_cut(FILE *file, const char *text, size_t rows, size_t columns);
static int ended(struct hf_cli *cli);

int hf_run_watch(struct hf_cli *cli)
{
    struct watch watch = {.cli = cli, .last_id = "0"};
    const char *term = getenv("TERM");
    if (!read_interval(cli, &watch.interval_ms))
        return HF_EXIT_USAGE;
    watch.events = json_array();
    bool screen = cli->out.terminal && !cli->json && term && *term && strcmp(term, "dumb") != 0;
    int status = screen ? watch_screen(&watch) : watch_lines(&watch);
    json_decref(watch.events);
    return status;
}

static bool read_interval(struct hf_cli *cli, int64_t *out)
{
    const char *text = hf_option_text(&cli->options, "interval");
    *out = 2000;
    if (text && (!hf_span_parse(text, out) || *out < INTERVAL_MIN_MS || *out > 86400000)) {
        hf_cli_usage(cli, "--interval must be a time from 1s to 1d, as 2s or 1m");
        return false;
    }
    return true;
}

static int watch_screen(struct watch *watch)
{
    struct holdfast_error err;
    FILE *file = watch->cli->out.file;
    hf_interrupt_set_farewell(SCREEN_LEAVE);
    fputs(SCREEN_ENTER, file);
    do {
        json_t *fresh = NULL;
        HF_AUTO(json) json_t *status = look(watch, &fresh, &err);
        json_decref(fresh);
        if (!hf_interrupt_signal())
            draw(watch, status, &err);
    } while (fflush(file) == 0 && hf_interrupt_sleep(watch->interval_ms));
    fputs(SCREEN_LEAVE, file);
    fflush(file);
    hf_interrupt_set_farewell(NULL);
    return ended(watch->cli);
}

static int watch_lines(struct watch *watch)
{
    struct hf_cli *cli = watch->cli;
    struct holdfast_error err;
    watch->lines = !cli->json;
    do {
        json_t *fresh = NULL;
        HF_AUTO(json) json_t *status = look(watch, &fresh, &err);
        size_t i;
        const json_t *event;
        if (!status && !hf_interrupt_signal())
            hf_cli_fail(cli, &err, "cannot tell how %s is", cli->settings.system);
        if (status && cli->json)
            hf_cli_json(cli, status);
        json_array_foreach(fresh, i, event)
        {
            if (!cli->json)
                hf_event_write(&cli->out, event);
        }
        if (status && !cli->json)
            write_line(&cli->out, status);
        json_decref(fresh);
    } while (fflush(cli->out.file) == 0 && hf_interrupt_sleep(watch->interval_ms));
    return ended(cli);
}

static int ended(struct hf_cli *cli)
{
    return hf_interrupt_signal() ? 128 + hf_interrupt_signal() : ferror(cli->out.file) ? HF_EXIT_PIPE : HF_EXIT_OK;
}

/* The status, and the events since the last look. NULL: the service is away; err says why. */
static json_t *look(struct watch *watch, json_t **fresh, struct holdfast_error *err)
{
    struct hf_cli *cli = watch->cli;
    json_t *status = hf_status_ask(cli, false, err);
    struct holdfast_error ignored;
    size_t i;
    json_t *event;
    if (!status || !*hf_field_text(status, "system"))
        return status;
    *fresh = watch->whole ? hf_events_after(cli, watch->last_id, EVENTS_MAX, &ignored)
                          : hf_events_last(cli, watch->last_id, NULL, EVENTS_KEPT, &ignored);
    watch->whole = watch->lines && *fresh;
    json_array_foreach(*fresh, i, event)
    {
        snprintf(watch->last_id, sizeof(watch->last_id), "%" PRId64, hf_field_int(event, "id"));
        json_array_append(watch->events, event);
        if (json_array_size(watch->events) > EVENTS_KEPT)
            json_array_remove(watch->events, 0);
    }
    return status;
}

/* Made in memory first, so that the screen changes at once and nothing runs over its edge. */
static void draw(struct watch *watch, const json_t *status, const struct holdfast_error *err)
{
    struct hf_cli *cli = watch->cli;
    HF_AUTO(free) char *text = NULL;
    size_t bytes = 0, i, columns = hf_pen_width(&cli->out);
    char now[HF_TIME_BYTES], when[32];
    struct hf_pen pen = cli->out;
    pen.file = open_memstream(&text, &bytes);
    HF_ASSERT(pen.file != NULL);
    hf_time_format(hf_clock_now_ms(), now);
    hf_when_format(now, when);
    hf_pen_line(&pen, HF_DIM, "%s  %s  (Ctrl-C ends)", when, cli->settings.url);
    if (status)
        hf_status_write(&pen, status, hf_clock_now_ms());
    else
        hf_pen_line(&pen, HF_RED, "%s", *err->text ? err->text : err->code);
    hf_pen_line(&pen, HF_PLAIN, "%s", "");
    fflush(pen.file);
    /* The newest events, as many as there is room for. */
    size_t used = 0, rows = hf_pen_height(&cli->out), count = json_array_size(watch->events);
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        used++;
    size_t room = rows > used + 1 ? rows - used - 1 : 0;
    for (i = count > room ? count - room : 0; i < count; i++)
        hf_event_write(&pen, json_array_get(watch->events, i));
    fclose(pen.file);
    fputs("\033[H", cli->out.file);
    print_cut(cli->out.file, text, rows, columns);
    fputs("\033[J", cli->out.file);
}

/* Writes the first rows of text, none wider than the screen. Escape sequences (all are ours) take no columns. */
static void print_cut(FILE *file, const char *text, size_t rows, size_t columns)
{
    for (size_t row = 0; *text && row + 1 < rows; row++) {
        size_t length = strcspn(text, "\n"), used = 0;
        for (size_t i = 0; i < length;) {
            size_t escape = text[i] == '\033' ? strcspn(text + i, "m") + 1 : 0;
            size_t run = escape ? escape : strcspn(text + i, "\033\n");
            HF_AUTO(free) char *piece = hf_strndup(text + i, run);
            HF_AUTO(buf) struct hf_buf fitted;
            hf_buf_init(&fitted, run + 16);
            size_t wide = escape ? 0 : hf_text_width(piece);
            if (escape)
                hf_buf_add_text(&fitted, piece);
            else if (used < columns)
                hf_text_fit(&fitted, piece, columns - used);
            if (fitted.bytes)
                fwrite(fitted.data, 1, fitted.bytes, file);
            used += wide;
            i += run;
        }
        fputs("\033[K\n", file);
        text += length + (text[length] == '\n');
    }
}

static void write_line(const struct hf_pen *pen, const json_t *status)
{
    char now[HF_TIME_BYTES], when[32], exposure[64];
    const json_t *figures = json_object_get(status, "recoverability");
    hf_time_format(hf_clock_now_ms(), now);
    hf_when_format(now, when);
    hf_duration_format(hf_field_int(figures, "exposureMs"), exposure, sizeof(exposure));
    hf_pen_print(pen, HF_DIM, "%s ", when);
    hf_pen_print(pen, hf_status_style(status), "%s", hf_field_text(status, "status"));
    hf_pen_line(pen, HF_PLAIN,
                ": health %.1f%%, %" PRId64 " agents, %" PRId64 " versions in no snapshot, the oldest %s old, %zu "
                "warnings",
                hf_field_real(json_object_get(status, "systemHealth"), "overallHealth") * 100,
                hf_field_int(status, "activeAgents"), hf_field_int(figures, "unsnapshottedVersions"), exposure,
                json_array_size(json_object_get(status, "warnings")));
}
