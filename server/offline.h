/* Commands on snapshot files without a server and without a database: they read, and write nothing but what extract is
 * asked for. argv[0] is the command's name. Exit codes: 0 sound, 1 damage was found, 2 wrong usage, 3 something could
 * not be read or written, or a key is not at hand. */
#ifndef HF_SERVER_OFFLINE_H
#define HF_SERVER_OFFLINE_H

#include "core/error.h"
#include "repository/repository.h"

enum { HF_OFFLINE_SOUND = 0, HF_OFFLINE_DAMAGED = 1, HF_OFFLINE_USAGE = 2, HF_OFFLINE_UNREADABLE = 3 };

int hf_offline_verify(int argc, char *argv[]);
int hf_offline_extract(int argc, char *argv[]); /* extract.c */

/* ---- what both share; not for others ---- */

#define HF_OFFLINE_COMPONENTS_MAX 1024

struct hf_offline_options {
    const char *path; /* the one argument that is no option */
    const char *encryption_key_file, *public_key, *backup_directory, *incremental_directory, *output;
    const char *components[HF_OFFLINE_COMPONENTS_MAX];
    int component_count;
    bool json, salvage, require_signatures;
};

/* Options of the commands that have them; says on stderr what is wrong. */
HF_MUST_USE bool hf_offline_read_options(int argc, char *argv[], struct hf_offline_options *out);

/* Says on stderr what is wrong with the options about signatures. */
HF_MUST_USE bool hf_offline_check_signing(const struct hf_offline_options *options);

/* Where snapshot files are, found from the path of one of them or of a directory. */
struct hf_offline_place {
    struct hf_repository *repository;
    struct hf_keys *keys;
    char system[HF_NAME_MAX + 1];    /* "": all of them */
    char id[HF_SNAPSHOT_ID_MAX + 1]; /* "": all of them */
};

/* HF_NOT_FOUND, HF_INVALID_REQUEST (a file that is no snapshot file by its name), HF_CONFIG (keys), HF_IO. */
HF_MUST_USE bool hf_offline_open(struct hf_offline_place *out, const struct hf_offline_options *options,
                                 struct hf_error *err);
void hf_offline_close(struct hf_offline_place *place);

#endif
