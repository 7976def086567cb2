#include "cli/options.h"

#include "core/auto.h"
#include "core/escape.h"
#include "core/nearest.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

#define KNOWN_MAX 32

/* What getopt_long is told: the program's options and, once it is known, the command's. */
struct grammar {
    const struct hf_option *options[KNOWN_MAX];
    struct option rows[KNOWN_MAX + 1];
    char letters[2 * KNOWN_MAX + 3];
    int count;
};

static void grammar_make(struct grammar *grammar, const struct hf_command *command, bool permute);
static void grammar_add(struct grammar *grammar, const struct hf_option *option, char **letter);
static bool read_some(int argc, char *argv[], const struct grammar *grammar, struct hf_options *out,
                      struct hf_error *err);
static bool is_written_out(char *argv[], const struct hf_option *option);
static bool refuse_option(char *argv[], int found, const struct grammar *grammar, const struct hf_options *options,
                          struct hf_error *err);
static bool find_command(const char *name, struct hf_options *out, struct hf_error *err);
static bool check_arguments(const struct hf_options *options, struct hf_error *err);
static bool check_texts(const struct hf_options *options, struct hf_error *err);
static bool is_text(const char *value, const char *complete);
static void check_known(const struct hf_options *options, const char *name);

bool hf_options_read(int argc, char *argv[], struct hf_options *out, struct hf_error *err)
{
    struct grammar grammar;
    *out = (struct hf_options){.given = hf_alloc((size_t)(argc + 1) * sizeof(*out->given))};
    grammar_make(&grammar, NULL, false);
    optind = 0; /* glibc: begin anew */
    if (!read_some(argc, argv, &grammar, out, err))
        return false;
    int at = optind;
    if (at >= argc)
        return check_texts(out, err);
    if (!find_command(argv[at], out, err))
        return false;
    grammar_make(&grammar, out->command, true);
    optind = 0;
    if (!read_some(argc - at, argv + at, &grammar, out, err))
        return false;
    out->arguments = argv + at + optind;
    out->argument_count = (size_t)(argc - at - optind);
    return (hf_option_given(out, "help") || check_arguments(out, err)) && check_texts(out, err);
}

void hf_options_done(struct hf_options *options)
{
    free(options->given);
    options->given = NULL;
    options->given_count = 0;
}

bool hf_option_given(const struct hf_options *options, const char *name)
{
    size_t cursor = 0;
    check_known(options, name);
    for (; cursor < options->given_count; cursor++)
        if (strcmp(options->given[cursor].option->name, name) == 0)
            return true;
    return false;
}

const char *hf_option_text(const struct hf_options *options, const char *name)
{
    const char *value, *last = NULL;
    for (size_t cursor = 0; (value = hf_option_next(options, name, &cursor));)
        last = value;
    return last;
}

const char *hf_option_next(const struct hf_options *options, const char *name, size_t *cursor)
{
    check_known(options, name);
    while (*cursor < options->given_count) {
        const struct hf_given *given = &options->given[(*cursor)++];
        if (strcmp(given->option->name, name) == 0)
            return given->value;
    }
    return NULL;
}

bool hf_number_read(const char *text, int64_t *out)
{
    int64_t number = 0;
    if (!*text || strspn(text, "0123456789") != strlen(text))
        return false;
    for (; *text; text++)
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *text - '0', &number))
            return false;
    *out = number;
    return true;
}

const char *hf_argument(const struct hf_options *options, size_t index)
{
    return index < options->argument_count ? options->arguments[index] : NULL;
}

/* Without permuting, reading stops at the command's name. */
static void grammar_make(struct grammar *grammar, const struct hf_command *command, bool permute)
{
    memset(grammar, 0, sizeof(*grammar));
    char *letter = grammar->letters;
    if (!permute)
        *letter++ = '+';
    *letter++ = ':';
    for (size_t i = 0; command && i < HF_OPTIONS_MAX && command->options[i].name; i++)
        grammar_add(grammar, &command->options[i], &letter);
    for (const struct hf_option *option = hf_global_options; option->name; option++)
        if (!hf_command_has_own(command, option))
            grammar_add(grammar, option, &letter);
    *letter = '\0';
}

static void grammar_add(struct grammar *grammar, const struct hf_option *option, char **letter)
{
    HF_ASSERT(grammar->count < KNOWN_MAX);
    grammar->options[grammar->count] = option;
    grammar->rows[grammar->count] = (struct option){option->name, option->value ? required_argument : no_argument, NULL,
                                                    CHAR_MAX + 1 + grammar->count};
    grammar->count++;
    if (option->letter) {
        *(*letter)++ = option->letter;
        if (option->value)
            *(*letter)++ = ':';
    }
}

static bool read_some(int argc, char *argv[], const struct grammar *grammar, struct hf_options *out,
                      struct hf_error *err)
{
    int found;
    opterr = 0;
    while ((found = getopt_long(argc, argv, grammar->letters, grammar->rows, NULL)) != -1) {
        const struct hf_option *option = NULL;
        if (found == '?' || found == ':')
            return refuse_option(argv, found, grammar, out, err);
        if (found > CHAR_MAX)
            option = grammar->options[found - CHAR_MAX - 1];
        if (option && !is_written_out(argv, option))
            return hf_error_set(err, HF_INVALID_REQUEST, "options are written out; did you mean --%s?", option->name);
        for (int i = 0; !option && i < grammar->count; i++)
            if (grammar->options[i]->letter == found)
                option = grammar->options[i];
        HF_ASSERT(option != NULL);
        out->given[out->given_count++] = (struct hf_given){option, option->value ? optarg : NULL};
    }
    return true;
}

/* getopt takes the beginning of a name too: then --token would be taken for --token-file, and its value for a path that
 * messages may show. */
static bool is_written_out(char *argv[], const struct hf_option *option)
{
    const char *word = argv[optind - 1];
    if (option->value && word == optarg)
        word = argv[optind - 2];
    size_t length = strcspn(word, "=");
    return length == strlen(option->name) + 2 && strncmp(word + 2, option->name, length - 2) == 0;
}

/* getopt leaves the letter in optopt, or 0 for an unknown long name; the word itself is the one before optind. */
static bool refuse_option(char *argv[], int found, const struct grammar *grammar, const struct hf_options *options,
                          struct hf_error *err)
{
    const char *of = options->command ? options->command->name : "holdfast";
    const char *word = argv[optind - 1];
    for (int i = 0; i < grammar->count; i++) {
        const struct hf_option *option = grammar->options[i];
        bool same = optopt > CHAR_MAX ? i == optopt - CHAR_MAX - 1 : option->letter && option->letter == optopt;
        if (same && found == ':')
            return hf_error_set(err, HF_INVALID_REQUEST, "--%s needs a value: --%s %s", option->name, option->name,
                                option->value);
        if (same)
            return hf_error_set(err, HF_INVALID_REQUEST, "--%s takes no value", option->name);
    }
    if (optopt)
        return hf_error_set(err, HF_INVALID_REQUEST, "%s has no option -%c; see holdfast help%s%s", of, optopt,
                            options->command ? " " : "", options->command ? of : "");
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    int nearest = -1, distance_min = INT_MAX;
    bool starts = false;
    for (int i = 0; i < grammar->count; i++) {
        int distance = hf_edit_distance(name, grammar->options[i]->name);
        starts = starts || strncmp(grammar->options[i]->name, name, strlen(name)) == 0;
        if (distance < distance_min) {
            distance_min = distance;
            nearest = i;
        }
    }
    if (starts && *name)
        return hf_error_set(err, HF_INVALID_REQUEST, "--%s may mean several options of %s; write it out", name, of);
    if (hf_is_near(name, distance_min))
        return hf_error_set(err, HF_INVALID_REQUEST, "%s has no option --%s; did you mean --%s?", of, name,
                            grammar->options[nearest]->name);
    return hf_error_set(err, HF_INVALID_REQUEST, "%s has no option --%s; see holdfast help%s%s", of, name,
                        options->command ? " " : "", options->command ? of : "");
}

static bool find_command(const char *name, struct hf_options *out, struct hf_error *err)
{
    out->command = hf_command_find(name);
    const char *nearest = out->command ? NULL : hf_command_nearest(name);
    if (nearest)
        return hf_error_set(err, HF_INVALID_REQUEST, "there is no command %.60s; did you mean %s?", name, nearest);
    if (!out->command)
        return hf_error_set(err, HF_INVALID_REQUEST, "there is no command %.60s; holdfast help lists them", name);
    return true;
}

static bool check_arguments(const struct hf_options *options, struct hf_error *err)
{
    const struct hf_command *command = options->command;
    size_t most = 0;
    for (; most < HF_ARGUMENTS_MAX && command->arguments[most].name; most++)
        if (most >= options->argument_count && !command->arguments[most].optional)
            return hf_error_set(err, HF_INVALID_REQUEST, "%s needs %s; see holdfast help %s", command->name,
                                command->arguments[most].name, command->name);
    if (options->argument_count > most)
        return hf_error_set(err, HF_INVALID_REQUEST, "%s does not take %.80s; see holdfast help %s", command->name,
                            options->arguments[most], command->name);
    return true;
}

/* JSON holds no other bytes: a name that is left out of a request because of them would make it mean more than was
 * said. */
static bool check_texts(const struct hf_options *options, struct hf_error *err)
{
    for (size_t i = 0; i < options->given_count; i++)
        if (!is_text(options->given[i].value, options->given[i].option->complete))
            return hf_error_set(err, HF_INVALID_REQUEST, "the value of --%s is not UTF-8",
                                options->given[i].option->name);
    for (size_t i = 0; options->command && i < options->argument_count && i < HF_ARGUMENTS_MAX; i++)
        if (!is_text(options->arguments[i], options->command->arguments[i].complete))
            return hf_error_set(err, HF_INVALID_REQUEST, "%s is not UTF-8", options->command->arguments[i].name);
    return true;
}

/* A file may have any name. */
static bool is_text(const char *value, const char *complete)
{
    if (!value || (complete && strcmp(complete, "@file") == 0))
        return true;
    size_t left = strlen(value), character;
    for (const unsigned char *at = (const unsigned char *)value; left > 0; at += character, left -= character) {
        character = hf_utf8_character_bytes(at, left);
        if (character == 0)
            return false;
    }
    return true;
}

static void check_known(const struct hf_options *options, const char *name)
{
    for (const struct hf_option *option = hf_global_options; option->name; option++)
        if (strcmp(option->name, name) == 0)
            return;
    for (size_t i = 0; options->command && i < HF_OPTIONS_MAX && options->command->options[i].name; i++)
        if (strcmp(options->command->options[i].name, name) == 0)
            return;
    HF_ASSERT(!"an option that no table has");
}
