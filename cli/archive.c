/* archive, import. */
#include "cli/file.h"
#include "cli/interrupt.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/snapshots.h"
#include "core/digest.h"
#include "core/id.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE_BYTES ((size_t)256 << 10)

/* One download or upload under way. */
struct transfer {
    struct hf_cli *cli;
    struct hf_progress progress;
    struct hf_out_file *file; /* of a download; NULL: standard output */
    struct hf_hasher *hasher; /* of what was received */
    int fd;                   /* of an upload */
    int64_t bytes, total;     /* total -1: not known */
    bool all_given;           /* of an upload */
    struct hf_error err;      /* why it was ended here; code HF_OK: it was not */
};

static int download(struct hf_cli *cli, const char *id, const char *path, int64_t total);
static bool take_piece(void *context, const void *data, size_t bytes);
static int end_download(struct transfer *transfer, const struct holdfast_answer *answer, const char *id,
                        const char *path);
static int fail_here(struct transfer *transfer);
static bool check_digest(struct transfer *transfer, const struct holdfast_answer *answer);
static int open_input(struct hf_cli *cli, const char *path, struct transfer *transfer);
static bool look_at(struct transfer *transfer, const char **type_out, char digest_header[80]);
static int64_t give_piece(void *context, void *to, size_t room);
static bool show_sent(void *context, int64_t sent, int64_t to_send, int64_t received, int64_t to_receive);
static int upload(struct hf_cli *cli, struct transfer *transfer, const char *name);

int hf_run_archive(struct hf_cli *cli)
{
    struct holdfast_error err;
    const char *wanted = hf_argument(&cli->options, 0), *output = hf_option_text(&cli->options, "output");
    bool zstd = hf_option_given(&cli->options, "zstd");
    if (output && strcmp(output, "-") == 0 && cli->out.terminal)
        return hf_cli_usage(cli, "an archive is nothing for a terminal; name a file with --output");
    HF_AUTO(free) char *escaped = hf_escape(wanted);
    HF_AUTO(json) json_t *snapshot = hf_cli_expect(hf_cli_get(cli, &err, "snapshots/%s", escaped), "id", &err);
    if (!snapshot)
        return hf_cli_fail(cli, &err, "cannot download snapshot %s", wanted);
    const char *id = hf_field_text(snapshot, "id");
    /* Where it is written is said here, never by the service. */
    if (!hf_name_is_valid(id, strlen(id)))
        return hf_cli_failed(cli, HF_EXIT_FAILED, "the service gave the snapshot an id that is none");
    HF_AUTO(free) char *own = hf_format("%s-%s.tar%s", cli->settings.system, id, zstd ? ".zst" : "");
    return download(cli, id, output ? output : own, zstd ? -1 : hf_field_int(snapshot, "stateBytes"));
}

int hf_run_import(struct hf_cli *cli)
{
    const char *path = hf_argument(&cli->options, 0);
    bool from_stdin = strcmp(path, "-") == 0;
    struct transfer transfer = {.cli = cli, .fd = -1, .total = -1};
    int status = open_input(cli, path, &transfer);
    if (status == HF_EXIT_OK)
        status = upload(cli, &transfer, from_stdin ? "standard input" : path);
    if (!from_stdin && transfer.fd >= 0)
        close(transfer.fd);
    return status;
}

static int download(struct hf_cli *cli, const char *id, const char *path, int64_t total)
{
    struct holdfast_error err;
    struct holdfast_answer answer = {0};
    struct transfer transfer = {.cli = cli, .total = total, .hasher = hf_hasher_new()};
    HF_AUTO(free) char *escaped = hf_escape(id);
    HF_AUTO(free)
    char *from =
        hf_format("snapshots/%s/archive%s", escaped, hf_option_given(&cli->options, "zstd") ? "?compress=zstd" : "");
    struct holdfast_request request = {.path = from, .write = take_piece, .context = &transfer};
    int status = HF_EXIT_FAILED;
    hf_progress_begin(&transfer.progress, cli, "Archive", true);
    if (strcmp(path, "-") != 0 && !hf_out_file_open(path, &transfer.file, &transfer.err)) {
        status = fail_here(&transfer);
    } else if (holdfast_call(cli->service, &request, &answer, &err)) {
        hf_progress_end(&transfer.progress);
        status = end_download(&transfer, &answer, id, path);
    } else {
        hf_progress_end(&transfer.progress);
        hf_out_file_drop(transfer.file);
        if (transfer.err.code != HF_OK)
            status = fail_here(&transfer);
        else if (strcmp(path, "-") == 0 && ferror(cli->out.file))
            status = HF_EXIT_PIPE;
        else
            status = hf_cli_fail(cli, &err, "snapshot %s was not downloaded", id);
    }
    holdfast_answer_free(&answer);
    hf_hasher_free(transfer.hasher);
    return status;
}

static bool take_piece(void *context, const void *data, size_t bytes)
{
    struct transfer *transfer = context;
    hf_hasher_add(transfer->hasher, data, bytes);
    transfer->bytes += (int64_t)bytes;
    hf_progress_show(&transfer->progress, transfer->bytes, transfer->total);
    if (transfer->file)
        return hf_out_file_add(transfer->file, data, bytes, &transfer->err);
    if (fwrite(data, 1, bytes, transfer->cli->out.file) == bytes)
        return true;
    return errno == EPIPE ? false : hf_error_errno(&transfer->err, errno, "cannot write to standard output");
}

/* Takes the file. */
static int end_download(struct transfer *transfer, const struct holdfast_answer *answer, const char *id,
                        const char *path)
{
    struct hf_cli *cli = transfer->cli;
    char size[HF_SIZE_BYTES];
    if (!check_digest(transfer, answer)) {
        hf_out_file_drop(transfer->file);
        return hf_cli_failed(cli, HF_EXIT_FAILED, "snapshot %s was not downloaded: %s", id, transfer->err.text);
    }
    if (!transfer->file)
        return HF_EXIT_OK;
    if (!hf_out_file_keep(transfer->file, &transfer->err))
        return hf_cli_failed(cli, HF_EXIT_FAILED, "snapshot %s was not downloaded: %s", id, transfer->err.text);
    hf_size_format(transfer->bytes, size);
    if (!cli->json) {
        if (!cli->quiet)
            hf_pen_line(&cli->out, HF_PLAIN, "%s: %s, %s", path, size, answer->digest);
        return HF_EXIT_OK;
    }
    HF_AUTO(json)
    json_t *document =
        json_pack("{s:s, s:s, s:I, s:s, s:s}", "snapshot", id, "file", path, "bytes", (json_int_t)transfer->bytes,
                  "hash", answer->digest, "contentType", answer->content_type);
    return document ? hf_cli_json(cli, document) : hf_cli_failed(cli, HF_EXIT_OK, "%s is not UTF-8", path);
}

/* Says why it was ended here, but not that a signal did. */
static int fail_here(struct transfer *transfer)
{
    if (hf_interrupt_signal())
        return HF_EXIT_INTERRUPTED;
    return hf_cli_failed(transfer->cli, HF_EXIT_FAILED, "%s", transfer->err.text);
}

static bool check_digest(struct transfer *transfer, const struct holdfast_answer *answer)
{
    struct hf_hash found, told;
    hf_hasher_finish(transfer->hasher, &found);
    if (!answer->digest[0] || !hf_hash_parse(answer->digest, &told))
        return hf_error_set(&transfer->err, HF_DAMAGED, "it came without the digest that says that it is whole");
    if (!hf_hash_equal(&found, &told))
        return hf_error_set(&transfer->err, HF_DAMAGED, "what came does not match its digest; try again");
    return true;
}

static int open_input(struct hf_cli *cli, const char *path, struct transfer *transfer)
{
    struct stat status;
    transfer->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : hf_interrupt_open_input(path);
    if (transfer->fd < 0 || fstat(transfer->fd, &status) != 0)
        return hf_cli_failed(cli, HF_EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return hf_cli_failed(cli, HF_EXIT_FAILED, "%s is a directory; an archive is a file", path);
    if (S_ISREG(status.st_mode) && transfer->fd != STDIN_FILENO)
        transfer->total = status.st_size;
    return HF_EXIT_OK;
}

static int upload(struct hf_cli *cli, struct transfer *transfer, const char *name)
{
    struct holdfast_error err;
    struct holdfast_answer answer = {0};
    const char *label = hf_option_text(&cli->options, "label"), *type = "application/octet-stream";
    char digest_header[80] = "";
    if (transfer->total >= 0 && !look_at(transfer, &type, digest_header))
        return fail_here(transfer);
    HF_AUTO(free) char *escaped = hf_escape(label ? label : "");
    HF_AUTO(free) char *path = hf_format("snapshots/import%s%s", label ? "?label=" : "", escaped);
    const char *headers[] = {digest_header[0] ? digest_header : NULL, NULL};
    struct holdfast_request request = {
        .method = "POST",
        .path = path,
        .content_type = type,
        .accept = "application/json",
        .headers = headers,
        .timeout_ms = cli->settings.timeout_ms ? 0 : 24 * 3600 * 1000, /* it is checked before it is answered */
        .read = give_piece,
        .upload_bytes = transfer->total,
        .progress = show_sent,
        .context = transfer,
    };
    hf_progress_begin(&transfer->progress, cli, "Import", true);
    bool good = holdfast_call(cli->service, &request, &answer, &err);
    hf_progress_end(&transfer->progress);
    if (!good && hf_interrupt_signal() && transfer->all_given)
        return hf_cli_failed(cli, 128 + hf_interrupt_signal(),
                             "interrupted; %s may have been taken in: holdfast --system %s snapshots tells", name,
                             cli->settings.system);
    if (!good)
        return transfer->err.code != HF_OK ? fail_here(transfer) : hf_cli_fail(cli, &err, "%s was not taken in", name);
    struct hf_error why;
    json_t *taken = hf_json_parse(answer.body ? answer.body : "", answer.bytes, &why);
    holdfast_answer_free(&answer);
    if (!json_is_object(taken)) {
        json_decref(taken);
        return hf_cli_failed(cli, HF_EXIT_FAILED, "the answer to the import of %s is no JSON object", name);
    }
    HF_AUTO(json) json_t *snapshot = hf_cli_expect(taken, "id", &err);
    if (!snapshot)
        return hf_cli_fail(cli, &err, "nobody can tell whether %s was taken in", name);
    if (cli->json)
        return hf_cli_json(cli, snapshot);
    hf_snapshot_write(&cli->out, snapshot);
    hf_cli_note(cli, "No state was changed. holdfast --system %s restore %s brings it back.", cli->settings.system,
                hf_field_text(snapshot, "id"));
    return HF_EXIT_OK;
}

/* Reads the file once for its digest, so that the service refuses what changes on the way, and its first bytes. */
static bool look_at(struct transfer *transfer, const char **type_out, char digest_header[80])
{
    static const unsigned char zstd[] = {0x28, 0xb5, 0x2f, 0xfd}, gzip[] = {0x1f, 0x8b};
    HF_AUTO(free) unsigned char *piece = hf_alloc(PIECE_BYTES);
    struct hf_hasher *hasher = hf_hasher_new();
    int64_t at = 0;
    ssize_t got = 0;
    *type_out = "application/x-tar";
    while (!hf_interrupt_signal() && (got = pread(transfer->fd, piece, PIECE_BYTES, at)) > 0) {
        if (at == 0 && got >= 4 && memcmp(piece, zstd, 4) == 0)
            *type_out = "application/zstd";
        else if (at == 0 && got >= 2 && memcmp(piece, gzip, 2) == 0)
            *type_out = "application/gzip";
        hf_hasher_add(hasher, piece, (size_t)got);
        at += got;
    }
    struct hf_hash hash;
    char base64[4 * ((HF_HASH_BYTES + 2) / 3) + 1];
    hf_hasher_finish(hasher, &hash);
    hf_hasher_free(hasher);
    hf_base64_encode(hash.bytes, HF_HASH_BYTES, base64);
    snprintf(digest_header, 80, "Content-Digest: sha-256=:%s:", base64);
    transfer->total = at;
    return got < 0 ? hf_error_errno(&transfer->err, errno, "cannot read the archive") : !hf_interrupt_signal();
}

static int64_t give_piece(void *context, void *to, size_t room)
{
    struct transfer *transfer = context;
    if (!hf_interrupt_await_input(transfer->fd))
        return -1;
    ssize_t got;
    do
        got = read(transfer->fd, to, room);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        hf_error_errno(&transfer->err, errno, "cannot read the archive");
    else
        transfer->bytes += got;
    transfer->all_given = got == 0 || (transfer->total >= 0 && transfer->bytes >= transfer->total);
    return got;
}

static bool show_sent(void *context, int64_t sent, int64_t to_send, int64_t received, int64_t to_receive)
{
    struct transfer *transfer = context;
    (void)to_send;
    (void)received;
    (void)to_receive;
    hf_progress_show(&transfer->progress, sent, transfer->total);
    return true;
}
