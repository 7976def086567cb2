#include "cli/settings.h"

#include "cli/interrupt.h"
#include "cli/print.h"
#include "core/auto.h"
#include "core/json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX ((size_t)64 << 10)
#define TIMEOUT_MAX_MS (INT64_C(24) * 3600 * 1000)

static bool read_file(const char *path, bool optional, char **text_out, bool *open_to_others, struct hf_error *err);
static bool apply_file(const struct hf_options *options, struct hf_settings *out, struct hf_error *err);
static bool apply_config(const char *path, const char *text, bool open_to_others, struct hf_settings *out,
                         struct hf_error *err);
static void apply_environment(struct hf_settings *out);
static bool apply_flags(const struct hf_options *options, struct hf_settings *out, struct hf_error *err);
static bool apply_colour(const struct hf_options *options, struct hf_settings *out, struct hf_error *err);
static bool read_token(const char *path, struct hf_settings *out, struct hf_error *err);
static bool check(const struct hf_settings *settings, struct hf_error *err);
static char *find_config(void);
static const char *told(const char *name);
static void set(char **slot, const char *value);
static void set_token(struct hf_settings *out, const char *token, const char *file);

bool hf_settings_read(const struct hf_options *options, struct hf_settings *out, struct hf_error *err)
{
    *out = (struct hf_settings){.colour = HF_COLOUR_AUTO};
    if (options->command->offline)
        return apply_colour(options, out, err);
    if (!apply_file(options, out, err))
        return false;
    apply_environment(out);
    /* Only the file that counts is read: one that another place wins over may be gone. */
    if (!apply_flags(options, out, err) || (out->token_file && !read_token(out->token_file, out, err)))
        return false;
    out->system_told = out->system != NULL;
    if (!out->url)
        set(&out->url, "http://127.0.0.1:8080");
    if (!out->system)
        set(&out->system, "default");
    return check(out, err);
}

void hf_settings_done(struct hf_settings *settings)
{
    free(settings->url);
    free(settings->system);
    if (settings->token)
        explicit_bzero(settings->token, strlen(settings->token));
    free(settings->token);
    free(settings->token_file);
    free(settings->ca_file);
    *settings = (struct hf_settings){0};
}

static bool apply_file(const struct hf_options *options, struct hf_settings *out, struct hf_error *err)
{
    const char *given = hf_option_text(options, "config");
    HF_AUTO(free) char *path = given ? hf_strdup(given) : find_config();
    HF_AUTO(free) char *text = NULL;
    bool open_to_others = false;
    if (!path)
        return true;
    if (!read_file(path, !given, &text, &open_to_others, err))
        return false;
    return !text || apply_config(path, text, open_to_others, out, err);
}

static bool apply_config(const char *path, const char *text, bool open_to_others, struct hf_settings *out,
                         struct hf_error *err)
{
    static const char *const keys[] = {"url", "system", "token", "tokenFile", "caFile", "color", NULL};
    const char *url = NULL, *system = NULL, *token = NULL, *token_file = NULL, *ca_file = NULL, *colour = NULL;
    HF_AUTO(json) json_t *object = hf_json_parse(text, strlen(text), err);
    if (!object || !hf_json_only_fields(object, keys, err) || !hf_json_get_text(object, "url", &url, err) ||
        !hf_json_get_text(object, "system", &system, err) || !hf_json_get_text(object, "token", &token, err) ||
        !hf_json_get_text(object, "tokenFile", &token_file, err) ||
        !hf_json_get_text(object, "caFile", &ca_file, err) || !hf_json_get_text(object, "color", &colour, err)) {
        err->code = HF_CONFIG;
        return hf_error_wrap(err, "%.200s", path);
    }
    if (token && open_to_others)
        return hf_error_set(err, HF_CONFIG, "%.200s holds a token and others may read it; chmod 600 %.200s", path,
                            path);
    if (colour && !hf_colour_parse(colour, &out->colour))
        return hf_error_set(err, HF_CONFIG, "%.200s: \"color\" must be auto, always or never", path);
    set(&out->url, url);
    set(&out->system, system);
    set(&out->ca_file, ca_file);
    if (token || token_file)
        set_token(out, token, token ? NULL : token_file);
    return true;
}

static void apply_environment(struct hf_settings *out)
{
    set(&out->url, told("HOLDFAST_URL"));
    set(&out->system, told("HOLDFAST_SYSTEM"));
    if (told("HOLDFAST_TOKEN"))
        set_token(out, told("HOLDFAST_TOKEN"), NULL);
    else if (told("HOLDFAST_TOKEN_FILE"))
        set_token(out, NULL, told("HOLDFAST_TOKEN_FILE"));
}

static bool apply_flags(const struct hf_options *options, struct hf_settings *out, struct hf_error *err)
{
    const char *timeout = hf_option_text(options, "timeout");
    const char *token_file = hf_option_text(options, "token-file");
    set(&out->url, hf_option_text(options, "url"));
    set(&out->system, hf_option_text(options, "system"));
    if (!apply_colour(options, out, err))
        return false;
    if (timeout &&
        (!hf_span_parse(timeout, &out->timeout_ms) || out->timeout_ms == 0 || out->timeout_ms > TIMEOUT_MAX_MS))
        return hf_error_set(err, HF_CONFIG, "--timeout must be a time from 1s to 24h, as 30s or 5m");
    if (token_file)
        set_token(out, NULL, token_file);
    return true;
}

static bool apply_colour(const struct hf_options *options, struct hf_settings *out, struct hf_error *err)
{
    const char *colour = hf_option_text(options, "color");
    if (colour && !hf_colour_parse(colour, &out->colour))
        return hf_error_set(err, HF_CONFIG, "--color must be auto, always or never");
    return true;
}

static bool check(const struct hf_settings *settings, struct hf_error *err)
{
    if (strncmp(settings->url, "http://", 7) != 0 && strncmp(settings->url, "https://", 8) != 0)
        return hf_error_set(err, HF_CONFIG, "the URL %.200s must begin with http:// or https://", settings->url);
    for (const char *at = settings->token; at && *at; at++)
        if (*at <= ' ' || *at > '~')
            return hf_error_set(err, HF_CONFIG,
                                "the token holds a character that no token has (a space or a line "
                                "break in it?)");
    return true;
}

static bool read_token(const char *path, struct hf_settings *out, struct hf_error *err)
{
    HF_AUTO(free) char *text = NULL;
    bool open_to_others = false;
    if (!read_file(path, false, &text, &open_to_others, err))
        return false;
    if (open_to_others)
        return hf_error_set(err, HF_CONFIG, "others may read the token in %.200s; chmod 600 %.200s", path, path);
    char *begin = text + strspn(text, " \t\r\n");
    begin[strcspn(begin, " \t\r\n")] = '\0';
    if (!*begin)
        return hf_error_set(err, HF_CONFIG, "there is no token in %.200s", path);
    set(&out->token, begin);
    explicit_bzero(text, strlen(text));
    return true;
}

/* open_to_others: somebody who is neither the owner nor in the group may read it. */
static bool read_file(const char *path, bool optional, char **text_out, bool *open_to_others, struct hf_error *err)
{
    HF_AUTO(close) int fd = hf_interrupt_open_input(path);
    struct stat status;
    if (fd < 0 && optional && (errno == ENOENT || errno == ENOTDIR))
        return true;
    if (fd < 0 || fstat(fd, &status) != 0) {
        hf_error_errno(err, errno, "cannot read %.200s", path);
        err->code = HF_CONFIG;
        return false;
    }
    HF_AUTO(free) char *text = hf_alloc(FILE_BYTES_MAX + 1);
    size_t used = 0;
    ssize_t got;
    while (used < FILE_BYTES_MAX) {
        if (!hf_interrupt_await_input(fd))
            return hf_error_set(err, HF_CONFIG, "interrupted while reading %.200s", path);
        got = read(fd, text + used, FILE_BYTES_MAX - used);
        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            hf_error_errno(err, errno, "cannot read %.200s", path);
            err->code = HF_CONFIG;
            return false;
        }
        used += (size_t)got;
    }
    if (used == FILE_BYTES_MAX || strlen(text) != used)
        return hf_error_set(err, HF_CONFIG, "%.200s is no text, or longer than 64 KiB", path);
    *open_to_others = S_ISREG(status.st_mode) && (status.st_mode & 0007) != 0;
    *text_out = text;
    text = NULL;
    return true;
}

static char *find_config(void)
{
    const char *base = told("XDG_CONFIG_HOME"), *home = told("HOME");
    if (base && *base == '/')
        return hf_format("%s/holdfast/config", base);
    return home ? hf_format("%s/.config/holdfast/config", home) : NULL;
}

/* NULL where it is not set or empty. */
static const char *told(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void set(char **slot, const char *value)
{
    if (!value)
        return;
    free(*slot);
    *slot = hf_strdup(value);
}

/* One of the two; it takes the place of what was set before. */
static void set_token(struct hf_settings *out, const char *token, const char *file)
{
    free(out->token);
    free(out->token_file);
    out->token = token ? hf_strdup(token) : NULL;
    out->token_file = file ? hf_strdup(file) : NULL;
}
