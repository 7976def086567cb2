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

static void reader_watch(struct reader *reader, struct holdfast *service);
static bool reader_has_left(struct reader *reader);
static void *await_leaving(void *context);
static int follow(struct hf_cli *cli, const json_t *shown, const char *after, const char *severity);
static bool on_event(void *context, const struct holdfast_event *event);
static void write_events(struct hf_cli *cli, const json_t *events);

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
    json_t *events = hf_events_last(cli, after ? after : "0", severity, most, &err);
    if (!events)
        return hf_cli_fail(cli, &err, "cannot list the events of %s", cli->settings.system);
    HF_AUTO(json) json_t *document = hf_list_document("events", events);
    if (following)
        return follow(cli, events, after, severity);
    if (cli->json)
        return hf_cli_json(cli, document);
    if (json_array_size(events) == 0)
        hf_cli_note(cli, "There is no such event in %s.", cli->settings.system);
    write_events(cli, events);
    return HF_EXIT_OK;
}

json_t *hf_events_last(struct hf_cli *cli, const char *after, const char *severity, size_t most,
                       struct holdfast_error *err)
{
    json_t *last = json_array();
    HF_AUTO(free) char *from = hf_strdup(after);
    for (;;) {
        HF_AUTO(json)
        json_t *page = hf_cli_get(cli, err, "events?limit=%d&after=%s%s%s", PAGE, from, severity ? "&severity=" : "",
                                  severity ? severity : "");
        const json_t *events = json_object_get(page, "events");
        if (page && !json_is_array(events))
            *err = (struct holdfast_error){.code = "bad_answer", .text = "the answer has no list \"events\""};
        if (!json_is_array(events)) {
            json_decref(last);
            return NULL;
        }
        size_t count = json_array_size(events);
        json_array_extend(last, json_object_get(page, "events"));
        for (; most && json_array_size(last) > most;)
            json_array_remove(last, 0);
        if (count < PAGE)
            return last;
        int64_t id = hf_field_int(json_array_get(events, count - 1), "id");
        if (id <= strtoll(from, NULL, 10)) {
            *err = (struct holdfast_error){.code = "bad_answer",
                                           .text = "the list does not end: the ids of its events do not grow"};
            json_decref(last);
            return NULL;
        }
        free(from);
        from = hf_format("%" PRId64, id);
    }
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

/* The events so far, then those that come: none is missed in between, as the stream begins after the last one shown. */
static int follow(struct hf_cli *cli, const json_t *shown, const char *after, const char *severity)
{
    struct holdfast_error err;
    char last[24];
    size_t count = json_array_size(shown);
    write_events(cli, shown);
    if (fflush(cli->out.file) != 0)
        return HF_EXIT_PIPE;
    snprintf(last, sizeof(last), "%" PRId64, hf_field_int(json_array_get(shown, count ? count - 1 : 0), "id"));
    struct holdfast_follow_options options = {
        .after = count   ? last
                 : after ? after
                         : "0",
        .severity = severity,
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
    if (cli->json)
        hf_cli_json(cli, object);
    else
        hf_event_write(&cli->out, object);
    return fflush(cli->out.file) == 0;
}

static void write_events(struct hf_cli *cli, const json_t *events)
{
    size_t i;
    const json_t *event;
    json_array_foreach(events, i, event)
    {
        if (cli->json)
            hf_cli_json(cli, event);
        else
            hf_event_write(&cli->out, event);
    }
}
