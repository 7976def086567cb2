#include "core/log.h"

#include "core/clock.h"
#include "core/escape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A line is written at once and stays under PIPE_BUF, so that lines of several threads or processes never mix. */
#define LINE_BYTES   4096
#define TAIL_BYTES   32 /* kept free for the mark, a quote and the end of the line */
#define NUMBER_BYTES 32 /* room for any number and the punctuation of a member */
#define CUT_MARK     "\xe2\x80\xa6"

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static int log_fd = STDERR_FILENO;
static enum hf_log_level log_level = HF_LOG_INFO;
static bool log_json = false;

struct line {
    char data[LINE_BYTES];
    size_t used;
    bool cut; /* something did not fit; nothing but the end is added any more */
};

static void write_json(struct line *line, enum hf_log_level level, const char *event, const char *message,
                       const struct hf_log_field *fields, int count);
static void write_plain(struct line *line, enum hf_log_level level, const char *message,
                        const struct hf_log_field *fields, int count);
static void add_json_member(struct line *line, const char *key, const char *text);
static void add_plain_field(struct line *line, const struct hf_log_field *field);
static bool needs_quotes(const char *text);
static void add_escaped(struct line *line, const char *text, bool quoted);
static void add_raw(struct line *line, const char *text);
static void add_number(struct line *line, int64_t number);
static void add_end(struct line *line, const char *end);
static void write_all(int fd, const char *data, size_t bytes);

void hf_log_init(int fd, enum hf_log_level level, bool json)
{
    log_fd = fd;
    log_level = level;
    log_json = json;
}

bool hf_log_level_parse(const char *text, enum hf_log_level *out)
{
    for (int i = 0; i <= HF_LOG_DEBUG; i++)
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum hf_log_level)i;
            return true;
        }
    return false;
}

bool hf_log_enabled(enum hf_log_level level)
{
    return level <= log_level;
}

void hf_log_write(enum hf_log_level level, const char *event, const char *message, const struct hf_log_field *fields,
                  int count)
{
    if (!hf_log_enabled(level))
        return;
    int errno_before = errno;
    struct line line;
    line.used = 0;
    line.cut = false;
    if (log_json)
        write_json(&line, level, event, message, fields, count);
    else
        write_plain(&line, level, message, fields, count);
    write_all(log_fd, line.data, line.used);
    errno = errno_before;
}

static void write_json(struct line *line, enum hf_log_level level, const char *event, const char *message,
                       const struct hf_log_field *fields, int count)
{
    char time[HF_TIME_BYTES];
    hf_time_format(hf_clock_now_ms(), time);
    add_raw(line, "{");
    add_json_member(line, "time", time);
    add_raw(line, ",");
    add_json_member(line, "level", level_names[level]);
    add_raw(line, ",");
    add_json_member(line, "event", event);
    add_raw(line, ",");
    add_json_member(line, "message", message);
    for (int i = 0; i < count && !line->cut; i++) {
        /* A member begins only where its key and a number fit: half a member would not be JSON. */
        line->cut = line->used + strlen(fields[i].key) + NUMBER_BYTES > LINE_BYTES - TAIL_BYTES;
        if (line->cut)
            break;
        add_raw(line, ",");
        add_json_member(line, fields[i].key, fields[i].text);
        if (!fields[i].text)
            add_number(line, fields[i].number);
    }
    add_end(line, line->cut ? ",\"truncated\":true}\n" : "}\n");
}

static void write_plain(struct line *line, enum hf_log_level level, const char *message,
                        const struct hf_log_field *fields, int count)
{
    char time[HF_TIME_BYTES];
    hf_time_format(hf_clock_now_ms(), time);
    add_raw(line, time);
    add_raw(line, " ");
    add_raw(line, level_names[level]);
    add_raw(line, " ");
    add_escaped(line, message, false);
    for (int i = 0; i < count; i++)
        add_plain_field(line, &fields[i]);
    add_end(line, "\n");
}

/* "key":"text"; with text NULL the caller adds the value. */
static void add_json_member(struct line *line, const char *key, const char *text)
{
    add_raw(line, "\"");
    add_raw(line, key);
    add_raw(line, "\":");
    if (text)
        add_escaped(line, text, true);
}

static void add_plain_field(struct line *line, const struct hf_log_field *field)
{
    add_raw(line, " ");
    add_raw(line, field->key);
    add_raw(line, "=");
    if (field->text)
        add_escaped(line, field->text, needs_quotes(field->text));
    else
        add_number(line, field->number);
}

static bool needs_quotes(const char *text)
{
    return *text == '\0' || strpbrk(text, " =\"\\") != NULL;
}

/* The text, or as much as fits and the mark. Control characters are escaped in the plain form too: a text from outside
 * must neither start a new line nor steer the terminal. */
static void add_escaped(struct line *line, const char *text, bool quoted)
{
    if (quoted)
        add_raw(line, "\"");
    if (line->cut)
        return;
    size_t bytes = strlen(text);
    for (size_t at = 0; at < bytes && !line->cut;) {
        char out[HF_ESCAPE_BYTES] = {text[at]};
        size_t out_bytes = 1;
        if (!quoted && (text[at] == '"' || text[at] == '\\'))
            at++;
        else
            at += hf_escape_character(text + at, bytes - at, out, &out_bytes);
        line->cut = line->used + out_bytes > LINE_BYTES - TAIL_BYTES;
        if (!line->cut) {
            memcpy(line->data + line->used, out, out_bytes);
            line->used += out_bytes;
        }
    }
    if (line->cut)
        add_end(line, CUT_MARK);
    if (quoted)
        add_end(line, "\"");
}

static void add_raw(struct line *line, const char *text)
{
    size_t bytes = strlen(text);
    if (line->cut || line->used + bytes > LINE_BYTES - TAIL_BYTES) {
        line->cut = true;
        return;
    }
    memcpy(line->data + line->used, text, bytes);
    line->used += bytes;
}

static void add_number(struct line *line, int64_t number)
{
    char digits[NUMBER_BYTES];
    snprintf(digits, sizeof(digits), "%lld", (long long)number);
    add_raw(line, digits);
}

/* Adds what the tail's room is kept for. */
static void add_end(struct line *line, const char *end)
{
    size_t bytes = strlen(end);
    HF_ASSERT(line->used + bytes <= LINE_BYTES);
    memcpy(line->data + line->used, end, bytes);
    line->used += bytes;
}

/* A log that cannot be written must not stop the service. */
static void write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        bytes -= (size_t)written;
    }
}
