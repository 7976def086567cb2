/* The table of settings and how values get into a configuration. Writing the table out is in config_write.c. */
#include "core/config.h"

#include "core/auto.h"
#include "core/json.h"
#include "core/nearest.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define ENVIRONMENT_PREFIX "PERSISTENCE_"
#define DATABASE_SECOND    "POSTGRES_URL" /* what DATABASE_URL is called in some platforms; read when that is unset */
#define CONFIG_FLAG        "--config"
#define NAME_MAX_BYTES     64
#define VALUE_SHOWN_MAX    120
#define FILE_BYTES_MAX     (1024 * 1024)

#define TEN_YEARS_MS INT64_C(315360000000)
#define GIB          INT64_C(1073741824)
#define TIB          (1024 * GIB)

#define FIELD(name) offsetof(struct hf_config, name)

/* environment, file key, flag, type, field, default, min, max, unit, allowed, secret, help */
static const struct hf_setting settings[] = {
    {"PERSISTENCE_LISTEN", "listen", "--listen", HF_SETTING_ADDRESS, FIELD(listen), "127.0.0.1:8080", 0, 0, "",
     "ADDRESS:PORT", false, "Address and port to listen on; [::1]:8080 for IPv6; port 0 takes any free one."},
    {"DATABASE_URL", "databaseUrl", "--database-url", HF_SETTING_DATABASE, FIELD(database_url), NULL, 0, 0, "",
     "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or a libpq string such as host=db1 dbname=holdfast", true,
     "The PostgreSQL database. Unset: SQLite below the data directory. POSTGRES_URL is read when DATABASE_URL is "
     "unset."},
    {"PERSISTENCE_DATA_DIRECTORY", "dataDirectory", "--data-directory", HF_SETTING_TEXT, FIELD(data_directory),
     "./data", 0, 0, "", "a path", false, "Where the service keeps its files."},
    {"PERSISTENCE_BACKUP_DIRECTORY", "backupDirectory", "--backup-directory", HF_SETTING_TEXT, FIELD(backup_directory),
     NULL, 0, 0, "", "a path", false, "Full snapshot files. Unset: system-state-backups below the data directory."},
    {"PERSISTENCE_INCREMENTAL_DIRECTORY", "incrementalDirectory", "--incremental-directory", HF_SETTING_TEXT,
     FIELD(incremental_directory), NULL, 0, 0, "", "a path", false,
     "Incremental snapshot files. Unset: incremental-state below the data directory."},
    {"PERSISTENCE_TOKENS_FILE", "tokensFile", "--tokens-file", HF_SETTING_TEXT, FIELD(tokens_file), NULL, 0, 0, "",
     "a path", false, "File of access tokens. Unset: no tokens, and only loopback may be listened on."},
    {"PERSISTENCE_BACKUP_INTERVAL", "backupInterval", "--backup-interval", HF_SETTING_INT, FIELD(backup_interval_ms),
     "3600000", 100, TEN_YEARS_MS, "ms", NULL, false, "Time between full snapshots."},
    {"PERSISTENCE_INCREMENTAL_INTERVAL", "incrementalInterval", "--incremental-interval", HF_SETTING_INT,
     FIELD(incremental_interval_ms), "300000", 100, TEN_YEARS_MS, "ms", NULL, false,
     "Time between incremental snapshots."},
    {"PERSISTENCE_MAX_RETENTION", "maxRetention", "--max-retention", HF_SETTING_INT, FIELD(max_retention_hours), "168",
     1, 87600, "hours", NULL, false, "How long snapshots are kept."},
    {"PERSISTENCE_ANCHOR_INTERVAL", "anchorInterval", "--anchor-interval", HF_SETTING_INT, FIELD(anchor_interval_ms),
     "86400000", 0, TEN_YEARS_MS, "ms", NULL, false,
     "Time between self-contained full snapshots. 0: every full snapshot is self-contained."},
    {"PERSISTENCE_HISTORY", "history", "--history", HF_SETTING_INT, FIELD(history_ms), "86400000", 0, TEN_YEARS_MS,
     "ms", NULL, false, "How long older versions stay in the database. The latest one always stays."},
    {"PERSISTENCE_HISTORY_MAX_BYTES", "historyMaxBytes", "--history-max-bytes", HF_SETTING_INT,
     FIELD(history_bytes_max), "10GiB", 0, 1024 * TIB, "bytes", NULL, false,
     "How much older versions may take in the database."},
    {"PERSISTENCE_RECOVERY_MAX_AGE", "recoveryMaxAge", "--recovery-max-age", HF_SETTING_INT, FIELD(recovery_max_age_ms),
     "7200000", 0, TEN_YEARS_MS, "ms", NULL, false, "Snapshots older than this are not restored by themselves."},
    {"PERSISTENCE_RECOVERY_TIMEOUT", "recoveryTimeout", "--recovery-timeout", HF_SETTING_INT,
     FIELD(recovery_timeout_ms), "600000", 0, TEN_YEARS_MS, "ms", NULL, false,
     "How long a recovery waits for the reports of its components before it counts as failed. 0: for ever."},
    {"PERSISTENCE_ENABLE_STATE_VALIDATION", "enableStateValidation", "--enable-state-validation", HF_SETTING_BOOL,
     FIELD(enable_state_validation), "true", 0, 0, "", "true or false", false,
     "Verify every snapshot right after it is written."},
    {"PERSISTENCE_VALIDATE_ON_RESTORE", "validateOnRestore", "--validate-on-restore", HF_SETTING_BOOL,
     FIELD(validate_on_restore), "true", 0, 0, "", "true or false", false, "Verify a snapshot before it is restored."},
    {"PERSISTENCE_SCRUB_INTERVAL", "scrubInterval", "--scrub-interval", HF_SETTING_INT, FIELD(scrub_interval_ms),
     "86400000", 0, TEN_YEARS_MS, "ms", NULL, false,
     "How often every snapshot is read back and validated again, spread over this time. 0: never."},
    {"PERSISTENCE_SCRUB_RATE", "scrubRate", "--scrub-rate", HF_SETTING_INT, FIELD(scrub_bytes_per_second), "32MiB",
     65536, TIB, "bytes", NULL, false, "How much the background validation reads in a second at most."},
    {"PERSISTENCE_DRILL_INTERVAL", "drillInterval", "--drill-interval", HF_SETTING_INT, FIELD(drill_interval_ms),
     "86400000", 0, TEN_YEARS_MS, "ms", NULL, false,
     "How often the newest snapshot of every system is restored into a scratch database, compared and timed. 0: "
     "never."},
    {"PERSISTENCE_MIRROR_DIRECTORY", "mirrorDirectory", "--mirror-directory", HF_SETTING_TEXT, FIELD(mirror_directory),
     NULL, 0, 0, "", "a path", false,
     "A second place, best on another disk, for a copy of every snapshot file. Unset: no mirror."},
    {"PERSISTENCE_ENCRYPTION_KEY_FILE", "encryptionKeyFile", "--encryption-key-file", HF_SETTING_TEXT,
     FIELD(encryption_key_file), NULL, 0, 0, "", "a path", false,
     "File of AES-256 keys, one a line as 64 hex digits: the first encrypts new snapshot files, all decrypt. Unset: "
     "new snapshot files are not encrypted."},
    {"PERSISTENCE_SIGNING_KEY_FILE", "signingKeyFile", "--signing-key-file", HF_SETTING_TEXT, FIELD(signing_key_file),
     NULL, 0, 0, "", "a path", false,
     "Ed25519 private key (PEM) that signs new snapshots. Unset: they are not signed."},
    {"PERSISTENCE_TRUSTED_KEYS_FILE", "trustedKeysFile", "--trusted-keys-file", HF_SETTING_TEXT,
     FIELD(trusted_keys_file), NULL, 0, 0, "", "a path", false,
     "Ed25519 public keys (PEM, one behind the other) whose signatures on snapshots are trusted beside the own key's."},
    {"PERSISTENCE_REQUIRE_SIGNATURES", "requireSignatures", "--require-signatures", HF_SETTING_BOOL,
     FIELD(require_signatures), "false", 0, 0, "", "true or false", false,
     "A snapshot that is not signed with a trusted key counts as damaged, and such an archive is not imported."},
    {"PERSISTENCE_MAX_IMPORT_BYTES", "maxImportBytes", "--max-import-bytes", HF_SETTING_INT, FIELD(import_bytes_max),
     "64GiB", 1, 1024 * TIB, "bytes", NULL, false, "The largest archive that may be imported."},
    {"PERSISTENCE_MAX_STATE_BYTES", "maxStateBytes", "--max-state-bytes", HF_SETTING_INT, FIELD(state_bytes_max),
     "64MiB", 1, GIB, "bytes", NULL, false, "The largest state that may be uploaded."},
    {"PERSISTENCE_MAX_BATCH_BYTES", "maxBatchBytes", "--max-batch-bytes", HF_SETTING_INT, FIELD(batch_bytes_max),
     "64MiB", 1, GIB, "bytes", NULL, false, "The largest body of an upload of many states."},
    {"PERSISTENCE_CACHE_BYTES", "cacheBytes", "--cache-bytes", HF_SETTING_INT, FIELD(cache_bytes), "256MiB", 0, TIB,
     "bytes", NULL, false, "Memory for latest states."},
    {"PERSISTENCE_MAX_INFLIGHT_BYTES", "maxInflightBytes", "--max-inflight-bytes", HF_SETTING_INT,
     FIELD(inflight_bytes_max), "256MiB", 1, TIB, "bytes", NULL, false,
     "Memory for bodies of requests under way; past it requests are refused with 503."},
    {"PERSISTENCE_MAX_QUEUE", "maxQueue", "--max-queue", HF_SETTING_INT, FIELD(queue_jobs_max), "65536", 1, 16777216,
     "", NULL, false, "Writes that may wait for the database; past it requests are refused with 503."},
    {"PERSISTENCE_MAX_CONNECTIONS", "maxConnections", "--max-connections", HF_SETTING_INT, FIELD(connections_max),
     "4096", 1, 1000000, "", NULL, false, "Connections open at the same time."},
    {"PERSISTENCE_MAX_STREAMS", "maxStreams", "--max-streams", HF_SETTING_INT, FIELD(streams_max), "256", 0, 100000, "",
     NULL, false,
     "Streams of events open at the same time, each of them a connection; past it requests for one are "
     "refused with 503."},
    {"PERSISTENCE_STREAM_HEARTBEAT", "streamHeartbeat", "--stream-heartbeat", HF_SETTING_INT,
     FIELD(stream_heartbeat_ms), "15000", 100, 3600000, "ms", NULL, false,
     "How often a stream of events shows that it is alive, also when nothing happens."},
    {"PERSISTENCE_REQUEST_TIMEOUT", "requestTimeout", "--request-timeout", HF_SETTING_INT, FIELD(request_timeout_ms),
     "30000", 100, 3600000, "ms", NULL, false,
     "How long an idle connection, a slow client or an ordinary request may take."},
    {"PERSISTENCE_STORE_TIMEOUT", "storeTimeout", "--store-timeout", HF_SETTING_INT, FIELD(store_timeout_ms), "5000",
     100, 600000, "ms", NULL, false, "How long one call of the database may take."},
    {"PERSISTENCE_LOOPS", "loops", "--loops", HF_SETTING_INT, FIELD(loops), "0", 0, 64, "", NULL, false,
     "Threads that serve connections. 0: one per two processors, at most 8."},
    {"PERSISTENCE_WORKERS", "workers", "--workers", HF_SETTING_INT, FIELD(workers), "4", 1, 256, "", NULL, false,
     "Threads for lists, history, status and large bodies, each with a database session."},
    {"PERSISTENCE_TASKS", "tasks", "--tasks", HF_SETTING_INT, FIELD(tasks), "4", 1, 256, "", NULL, false,
     "Snapshots, restores, validations, drills, forks and deletions worked on at the same time; twice as many may "
     "wait, past it requests are refused with 503."},
    {"PERSISTENCE_TRANSFERS", "transfers", "--transfers", HF_SETTING_INT, FIELD(transfers), "4", 1, 256, "", NULL,
     false, "Archives that may be downloaded or imported at the same time; past it requests are refused with 503."},
    {"PERSISTENCE_LOG", "log", "--log", HF_SETTING_LEVEL, FIELD(log_level), "info", 0, 0, "",
     "error|warning|info|debug", false, "How much is logged."},
    {"PERSISTENCE_LOG_FORMAT", "logFormat", "--log-format", HF_SETTING_CHOICE, FIELD(log_format), "auto", 0, 0, "",
     "auto|json|plain", false, "Form of the log. auto: plain on a terminal, JSON lines elsewhere."},
};
#define SETTING_COUNT ((int)(sizeof(settings) / sizeof(settings[0])))

/* The names one setting has, by where it is given. */
enum name_kind { NAME_ENVIRONMENT, NAME_FILE_KEY, NAME_FLAG };

extern char **environ;

static void fill_defaults(struct hf_config *config);
static void fill_directories(struct hf_config *config);
static bool load_sources(struct hf_config *config, int argc, char *const argv[], struct hf_error *err);
static bool find_config_file(int argc, char *const argv[], const char **path_out, struct hf_error *err);
static bool load_file(struct hf_config *config, const char *path, struct hf_error *err);
static bool read_file(const char *path, struct hf_buf *out, struct hf_error *err);
static bool load_member(struct hf_config *config, const char *key, const json_t *value, struct hf_error *err);
static char *shortest_real(double value);
static bool load_environment(struct hf_config *config, struct hf_error *err);
static bool refuse_unknown_environment(struct hf_error *err);
static bool load_flags(struct hf_config *config, int argc, char *const argv[], struct hf_error *err);
static bool take_flag(int argc, char *const argv[], int *index, char name[NAME_MAX_BYTES], const char **value_out,
                      struct hf_error *err);
static bool set_value(struct hf_config *config, const struct hf_setting *setting, const char *name, const char *value,
                      struct hf_error *err);
static bool set_text(struct hf_config *config, const struct hf_setting *setting, const char *value);
static bool parse_int(const struct hf_setting *setting, const char *text, int64_t *out);
static bool is_database(const char *value);
static bool is_choice(const char *allowed, const char *value);
static bool refuse_value(const struct hf_setting *setting, const char *name, const char *value, struct hf_error *err);
static bool refuse_shown(const struct hf_setting *setting, const char *name, const char *shown, struct hf_error *err);
static const char *name_of(const struct hf_setting *setting, enum name_kind kind);
static const struct hf_setting *find_setting(const char *name, enum name_kind kind);
static bool refuse_unknown(const char *name, enum name_kind kind, struct hf_error *err);

const struct hf_setting *hf_settings(int *count_out)
{
    *count_out = SETTING_COUNT;
    return settings;
}

bool hf_config_load(struct hf_config *out, int argc, char *const argv[], struct hf_error *err)
{
    struct hf_config config = {0};
    fill_defaults(&config);
    if (!load_sources(&config, argc, argv, err)) {
        hf_config_done(&config);
        return false;
    }
    fill_directories(&config);
    *out = config;
    return true;
}

void hf_config_done(struct hf_config *config)
{
    for (int i = 0; i < SETTING_COUNT; i++) {
        enum hf_setting_type type = settings[i].type;
        if (type == HF_SETTING_TEXT || type == HF_SETTING_ADDRESS || type == HF_SETTING_DATABASE ||
            type == HF_SETTING_CHOICE)
            free(*(char **)((char *)config + settings[i].offset));
    }
    *config = (struct hf_config){0};
}

bool hf_config_listen_split(const char *listen, char host[256], int *port_out, struct hf_error *err)
{
    const char *colon = strrchr(listen, ':');
    const char *start = listen, *end = colon;
    if (colon && *listen == '[' && colon > listen && colon[-1] == ']') {
        start = listen + 1;
        end = colon - 1;
    } else if (colon && memchr(listen, ':', (size_t)(colon - listen))) {
        return hf_error_set(err, HF_CONFIG, "\"%.120s\": an IPv6 address needs brackets, as in [::1]:8080", listen);
    }
    size_t host_bytes = colon && end > start ? (size_t)(end - start) : 0;
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    bool port_ok = digits >= 1 && digits <= 5 && colon[1 + digits] == '\0' && strtol(colon + 1, NULL, 10) <= 65535;
    if (host_bytes == 0 || host_bytes > 255 || !port_ok || strcspn(listen, " \t/") != strlen(listen))
        return hf_error_set(err, HF_CONFIG,
                            "\"%.120s\" is not an address to listen on; give ADDRESS:PORT with a port from 0 to 65535, "
                            "as in 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
                            listen);
    memcpy(host, start, host_bytes);
    host[host_bytes] = '\0';
    *port_out = (int)strtol(colon + 1, NULL, 10);
    return true;
}

static void fill_defaults(struct hf_config *config)
{
    struct hf_error err;
    for (int i = 0; i < SETTING_COUNT; i++)
        if (settings[i].fallback)
            HF_ASSERT(set_value(config, &settings[i], settings[i].environment, settings[i].fallback, &err));
}

static void fill_directories(struct hf_config *config)
{
    if (!config->backup_directory)
        config->backup_directory = hf_format("%s/system-state-backups", config->data_directory);
    if (!config->incremental_directory)
        config->incremental_directory = hf_format("%s/incremental-state", config->data_directory);
}

/* From the weakest to the strongest; each value is checked, also one that a stronger source replaces. */
static bool load_sources(struct hf_config *config, int argc, char *const argv[], struct hf_error *err)
{
    const char *path = NULL;
    return find_config_file(argc, argv, &path, err) && (!path || load_file(config, path, err)) &&
           load_environment(config, err) && load_flags(config, argc, argv, err);
}

static bool find_config_file(int argc, char *const argv[], const char **path_out, struct hf_error *err)
{
    for (int i = 1; i < argc; i++) {
        char name[NAME_MAX_BYTES];
        const char *value;
        if (!take_flag(argc, argv, &i, name, &value, err))
            return false;
        if (strcmp(name, CONFIG_FLAG) == 0)
            *path_out = value;
    }
    return true;
}

static bool load_file(struct hf_config *config, const char *path, struct hf_error *err)
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, FILE_BYTES_MAX);
    if (!read_file(path, &text, err))
        return false;
    HF_AUTO(json) json_t *root = hf_json_parse(text.data ? text.data : "", text.bytes, err);
    if (!root) {
        err->code = HF_CONFIG;
        return hf_error_wrap(err, "config file %.200s", path);
    }
    if (!json_is_object(root))
        return hf_error_set(err, HF_CONFIG, "config file %.200s: the file must hold one JSON object", path);
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (!load_member(config, key, value, err))
            return hf_error_wrap(err, "config file %.200s", path);
    }
    return true;
}

static bool read_file(const char *path, struct hf_buf *out, struct hf_error *err)
{
    FILE *file = fopen(path, "re");
    bool ok = file != NULL;
    char chunk[4096];
    size_t bytes = 1;
    while (ok && bytes > 0) {
        bytes = fread(chunk, 1, sizeof(chunk), file);
        ok = !ferror(file) && hf_buf_add(out, chunk, bytes);
    }
    int error_number = errno;
    if (file)
        fclose(file);
    if (ok)
        return true;
    if (out->failed)
        return hf_error_set(err, HF_CONFIG, "config file %.200s is larger than %d bytes", path, FILE_BYTES_MAX);
    hf_error_errno(err, error_number, "config file %.200s cannot be read", path);
    err->code = HF_CONFIG;
    return false;
}

/* A string is read like any other source; numbers and booleans may also stand unquoted; null is unset. */
static bool load_member(struct hf_config *config, const char *key, const json_t *value, struct hf_error *err)
{
    const struct hf_setting *setting = find_setting(key, NAME_FILE_KEY);
    if (!setting)
        return refuse_unknown(key, NAME_FILE_KEY, err);
    if (json_is_null(value))
        return true;
    if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
        return set_value(config, setting, key, json_string_value(value), err);
    HF_AUTO(free) char *text = json_is_real(value) ? shortest_real(json_real_value(value)) : hf_json_text(value);
    bool fits = (setting->type == HF_SETTING_INT && json_is_integer(value)) ||
                (setting->type == HF_SETTING_BOOL && json_is_boolean(value));
    return (fits && set_value(config, setting, key, text, err)) || refuse_shown(setting, key, text, err);
}

/* 0.1 as 0.1, not with the seventeen digits that a number may need: owns. */
static char *shortest_real(double value)
{
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return hf_strdup(text);
}

static bool load_environment(struct hf_config *config, struct hf_error *err)
{
    if (!refuse_unknown_environment(err))
        return false;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *name = settings[i].environment;
        const char *value = getenv(name);
        if ((!value || !*value) && settings[i].offset == FIELD(database_url)) {
            name = DATABASE_SECOND;
            value = getenv(name);
        }
        if (value && *value && !set_value(config, &settings[i], name, value, err))
            return false;
    }
    return true;
}

static bool refuse_unknown_environment(struct hf_error *err)
{
    for (char **entry = environ; entry && *entry; entry++) {
        if (strncmp(*entry, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX)) != 0)
            continue;
        HF_AUTO(free) char *name = hf_strndup(*entry, strcspn(*entry, "="));
        if (!find_setting(name, NAME_ENVIRONMENT))
            return refuse_unknown(name, NAME_ENVIRONMENT, err);
    }
    return true;
}

static bool load_flags(struct hf_config *config, int argc, char *const argv[], struct hf_error *err)
{
    for (int i = 1; i < argc; i++) {
        char name[NAME_MAX_BYTES];
        const char *value;
        if (!take_flag(argc, argv, &i, name, &value, err))
            return false;
        const struct hf_setting *setting = find_setting(name, NAME_FLAG);
        if (setting && !set_value(config, setting, name, value, err))
            return false;
    }
    return true;
}

/* Reads the flag at *index, "--name value" or "--name=value", and moves *index to its last word. */
static bool take_flag(int argc, char *const argv[], int *index, char name[NAME_MAX_BYTES], const char **value_out,
                      struct hf_error *err)
{
    const char *word = argv[*index];
    if (strncmp(word, "--", 2) != 0)
        return hf_error_set(err, HF_CONFIG, "\"%.120s\" is not a flag; settings are given as --listen VALUE", word);
    size_t name_bytes = strcspn(word, "=");
    snprintf(name, NAME_MAX_BYTES, "%.*s", name_bytes < NAME_MAX_BYTES ? (int)name_bytes : NAME_MAX_BYTES - 1, word);
    if (strcmp(name, CONFIG_FLAG) != 0 && !find_setting(name, NAME_FLAG))
        return refuse_unknown(name, NAME_FLAG, err);
    if (word[name_bytes] == '=') {
        *value_out = word + name_bytes + 1;
        return true;
    }
    if (*index + 1 >= argc || strncmp(argv[*index + 1], "--", 2) == 0)
        return hf_error_set(err, HF_CONFIG, "%s needs a value, as in %s VALUE", name, name);
    *value_out = argv[++*index];
    return true;
}

static bool set_value(struct hf_config *config, const struct hf_setting *setting, const char *name, const char *value,
                      struct hf_error *err)
{
    void *field = (char *)config + setting->offset;
    struct hf_error ignored;
    char host[256];
    int port;
    bool ok = false;
    switch (setting->type) {
    case HF_SETTING_TEXT:
        ok = *value && set_text(config, setting, value);
        break;
    case HF_SETTING_ADDRESS:
        ok = hf_config_listen_split(value, host, &port, &ignored) && set_text(config, setting, value);
        break;
    case HF_SETTING_DATABASE:
        ok = is_database(value) && set_text(config, setting, value);
        break;
    case HF_SETTING_CHOICE:
        ok = is_choice(setting->allowed, value) && set_text(config, setting, value);
        break;
    case HF_SETTING_INT:
        ok = parse_int(setting, value, field);
        break;
    case HF_SETTING_BOOL:
        ok = strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
        if (ok)
            *(bool *)field = *value == 't';
        break;
    case HF_SETTING_LEVEL:
        ok = hf_log_level_parse(value, field);
        break;
    }
    return ok ? true : refuse_value(setting, name, value, err);
}

static bool set_text(struct hf_config *config, const struct hf_setting *setting, const char *value)
{
    char **field = (char **)((char *)config + setting->offset);
    free(*field);
    *field = hf_strdup(value);
    return true;
}

static bool parse_int(const struct hf_setting *setting, const char *text, int64_t *out)
{
    static const struct {
        const char *suffix;
        int64_t factor;
    } suffixes[] = {{"", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}, {"GiB", GIB}};
    const int suffix_count = strcmp(setting->unit, "bytes") == 0 ? 4 : 1;
    size_t digits = strspn(text, "0123456789");
    if (digits < 1 || digits > 18)
        return false;
    int64_t number = strtoll(text, NULL, 10);
    for (int i = 0; i < suffix_count; i++) {
        int64_t factor = suffixes[i].factor;
        if (strcmp(text + digits, suffixes[i].suffix) != 0 || number > INT64_MAX / factor)
            continue;
        number *= factor;
        if (number < setting->min || number > setting->max)
            return false;
        *out = number;
        return true;
    }
    return false;
}

/* Only its form: libpq would show a malformed one in its message, and a password may be in it. */
static bool is_database(const char *value)
{
    static const char *const schemes[] = {"postgresql://", "postgres://"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (strncmp(value, schemes[i], strlen(schemes[i])) == 0)
            return true;
    value += strspn(value, " ");
    size_t keyword = strspn(value, "abcdefghijklmnopqrstuvwxyz_");
    return keyword > 0 && value[keyword + strspn(value + keyword, " ")] == '=';
}

static bool is_choice(const char *allowed, const char *value)
{
    size_t bytes = strlen(value);
    for (const char *word = allowed; bytes > 0; word++) {
        size_t word_bytes = strcspn(word, "|");
        if (word_bytes == bytes && strncmp(word, value, bytes) == 0)
            return true;
        word += word_bytes;
        if (*word == '\0')
            break;
    }
    return false;
}

static bool refuse_value(const struct hf_setting *setting, const char *name, const char *value, struct hf_error *err)
{
    char shown[VALUE_SHOWN_MAX + 8];
    snprintf(shown, sizeof(shown), "\"%.*s\"", VALUE_SHOWN_MAX, value);
    return refuse_shown(setting, name, shown, err);
}

/* The value as it is to be shown: a text in quotes, other JSON as it is. */
static bool refuse_shown(const struct hf_setting *setting, const char *name, const char *shown, struct hf_error *err)
{
    char what[VALUE_SHOWN_MAX + 8];
    snprintf(what, sizeof(what), "%s", setting->secret ? "this value" : shown);
    if (setting->type != HF_SETTING_INT)
        return hf_error_set(err, HF_CONFIG, "%s: %s is not allowed; give %s", name, what, setting->allowed);
    bool is_bytes = strcmp(setting->unit, "bytes") == 0;
    return hf_error_set(err, HF_CONFIG, "%s: %s is not allowed; give a whole number%s%s from %lld to %lld%s", name,
                        what, *setting->unit ? " of " : "", setting->unit, (long long)setting->min,
                        (long long)setting->max, is_bytes ? ", or with KiB, MiB or GiB as in 64MiB" : "");
}

static const char *name_of(const struct hf_setting *setting, enum name_kind kind)
{
    return kind == NAME_ENVIRONMENT ? setting->environment : kind == NAME_FLAG ? setting->flag : setting->file_key;
}

static const struct hf_setting *find_setting(const char *name, enum name_kind kind)
{
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strcmp(name, name_of(&settings[i], kind)) == 0)
            return &settings[i];
    return NULL;
}

/* The nearest known name is told when it may be meant.
 * Names are compared without the prefix that all environment names share: it would make any two look alike. */
static bool refuse_unknown(const char *name, enum name_kind kind, struct hf_error *err)
{
    size_t prefix = strlen(ENVIRONMENT_PREFIX);
    const char *given = strncmp(name, ENVIRONMENT_PREFIX, prefix) == 0 ? name + prefix : name;
    const char *nearest = kind == NAME_FLAG ? CONFIG_FLAG : NULL;
    int distance_min = nearest ? hf_edit_distance(given, nearest) : INT32_MAX;
    for (int i = 0; i < SETTING_COUNT; i++) {
        const char *known = name_of(&settings[i], kind);
        int distance =
            hf_edit_distance(given, strncmp(known, ENVIRONMENT_PREFIX, prefix) == 0 ? known + prefix : known);
        if (distance < distance_min) {
            distance_min = distance;
            nearest = known;
        }
    }
    const char *what = kind == NAME_FLAG ? "flag" : "setting";
    if (!hf_is_near(given, distance_min))
        return hf_error_set(err, HF_CONFIG, "%.120s is not a known %s; --help lists them all", name, what);
    return hf_error_set(err, HF_CONFIG, "%.120s is not a known %s; did you mean %s?", name, what, nearest);
}
