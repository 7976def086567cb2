/* What the lists of several commands have in common. */
#ifndef HF_CLI_LISTS_H
#define HF_CLI_LISTS_H

#include "cli/cli.h"

/* --limit: 0 means all; fallback where it is not given. False: it is no number, and that was said. */
bool hf_limit_read(struct hf_cli *cli, size_t fallback, size_t *out);

/* Says that there may be more than the `most` entries that were shown; nothing where all were asked for. */
void hf_limit_note(struct hf_cli *cli, const json_t *entries, size_t most);

/* {"member": entries}, entries taken. Owns. */
json_t *hf_list_document(const char *member, json_t *entries);

/* Red for "damaged" and "failed", yellow for what is not good either, green for what is, else plain. */
enum hf_style hf_word_style(const char *word);

/* "2026-11-23T01:30:00.123Z" without its milliseconds and letters: "2026-11-23 01:30:00"; "-" for "". */
void hf_when_format(const char *at, char out[32]);

/* A title of a fixed width, so that values stand below each other. */
void hf_title(const struct hf_pen *pen, const char *title);

#endif
