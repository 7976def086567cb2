#include "cli/lists.h"

#include <string.h>

#define TITLE_WIDTH 16

bool hf_limit_read(struct hf_cli *cli, size_t fallback, size_t *out)
{
    const char *text = hf_option_text(&cli->options, "limit");
    int64_t value;
    *out = fallback;
    if (!text)
        return true;
    if (!hf_number_read(text, &value) || value > 100000000) {
        hf_cli_usage(cli, "--limit must be a whole number, 0 for all");
        return false;
    }
    *out = (size_t)value;
    return true;
}

int hf_listing_run(struct hf_cli *cli, const struct hf_listing *listing)
{
    struct holdfast_error err;
    json_t *entries = hf_cli_list(cli, listing->path, listing->member, listing->most, &err);
    if (!entries)
        return hf_cli_fail(cli, &err, "cannot list the %s of %s", listing->member, listing->of);
    HF_AUTO(json) json_t *document = hf_list_document(listing->member, entries);
    if (cli->json)
        return hf_cli_json(cli, document);
    if (listing->none && json_array_size(entries) == 0)
        hf_cli_note(cli, "%s", listing->none);
    else
        listing->write(&cli->out, entries);
    if (listing->says_most && listing->most > 0 && json_array_size(entries) >= listing->most)
        hf_cli_note(cli, "Only the newest %zu are shown; --limit 0 shows all.", listing->most);
    return HF_EXIT_OK;
}

json_t *hf_list_document(const char *member, json_t *entries)
{
    json_t *document = json_object();
    HF_ASSERT(json_object_set_new(document, member, entries) == 0);
    return document;
}

enum hf_style hf_word_style(const char *word)
{
    static const struct {
        const char *word;
        enum hf_style style;
    } words[] = {
        {"damaged", HF_RED},    {"failed", HF_RED},     {"error", HF_RED},      {"stale", HF_YELLOW},
        {"warning", HF_YELLOW}, {"pending", HF_YELLOW}, {"healed", HF_YELLOW},  {"inconclusive", HF_YELLOW},
        {"fresh", HF_YELLOW},   {"removed", HF_RED},    {"changed", HF_YELLOW}, {"added", HF_GREEN},
        {"valid", HF_GREEN},    {"healthy", HF_GREEN},  {"passed", HF_GREEN},   {"completed", HF_GREEN},
        {"applied", HF_GREEN},  {"restored", HF_GREEN},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].word, word) == 0)
            return words[i].style;
    return HF_PLAIN;
}

void hf_when_format(const char *at, char out[32])
{
    if (strlen(at) < 19) {
        snprintf(out, 32, "-");
        return;
    }
    snprintf(out, 32, "%.10s %.8s", at, at + 11);
}

void hf_title(const struct hf_pen *pen, const char *title)
{
    size_t used = strlen(title) + 1;
    hf_pen_print(pen, HF_DIM, "%s:", title);
    hf_pen_spaces(pen, used < TITLE_WIDTH ? TITLE_WIDTH - used : 1);
}
