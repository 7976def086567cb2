#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "core/auto.h"
#include "core/buf.h"
#include "server/offline.h"

#define TEXT_BYTES_MAX (256 * 1024)

static int run_help(int argc, char *argv[]);
static int run_version(int argc, char *argv[]);
static int run_config(int argc, char *argv[]);
static int run_token(int argc, char *argv[]);
static int print_buf(const struct hf_buf *buf);
static bool read_options(int argc, char *argv[], const char *const names[], const char *values[], int count);
static bool find_keyword(const char *text, const char *name, char *out, size_t bytes);

static const struct command {
    const char *name;
    int (*run)(int argc, char *argv[]);
} commands[] = {
    {"--help", run_help},
    {"-h", run_help},
    {"help", run_help},
    {"--version", run_version},
    {"version", run_version},
    {"config", run_config},
    {"token", run_token},
    {"verify", hf_offline_verify},
    {"extract", hf_offline_extract},
};

bool hf_command_run(int argc, char *argv[], int *exit_code_out)
{
    for (int i = 1; i < argc; i++) /* --help is for people who have typed half a command already */
        if (strcmp(argv[i], "--help") == 0) {
            *exit_code_out = run_help(argc, argv);
            return true;
        }
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0) {
            *exit_code_out = commands[i].run(argc - 1, argv + 1);
            return true;
        }
    if (argc > 1 && argv[1][0] != '-' && strcmp(argv[1], "serve") != 0) {
        fprintf(stderr, "holdfast-server: there is no command \"%s\"; try --help\n", argv[1]);
        *exit_code_out = 2;
        return true;
    }
    return false;
}

void hf_database_describe(const struct hf_config *config, char *out, size_t bytes)
{
    const char *url = config->database_url;
    char host[128] = "local socket", name[128] = "default database";
    if (!url) {
        snprintf(out, bytes, "sqlite %s/holdfast.db", config->data_directory);
        return;
    }
    const char *scheme = strstr(url, "://");
    if (!scheme) {
        find_keyword(url, "host", host, sizeof(host));
        find_keyword(url, "dbname", name, sizeof(name));
    } else {
        const char *authority = scheme + 3;
        size_t length = strcspn(authority, "/?");
        const char *path = authority + length;
        const char *at = memrchr(authority, '@', length);
        const char *start = at ? at + 1 : authority;
        if (path > start)
            snprintf(host, sizeof(host), "%.*s", (int)(path - start), start);
        if (*path == '/' && strcspn(path + 1, "?") > 0)
            snprintf(name, sizeof(name), "%.*s", (int)strcspn(path + 1, "?"), path + 1);
    }
    snprintf(out, bytes, "postgres %s/%s", host, name);
}

static int run_help(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, TEXT_BYTES_MAX);
    hf_buf_add_text(&text, "holdfast-server " HF_VERSION ": keeps the state of your systems\n\n"
                           "Usage:\n"
                           "  holdfast-server [serve] [settings]\n"
                           "  holdfast-server token create --role viewer|agent|operator --tokens-file FILE\n"
                           "                  [--system S] [--component-prefix P] [--description TEXT]\n"
                           "  holdfast-server config --markdown | --example\n"
                           "  holdfast-server verify FILE|DIRECTORY [--json] [--encryption-key-file FILE]\n"
                           "                  [--public-key FILE [--require-signatures]]\n"
                           "                  [--backup-directory D | --incremental-directory D]\n"
                           "  holdfast-server extract FILE --output DIRECTORY [--component NAME]... [--salvage]\n"
                           "                  [options of verify but --json]\n"
                           "  holdfast-server --version\n\n"
                           "Settings (flag, environment, default):\n");
    hf_config_write_help(&text);
    return print_buf(&text);
}

static int run_version(int argc, char *argv[])
{
    (void)argc;
    (void)argv;
    puts("holdfast-server " HF_VERSION);
    return 0;
}

static int run_config(int argc, char *argv[])
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, TEXT_BYTES_MAX);
    if (argc == 2 && strcmp(argv[1], "--markdown") == 0)
        hf_config_write_markdown(&text);
    else if (argc == 2 && strcmp(argv[1], "--example") == 0)
        hf_config_write_example(&text);
    else {
        fputs("holdfast-server: config needs --markdown (the documentation) or --example (a config file)\n", stderr);
        return 2;
    }
    return print_buf(&text);
}

static int run_token(int argc, char *argv[])
{
    enum { ROLE, SYSTEM, PREFIX, DESCRIPTION, FILE_NAME, COUNT };
    static const char *const names[COUNT] = {"--role", "--system", "--component-prefix", "--description",
                                             "--tokens-file"};
    const char *values[COUNT] = {NULL};
    if (argc < 2 || strcmp(argv[1], "create") != 0) {
        fputs("holdfast-server: the only token command is \"token create\"; try --help\n", stderr);
        return 2;
    }
    values[FILE_NAME] = getenv("PERSISTENCE_TOKENS_FILE");
    if (!read_options(argc - 2, argv + 2, names, values, COUNT))
        return 2;
    if (!values[ROLE] || !values[FILE_NAME]) {
        fputs("holdfast-server: token create needs --role and --tokens-file\n", stderr);
        return 2;
    }
    char token[96];
    struct hf_error err;
    if (!hf_auth_create_token(values[FILE_NAME], values[ROLE], values[SYSTEM], values[PREFIX], values[DESCRIPTION],
                              token, &err)) {
        fprintf(stderr, "holdfast-server: %s\n", err.text);
        return 1;
    }
    fputs("This token is shown once; send it as Authorization: Bearer TOKEN\n", stderr);
    puts(token);
    return 0;
}

static int print_buf(const struct hf_buf *buf)
{
    if (buf->failed)
        return 1;
    return fwrite(buf->data, 1, buf->bytes, stdout) == buf->bytes && fflush(stdout) == 0 ? 0 : 1;
}

/* "--name value" or "--name=value", each at most once. */
static bool read_options(int argc, char *argv[], const char *const names[], const char *values[], int count)
{
    for (int i = 0; i < argc; i++) {
        size_t length = strcspn(argv[i], "=");
        int found = -1;
        for (int k = 0; k < count; k++)
            if (strlen(names[k]) == length && strncmp(argv[i], names[k], length) == 0)
                found = k;
        bool inlined = argv[i][length] == '=';
        if (found < 0 || (!inlined && i + 1 >= argc)) {
            fprintf(stderr, "holdfast-server: %s %.*s\n", found < 0 ? "there is no option" : "a value is missing after",
                    (int)length, argv[i]);
            return false;
        }
        values[found] = inlined ? argv[i] + length + 1 : argv[++i];
    }
    return true;
}

/* One keyword of a libpq string: host=db1 dbname=agents. */
static bool find_keyword(const char *text, const char *name, char *out, size_t bytes)
{
    size_t length = strlen(name);
    for (const char *at = text; (at = strstr(at, name)); at += length) {
        if ((at != text && at[-1] != ' ') || at[length] != '=')
            continue;
        const char *value = at + length + 1;
        snprintf(out, bytes, "%.*s", (int)strcspn(value, " "), value);
        return true;
    }
    return false;
}
