/* Settings: one row each, from which parsing, defaults, range checks, --help, the example file and the documentation
 * are made. Flags win over the environment, the environment over the file, the file over the default. */
#ifndef HF_CORE_CONFIG_H
#define HF_CORE_CONFIG_H

#include "core/buf.h"
#include "core/error.h"
#include "core/log.h"

#include <stdint.h>

struct hf_config {
    char *listen;       /* "127.0.0.1:8080"; "[::1]:8080" for IPv6; port 0 takes any free one */
    char *database_url; /* libpq string or URL; NULL: SQLite below the data directory. Secret: never logged */
    char *data_directory;
    char *backup_directory;      /* NULL until hf_config_load fills the default below data_directory */
    char *incremental_directory; /* likewise */
    char *tokens_file;           /* NULL: no tokens; then only loopback may be listened on */
    int64_t backup_interval_ms;
    int64_t incremental_interval_ms;
    int64_t max_retention_hours;
    int64_t anchor_interval_ms; /* 0: every full is self-contained */
    int64_t history_ms;
    int64_t history_bytes_max;
    int64_t recovery_max_age_ms;
    int64_t recovery_timeout_ms;  /* how long a recovery waits for the reports of its components; 0: for ever */
    bool enable_state_validation; /* verify every snapshot right after it is written */
    bool validate_on_restore;
    char *encryption_key_file;      /* NULL: snapshot files are not encrypted */
    char *signing_key_file;         /* NULL: snapshots are not signed */
    char *trusted_keys_file;        /* NULL: only signatures of the own signing key are known */
    bool require_signatures;        /* what is not signed with a trusted key is not restored */
    char *mirror_directory;         /* NULL: no second place for snapshot files */
    int64_t scrub_interval_ms;      /* 0: never */
    int64_t scrub_bytes_per_second; /* what a scrub reads at most */
    int64_t drill_interval_ms;      /* 0: never */
    int64_t import_bytes_max;       /* of one archive */
    int64_t state_bytes_max;
    int64_t batch_bytes_max; /* a whole batch body */
    int64_t cache_bytes;
    int64_t inflight_bytes_max; /* bodies held for requests under way; past it 503 */
    int64_t queue_jobs_max;     /* writes waiting for the committer; past it 503 */
    int64_t connections_max;
    int64_t streams_max; /* of events, open at the same time; past it 503 */
    int64_t stream_heartbeat_ms;
    int64_t request_timeout_ms; /* idle connection and slow client */
    int64_t store_timeout_ms;   /* one database call */
    int64_t loops;              /* 0: one per two processors, at most 8 */
    int64_t workers;
    int64_t tasks;     /* requests that may take long, worked on at the same time */
    int64_t transfers; /* archives that are sent or received at the same time */
    enum hf_log_level log_level;
    char *log_format; /* "auto" | "json" | "plain" */
};

/* One row of the table. */
enum hf_setting_type {
    HF_SETTING_TEXT,
    HF_SETTING_ADDRESS,  /* text that hf_config_listen_split accepts */
    HF_SETTING_DATABASE, /* text that looks like a URL or a keyword string of libpq */
    HF_SETTING_CHOICE,   /* text that is one of the words of allowed, which are separated by '|' */
    HF_SETTING_INT,
    HF_SETTING_BOOL,
    HF_SETTING_LEVEL
};
struct hf_setting {
    const char *environment; /* PERSISTENCE_BACKUP_INTERVAL */
    const char *file_key;    /* backupInterval */
    const char *flag;        /* --backup-interval */
    enum hf_setting_type type;
    size_t offset;        /* of the field in struct hf_config */
    const char *fallback; /* default as text; NULL: none */
    int64_t min, max;     /* HF_SETTING_INT */
    const char *unit;     /* "ms", "hours", "bytes", "" */
    const char *allowed;  /* said to the operator when refused; for INT made from min, max, unit */
    bool secret;
    const char *help;
};
const struct hf_setting *hf_settings(int *count_out);

/* Reads --config FILE (JSON object), the environment (DATABASE_URL, else POSTGRES_URL, for the database) and flags
 * ("--flag value" or "--flag=value"). The first wrong value is refused: HF_CONFIG names the setting as the user gave
 * it, the value (not if secret) and what is allowed; unknown keys and flags are refused with the nearest known one.
 * INT accepts plain digits, and for bytes the suffixes KiB MiB GiB. argv[0] is skipped. */
HF_MUST_USE bool hf_config_load(struct hf_config *out, int argc, char *const argv[], struct hf_error *err);
void hf_config_done(struct hf_config *config);

void hf_config_write_help(struct hf_buf *out);     /* lines for --help */
void hf_config_write_markdown(struct hf_buf *out); /* docs/configuration.md */
void hf_config_write_example(struct hf_buf *out);  /* a config file with every default */

/* host and port of ->listen; port 0..65535. */
HF_MUST_USE bool hf_config_listen_split(const char *listen, char host[256], int *port_out, struct hf_error *err);

#endif
