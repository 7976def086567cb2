/* events. */
#include "cli/events.h"

#include "cli/interrupt.h"
#include "cli/lists.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PAGE 1000

/* Whoever reads standard output. */
struct reader {
    struct holdfast *service;
    pthread_t thread;
    int end_fd; /* readable: enough */
    bool left;  /* the thread's until it is joined */
};

/* Events on their way out, oldest first. */
struct showing {
    struct hf_cli *cli;
    json_t *kept;  /* of one document; NULL: each is written at once */
    char last[24]; /* the id of the last one; "": none came yet */
    const char *severity;
};

static bool show_all(struct showing *showing, const char *after, struct holdfast_error *err);
static bool show_last(struct showing *showing, const char *after, size_t most, struct holdfast_error *err);
static bool show(struct showing *showing, const json_t *event);
json_t *hf_events_after(struct hf_cli *cli, const char *after, size_t most, struct holdfast_error *err)
{
    HF_AUTO(json)
    json_t *page = hf_cli_expect_list(hf_cli_get(cli, err, "events?limit=%zu&after=%s", most, after), "events", err);
    return json_incref(json_object_get(page, "events"));
}

static json_t *reversed(const json_t *array);
static bool end_badly(struct holdfast_error *err);
static void reader_watch(struct reader *reader, struct holdfast *service);
static bool reader_has_left(struct reader *reader);
static void *await_leaving(void *context);
static int follow(const struct showing *shown, const char *after);
static bool on_event(void *context, const struct holdfast_event *event);
static void write_event(struct hf_cli *cli, const json_t *event);

int hf_run_events(struct hf_cli *cli)
{
    struct holdfast_error err;
    const struct hf_options *options = &cli->options;
    bool following = hf_option_given(options, "follow");
    const char *severity = hf_option_text(options, "severity"), *after = hf_option_text(options, "after");
    size_t most;
    if (severity && strcmp(severity, "info") != 0 && strcmp(severity, "warning") != 0 && strcmp(severity, "error") != 0)
        return hf_cli_usage(cli, "--severity must be info, warning or error");
    if (after && !hf_number_read(after, &(int64_t){0}))
        return hf_cli_usage(cli, "--after must be the id of an event, a number");
    if (!hf_limit_read(cli, after ? 0 : following ? 10 : 50, &most))
        return HF_EXIT_USAGE;
    HF_AUTO(json) json_t *document = cli->json && !following ? hf_list_document("events", json_array()) : NULL;
    struct showing showing = {.cli = cli, .kept = json_object_get(document, "events"), .severity = severity};
    bool good = most ? show_last(&showing, after ? after : "0", most, &err) : show_all(&showing, after, &err);
    if (!good)
        return hf_cli_fail(cli, &err, "cannot list the events of %s", cli->settings.system);
    if (following)
        return fflush(cli->out.file) == 0 ? follow(&showing, after) : HF_EXIT_PIPE;
    if (document)
        return hf_cli_json(cli, document);
    if (!showing.last[0])
        hf_cli_note(cli, "There is no such event in %s.", cli->settings.system);
    return HF_EXIT_OK;
}

/* A page at a time, each written before the next is asked for: as long as there are events, however many. */
static bool show_all(struct showing *showing, const char *after, struct holdfast_error *err)
{
    char from[24];
    snprintf(from, sizeof(from), "%.20s", after ? after : "0");
    for (;;) {
        const char *severity = showing->severity;
        HF_AUTO(json)
        json_t *page = hf_cli_expect_list(hf_cli_get(showing->cli, err, "events?limit=%d&after=%s%s%s", PAGE, from,
                                                     severity ? "&severity=" : "", severity ? severity : ""),
                                          "events", err);
        const json_t *event, *events = json_object_get(page, "events");
        size_t i, count = json_array_size(events);
        if (!page)
            return false;
        json_array_foreach(events, i, event)
        {
            if (!show(showing, event))
                return true;
        }
        if (count < PAGE)
            return true;
        if (strtoll(showing->last, NULL, 10) <= strtoll(from, NULL, 10))
            return end_badly(err);
        snprintf(from, sizeof(from), "%s", showing->last);
    }
}

static bool show_last(struct showing *showing, const char *after, size_t most, struct holdfast_error *err)
{
    size_t i;
    const json_t *event;
    HF_AUTO(json) json_t *events = hf_events_last(showing->cli, after, showing->severity, most, err);
    if (!events)
        return false;
    json_array_foreach(events, i, event)
    {
        if (!show(showing, event))
            break;
    }
    return true;
}

/* False: nobody reads it any more. */
static bool show(struct showing *showing, const json_t *event)
{
    snprintf(showing->last, sizeof(showing->last), "%" PRId64, hf_field_int(event, "id"));
    if (showing->kept)
        json_array_append(showing->kept, (json_t *)event);
    else
        write_event(showing->cli, event);
    return !ferror(showing->cli->out.file);
}

/* Read from the newest back, until there are enough. */
json_t *hf_events_last(struct hf_cli *cli, const char *after, const char *severity, size_t most,
                       struct holdfast_error *err)
{
    HF_AUTO(json) json_t *last = json_array();
    int64_t before = INT64_MAX;
    for (;;) {
        size_t wanted = most - json_array_size(last), limit = wanted < PAGE ? wanted : PAGE, i;
        HF_AUTO(json)
        json_t *page =
            hf_cli_expect_list(hf_cli_get(cli, err, "events?order=desc&limit=%zu&after=%s&before=%" PRId64 "%s%s",
                                          limit, after, before, severity ? "&severity=" : "", severity ? severity : ""),
                               "events", err);
        const json_t *event, *events = json_object_get(page, "events");
        if (!page)
            return NULL;
        json_array_foreach(events, i, event)
        {
            int64_t id = hf_field_int(event, "id");
            if (id >= before) {
                end_badly(err);
                return NULL;
            }
            json_array_append(last, (json_t *)event);
            before = id;
        }
        if (json_array_size(events) < limit || json_array_size(last) >= most)
            return reversed(last);
    }
}

static json_t *reversed(const json_t *array)
{
    json_t *out = json_array();
    for (size_t i = json_array_size(array); i-- > 0;)
        json_array_append(out, json_array_get(array, i));
    return out;
}

static bool end_badly(struct holdfast_error *err)
{
    *err = (struct holdfast_error){.code = "bad_answer",
                                   .text = "the list does not end: the ids of its events are not in order"};
    return false;
}

void hf_event_write(const struct hf_pen *pen, const json_t *event)
{
    char when[32];
    const char *severity = hf_field_text(event, "severity");
    hf_when_format(hf_field_text(event, "occurredAt"), when);
    hf_pen_print(pen, HF_DIM, "%s ", when);
    hf_pen_print(pen, strcmp(severity, "info") == 0 ? HF_PLAIN : hf_word_style(severity), "%-7s %s", severity,
                 hf_field_text(event, "type"));
    hf_pen_line(pen, HF_PLAIN, ": %s", hf_field_text(event, "text"));
}

/* Those that come after the ones shown: none is missed in between. */
static int follow(const struct showing *shown, const char *after)
{
    struct holdfast_error err;
    struct hf_cli *cli = shown->cli;
    struct holdfast_follow_options options = {
        .after = shown->last[0] ? shown->last
                 : after        ? after
                                : "0",
        .severity = shown->severity,
        .on_event = on_event,
        .context = cli,
    };
    struct reader reader;
    reader_watch(&reader, cli->service);
    bool ended = holdfast_follow(cli->service, &options, &err);
    if (reader_has_left(&reader) || ended)
        return HF_EXIT_PIPE;
    return hf_cli_fail(cli, &err, "cannot follow the events of %s any longer", cli->settings.system);
}

/* The next event may be days away: that nobody reads any more is noticed without one. */
static void reader_watch(struct reader *reader, struct holdfast *service)
{
    *reader = (struct reader){.service = service, .end_fd = eventfd(0, EFD_CLOEXEC)};
    HF_ASSERT(reader->end_fd >= 0);
    HF_ASSERT(pthread_create(&reader->thread, NULL, await_leaving, reader) == 0);
}

/* Ends the watching. */
static bool reader_has_left(struct reader *reader)
{
    uint64_t one = 1;
    HF_ASSERT(write(reader->end_fd, &one, sizeof(one)) == sizeof(one));
    pthread_join(reader->thread, NULL);
    close(reader->end_fd);
    return reader->left;
}

static void *await_leaving(void *context)
{
    struct reader *reader = context;
    struct pollfd fds[] = {{.fd = reader->end_fd, .events = POLLIN}, {.fd = STDOUT_FILENO}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
        /* again */
    }
    reader->left = (fds[1].revents & (POLLERR | POLLHUP)) != 0;
    if (reader->left)
        holdfast_cancel(reader->service);
    return NULL;
}

/* Ends the following when nobody reads the output any more. */
static bool on_event(void *context, const struct holdfast_event *event)
{
    struct hf_cli *cli = context;
    struct hf_error ignored;
    HF_AUTO(json) json_t *object = hf_json_parse(event->json, strlen(event->json), &ignored);
    if (!json_is_object(object))
        return true;
    write_event(cli, object);
    return fflush(cli->out.file) == 0;
}

static void write_event(struct hf_cli *cli, const json_t *event)
{
    if (cli->json)
        hf_cli_json(cli, event);
    else
        hf_event_write(&cli->out, event);
}
