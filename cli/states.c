/* get, put. */
#include "cli/cli.h"
#include "cli/file.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "core/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define PIECE_BYTES ((size_t)256 << 10)

static int write_state(struct hf_cli *cli, const char *component, const struct holdfast_state *state);
static int write_file(struct hf_cli *cli, const char *component, const struct holdfast_state *state, const char *path);
static int write_document(struct hf_cli *cli, const char *component, const struct holdfast_state *state);
static json_t *describe(const char *component, const struct holdfast_state *state);
static int read_input(struct hf_cli *cli, const char *path, struct hf_buf *out);
static int show_receipt(struct hf_cli *cli, const char *component, const struct holdfast_receipt *receipt);

int hf_run_get(struct hf_cli *cli)
{
    const struct hf_options *options = &cli->options;
    const char *component = hf_argument(options, 0), *version = hf_option_text(options, "version");
    const char *at = hf_option_text(options, "at"), *snapshot = hf_option_text(options, "snapshot");
    struct holdfast_when when = {.snapshot = snapshot};
    struct holdfast_state state = {0};
    struct holdfast_error err;
    if ((version != NULL) + (at != NULL) + (snapshot != NULL) > 1)
        return hf_cli_usage(cli, "get takes one of --version, --at and --snapshot");
    if (version && (!hf_number_read(version, &when.version) || when.version == 0))
        return hf_cli_usage(cli, "--version must be a whole number from 1");
    if (!hf_moment_check(cli, "at"))
        return HF_EXIT_USAGE;
    HF_AUTO(free) char *moment = at ? hf_moment(at) : NULL;
    when.at = moment;
    if (!holdfast_load(cli->service, component, version || at || snapshot ? &when : NULL, &state, &err))
        return hf_cli_fail(cli, &err, "cannot read %s of %s", component, cli->settings.system);
    int status = write_state(cli, component, &state);
    holdfast_state_free(&state);
    return status;
}

int hf_run_put(struct hf_cli *cli)
{
    const struct hf_options *options = &cli->options;
    const char *component = hf_argument(options, 0), *path = hf_argument(options, 1);
    const char *etag = hf_option_text(options, "if-match");
    /* Shells eat the quotes of an ETag. */
    HF_AUTO(free) char *quoted = etag && etag[0] != '"' && strcmp(etag, "*") != 0 ? hf_format("\"%s\"", etag) : NULL;
    struct holdfast_save_options how = {
        .content_type = hf_option_text(options, "content-type"),
        .if_match = quoted ? quoted : etag,
        .if_absent = hf_option_given(options, "if-absent"),
        .event = hf_option_text(options, "event"),
    };
    struct holdfast_receipt receipt;
    struct holdfast_error err;
    HF_AUTO(buf) struct hf_buf body;
    hf_buf_init(&body, SIZE_MAX / 8);
    if (how.if_match && how.if_absent)
        return hf_cli_usage(cli, "put takes either --if-match or --if-absent");
    int status = read_input(cli, path ? path : "-", &body);
    if (status != HF_EXIT_OK)
        return status;
    if (!holdfast_save(cli->service, component, body.data ? body.data : "", body.bytes, &how, &receipt, &err)) {
        if (hf_was_interrupted(&err))
            return hf_cli_failed(cli, hf_exit_of(&err),
                                 "interrupted; it may have been saved: holdfast --system %s history %s tells",
                                 cli->settings.system, component);
        status = hf_cli_fail(cli, &err, "%s of %s was not saved", component, cli->settings.system);
        if (err.status == 400 && !how.content_type)
            hf_cli_note(cli, "  what is not JSON needs --content-type, as application/octet-stream");
        return status;
    }
    return show_receipt(cli, component, &receipt);
}

static int write_state(struct hf_cli *cli, const char *component, const struct holdfast_state *state)
{
    const char *path = hf_option_text(&cli->options, "output");
    bool to_stdout = !path || strcmp(path, "-") == 0;
    if (!to_stdout)
        return write_file(cli, component, state, path);
    if (cli->json)
        return write_document(cli, component, state);
    if (!cli->out.terminal) {
        fwrite(state->data, 1, state->bytes, cli->out.file);
        return HF_EXIT_OK;
    }
    /* Lines of a text stay lines; nothing else of it moves the cursor. */
    if (memchr(state->data, '\0', state->bytes))
        return hf_cli_failed(cli, HF_EXIT_USAGE, "the state of %s is binary; use --output or a pipe", component);
    for (size_t at = 0; at < state->bytes;) {
        const char *text = (const char *)state->data + at, *newline = memchr(text, '\n', state->bytes - at);
        size_t length = newline ? (size_t)(newline - text) : state->bytes - at;
        HF_AUTO(buf) struct hf_buf line;
        hf_buf_init(&line, SIZE_MAX / 8);
        hf_text_clean(&line, text, length);
        if (line.bytes > 0)
            fwrite(line.data, 1, line.bytes, cli->out.file);
        putc('\n', cli->out.file);
        at += length + 1;
    }
    return HF_EXIT_OK;
}

static int write_file(struct hf_cli *cli, const char *component, const struct holdfast_state *state, const char *path)
{
    struct hf_out_file *file;
    struct hf_error err;
    char size[HF_SIZE_BYTES];
    if (!hf_out_file_open(path, &file, &err))
        return hf_interrupt_signal() ? HF_EXIT_INTERRUPTED : hf_cli_failed(cli, HF_EXIT_FAILED, "%s", err.text);
    bool good = true;
    for (size_t at = 0; good && at < state->bytes; at += PIECE_BYTES) {
        size_t bytes = state->bytes - at < PIECE_BYTES ? state->bytes - at : PIECE_BYTES;
        good = !hf_interrupt_signal() && hf_out_file_add(file, (const char *)state->data + at, bytes, &err);
    }
    if (!good) {
        hf_out_file_drop(file);
        return hf_interrupt_signal() ? HF_EXIT_INTERRUPTED : hf_cli_failed(cli, HF_EXIT_FAILED, "%s", err.text);
    }
    if (!hf_out_file_keep(file, &err))
        return hf_cli_failed(cli, HF_EXIT_FAILED, "%s", err.text);
    if (cli->json) {
        HF_AUTO(json) json_t *document = describe(component, state);
        json_object_set_new(document, "file", json_string(path));
        return hf_cli_json(cli, document);
    }
    hf_size_format((int64_t)state->bytes, size);
    hf_cli_note(cli, "%s: version %" PRId64 " of %s, %s, %s", path, state->version, component, size, state->hash);
    return HF_EXIT_OK;
}

/* A state that is JSON goes in as its own bytes: nothing of it is written anew, but for the line breaks between its
 * tokens, as the document is one line. */
static int write_document(struct hf_cli *cli, const char *component, const struct holdfast_state *state)
{
    struct hf_error ignored;
    FILE *file = cli->out.file;
    HF_AUTO(json) json_t *document = describe(component, state);
    HF_AUTO(free) char *head = hf_json_text(document);
    bool is_json = hf_json_is_media_type(state->content_type) && hf_json_check(state->data, state->bytes, &ignored);
    fprintf(file, "%.*s,", (int)strlen(head) - 1, head);
    if (is_json) {
        HF_AUTO(json) json_t *value = cli->out.terminal ? hf_json_parse(state->data, state->bytes, &ignored) : NULL;
        fputs("\"state\":", file);
        if (cli->out.terminal && value) {
            HF_AUTO(free) char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
            fputs(text ? text : "null", file);
        } else {
            const char *text = state->data;
            for (size_t i = 0; i < state->bytes; i++)
                putc(text[i] == '\n' || text[i] == '\r' ? ' ' : text[i], file);
        }
    } else {
        HF_AUTO(free) char *text = hf_alloc(4 * ((state->bytes + 2) / 3) + 1);
        hf_base64_encode(state->data, state->bytes, text);
        fprintf(file, "\"stateBase64\":\"%s\"", text);
    }
    fputs("}\n", file);
    return HF_EXIT_OK;
}

static json_t *describe(const char *component, const struct holdfast_state *state)
{
    json_t *document = json_object();
    json_object_set_new(document, "component", json_string(component));
    json_object_set_new(document, "version", json_integer(state->version));
    json_object_set_new(document, "sequence", json_integer(state->sequence));
    json_object_set_new(document, "epoch", json_integer(state->epoch));
    json_object_set_new(document, "bytes", json_integer((json_int_t)state->bytes));
    json_object_set_new(document, "contentType", json_string(state->content_type));
    json_object_set_new(document, "hash", json_string(state->hash));
    json_object_set_new(document, "etag", json_string(state->etag));
    return document;
}

static int read_input(struct hf_cli *cli, const char *path, struct hf_buf *out)
{
    bool from_stdin = strcmp(path, "-") == 0;
    HF_AUTO(close) int fd = from_stdin ? dup(STDIN_FILENO) : hf_interrupt_open_input(path);
    if (fd < 0)
        return hf_cli_failed(cli, HF_EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
    for (;;) {
        char *room = hf_buf_reserve(out, PIECE_BYTES);
        if (!room)
            return hf_cli_failed(cli, HF_EXIT_FAILED, "there is not enough memory for %s", path);
        if (!hf_interrupt_await_input(fd))
            return HF_EXIT_INTERRUPTED;
        ssize_t got = read(fd, room, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hf_cli_failed(cli, HF_EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            return HF_EXIT_OK;
        out->bytes += (size_t)got;
    }
}

static int show_receipt(struct hf_cli *cli, const char *component, const struct holdfast_receipt *receipt)
{
    char size[HF_SIZE_BYTES];
    if (cli->json) {
        HF_AUTO(json)
        json_t *document =
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:b, s:s, s:s, s:s}", "component", component, "version",
                      (json_int_t)receipt->version, "sequence", (json_int_t)receipt->sequence, "epoch",
                      (json_int_t)receipt->epoch, "bytes", (json_int_t)receipt->bytes, "unchanged", receipt->unchanged,
                      "hash", receipt->hash, "etag", receipt->etag, "committedAt", receipt->committed_at);
        return hf_cli_json(cli, document);
    }
    hf_size_format(receipt->bytes, size);
    if (!cli->quiet)
        hf_pen_line(&cli->out, HF_PLAIN, "%s: version %" PRId64 "%s, %s, sequence %" PRId64 ", ETag %s", component,
                    receipt->version, receipt->unchanged ? " (unchanged)" : "", size, receipt->sequence, receipt->etag);
    return HF_EXIT_OK;
}
