/* The tokens file: read into an immutable table, or added to. Its lines are described in api/auth.h. */
#ifndef HF_API_AUTH_FILE_H
#define HF_API_AUTH_FILE_H

#include "api/auth.h"
#include "core/digest.h"

#include <sys/stat.h>

struct hf_token {
    struct hf_principal principal; /* owns its texts */
    struct hf_hash hash;           /* of the whole token */
};

struct hf_token_table {
    struct hf_token_table *older; /* the owner's list */
    struct hf_token *tokens;      /* by id */
    int count;
};

/* Reads the whole file. NULL: HF_CONFIG names the file, the line and what is wrong with it. seen_out is the file's
 * state as read. Owns: free it with hf_token_table_free. */
struct hf_token_table *hf_token_table_read(const char *path, struct stat *seen_out, struct hf_error *err);
void hf_token_table_free(struct hf_token_table *table);

const struct hf_token *hf_token_table_find(const struct hf_token_table *table, const char *id); /* NULL: unknown */

#endif
