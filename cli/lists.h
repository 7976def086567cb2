/* What the lists of several commands have in common. */
#ifndef HF_CLI_LISTS_H
#define HF_CLI_LISTS_H

#include "cli/cli.h"

/* --limit: 0 means all; fallback where it is not given. False: it is no number, and that was said. */
bool hf_limit_read(struct hf_cli *cli, size_t fallback, size_t *out);

struct hf_listing {
    const char *path;   /* of the resource, in the system */
    const char *member; /* of the answer, and what the list is called */
    const char *of;     /* whose list it is */
    size_t most;        /* 0: all */
    bool says_most;     /* a note, where there may be more */
    const char *none;   /* a note in the place of an empty table; NULL: the empty table */
    void (*write)(const struct hf_pen *pen, const json_t *entries);
};

/* Asks for a list and writes it, as a table or as JSON. Returns the exit status; a failure was said. */
int hf_listing_run(struct hf_cli *cli, const struct hf_listing *listing);

/* {"member": entries}, entries taken. Owns. */
json_t *hf_list_document(const char *member, json_t *entries);

/* Red for "damaged" and "failed", yellow for what is not good either, green for what is, else plain. */
enum hf_style hf_word_style(const char *word);

/* "2026-11-23T01:30:00.123Z" without its milliseconds and letters: "2026-11-23 01:30:00"; "-" for "". */
void hf_when_format(const char *at, char out[32]);

/* A title of a fixed width, so that values stand below each other. */
void hf_title(const struct hf_pen *pen, const char *title);

#endif
