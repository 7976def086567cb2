/* The steps of loading a chain, apart: verification reports on each. Private to repository/. */
#ifndef HF_REPOSITORY_CHAIN_H
#define HF_REPOSITORY_CHAIN_H

#include "repository/snapshot_file.h"

/* Loads and overlays the manifests; the root hash is not checked yet. *own_read_out (NULL: not wanted) tells, also on
 * failure, whether the snapshot's own manifest is sound. */
HF_MUST_USE bool hf_chain_gather(struct hf_chain **out, struct hf_repository *repository, const char *system,
                                 const char *id, bool *own_read_out, struct hf_error *err);
HF_MUST_USE bool hf_chain_check_root(const struct hf_chain *chain, struct hf_error *err);

/* Finds the blob record of a present entry and checks that it says what the entry says. The file is borrowed until
 * the next call on the chain; the caller is the chain's only thread. */
HF_MUST_USE bool hf_chain_find_record(struct hf_chain *chain, const struct hf_manifest_entry *entry,
                                      struct hf_snapshot_file **file_out, struct hf_format_record *record_out,
                                      struct hf_error *err);

#endif
