#include "core/config.h"

#include "core/auto.h"
#include "core/json.h"

#include <string.h>

#include "tests/support/check_main.h"

extern char **environ;

/* Forgets every setting that the environment of the test run may hold. */
static void clear_environment(void)
{
    unsetenv("DATABASE_URL");
    unsetenv("POSTGRES_URL");
    for (char **entry = environ; *entry;) {
        HF_AUTO(free) char *name = hf_strndup(*entry, strcspn(*entry, "="));
        if (strncmp(name, "PERSISTENCE_", 12) == 0) {
            unsetenv(name);
            entry = environ;
        } else {
            entry++;
        }
    }
}

/* Loads with up to two words on the command line; NULL ends them. */
static bool load(struct hf_config *config, struct hf_error *err, const char *first, const char *second)
{
    const char *argv[] = {"holdfast-server", first, second, NULL};
    return hf_config_load(config, first ? second ? 3 : 2 : 1, (char *const *)argv, err);
}

static void check_refused(const char *flag, const char *value, const char *expected)
{
    struct hf_config config;
    struct hf_error err = {0};
    ck_assert_msg(!load(&config, &err, flag, value), "%s", flag);
    ck_assert_int_eq(err.code, HF_CONFIG);
    ck_assert_str_eq(err.text, expected);
}

static void check_refused_environment(const char *name, const char *value, const char *expected)
{
    struct hf_config config;
    struct hf_error err = {0};
    setenv(name, value, 1);
    ck_assert_msg(!load(&config, &err, NULL, NULL), "%s=%s", name, value);
    ck_assert_int_eq(err.code, HF_CONFIG);
    ck_assert_str_eq(err.text, expected);
    unsetenv(name);
}

/* Writes a file of the running test's own and returns its path; the caller unlinks and frees it. */
static char *make_file(const char *content)
{
    char *path = hf_strdup("/tmp/hf-config-XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
    return path;
}

static void check_refused_file(const char *content, const char *expected)
{
    struct hf_config config;
    struct hf_error err = {0};
    HF_AUTO(free) char *path = make_file(content);
    bool loaded = load(&config, &err, "--config", path);
    unlink(path);
    ck_assert_msg(!loaded, "%s", content);
    ck_assert_int_eq(err.code, HF_CONFIG);
    HF_AUTO(free) char *whole = hf_format("config file %s%s", path, expected);
    ck_assert_str_eq(err.text, whole);
}

START_TEST(the_defaults_are_those_of_the_documentation)
{
    clear_environment();
    struct hf_config config;
    struct hf_error err;
    ck_assert(load(&config, &err, NULL, NULL));
    ck_assert_str_eq(config.listen, "127.0.0.1:8080");
    ck_assert_ptr_null(config.database_url);
    ck_assert_ptr_null(config.tokens_file);
    ck_assert_str_eq(config.data_directory, "./data");
    ck_assert_str_eq(config.backup_directory, "./data/system-state-backups");
    ck_assert_str_eq(config.incremental_directory, "./data/incremental-state");
    ck_assert_int_eq(config.backup_interval_ms, 3600000);
    ck_assert_int_eq(config.incremental_interval_ms, 300000);
    ck_assert_int_eq(config.max_retention_hours, 168);
    ck_assert_int_eq(config.anchor_interval_ms, 86400000);
    ck_assert_int_eq(config.history_ms, 86400000);
    ck_assert_int_eq(config.history_bytes_max, 10LL << 30);
    ck_assert_int_eq(config.recovery_max_age_ms, 7200000);
    ck_assert(config.enable_state_validation);
    ck_assert(config.validate_on_restore);
    ck_assert_int_eq(config.state_bytes_max, 64 << 20);
    ck_assert_int_eq(config.batch_bytes_max, 64 << 20);
    ck_assert_int_eq(config.cache_bytes, 256 << 20);
    ck_assert_int_eq(config.inflight_bytes_max, 256 << 20);
    ck_assert_int_eq(config.queue_jobs_max, 65536);
    ck_assert_int_eq(config.connections_max, 4096);
    ck_assert_int_eq(config.request_timeout_ms, 30000);
    ck_assert_int_eq(config.store_timeout_ms, 5000);
    ck_assert_int_eq(config.loops, 0);
    ck_assert_int_eq(config.workers, 4);
    ck_assert_int_eq(config.log_level, HF_LOG_INFO);
    ck_assert_str_eq(config.log_format, "auto");
    hf_config_done(&config);
    ck_assert_ptr_null(config.listen);
}
END_TEST

START_TEST(flags_win_over_the_environment_and_that_over_the_file)
{
    clear_environment();
    HF_AUTO(free)
    char *path = make_file("{\"backupInterval\": 1000, \"incrementalInterval\": 1000, \"workers\": 9,"
                           " \"validateOnRestore\": false, \"cacheBytes\": \"2MiB\", \"log\": \"debug\","
                           " \"databaseUrl\": null}");
    setenv("PERSISTENCE_BACKUP_INTERVAL", "2000", 1);
    setenv("PERSISTENCE_INCREMENTAL_INTERVAL", "2000", 1);
    setenv("PERSISTENCE_WORKERS", "", 1);
    struct hf_config config;
    struct hf_error err;
    const char *argv[] = {"holdfast-server", "--backup-interval", "3000", "--config", path, "--data-directory=/d=1"};
    ck_assert_msg(hf_config_load(&config, 6, (char *const *)argv, &err), "%s", err.text);
    unlink(path);
    ck_assert_int_eq(config.backup_interval_ms, 3000);
    ck_assert_int_eq(config.incremental_interval_ms, 2000);
    ck_assert_int_eq(config.workers, 9);
    ck_assert(!config.validate_on_restore);
    ck_assert_int_eq(config.cache_bytes, 2 << 20);
    ck_assert_int_eq(config.log_level, HF_LOG_DEBUG);
    ck_assert_ptr_null(config.database_url);
    ck_assert_str_eq(config.data_directory, "/d=1");
    ck_assert_str_eq(config.backup_directory, "/d=1/system-state-backups");
    hf_config_done(&config);
}
END_TEST

START_TEST(the_database_comes_from_either_name_the_first_one_winning)
{
    clear_environment();
    struct hf_config config;
    struct hf_error err;
    setenv("POSTGRES_URL", "postgres://second", 1);
    setenv("DATABASE_URL", "", 1);
    ck_assert(load(&config, &err, NULL, NULL));
    ck_assert_str_eq(config.database_url, "postgres://second");
    hf_config_done(&config);
    setenv("DATABASE_URL", "postgres://first", 1);
    ck_assert(load(&config, &err, NULL, NULL));
    ck_assert_str_eq(config.database_url, "postgres://first");
    hf_config_done(&config);
    ck_assert(load(&config, &err, "--database-url", "postgres://third"));
    ck_assert_str_eq(config.database_url, "postgres://third");
    hf_config_done(&config);
}
END_TEST

START_TEST(a_value_that_is_not_allowed_is_refused_with_what_is)
{
    clear_environment();
    check_refused_environment("PERSISTENCE_BACKUP_INTERVAL", "12 hours",
                              "PERSISTENCE_BACKUP_INTERVAL: \"12 hours\" is not allowed; give a whole number of ms "
                              "from 100 to 315360000000");
    check_refused_environment("PERSISTENCE_LOG", "verbose",
                              "PERSISTENCE_LOG: \"verbose\" is not allowed; give error|warning|info|debug");
    check_refused("--validate-on-restore", "yes", "--validate-on-restore: \"yes\" is not allowed; give true or false");
    check_refused("--log-format=xml", NULL, "--log-format: \"xml\" is not allowed; give auto|json|plain");
    check_refused("--log-format=auto|json", NULL, "--log-format: \"auto|json\" is not allowed; give auto|json|plain");
    check_refused("--listen", "8080", "--listen: \"8080\" is not allowed; give ADDRESS:PORT");
    check_refused("--workers", "0", "--workers: \"0\" is not allowed; give a whole number from 1 to 256");
    check_refused("--workers", "1KiB", "--workers: \"1KiB\" is not allowed; give a whole number from 1 to 256");
    check_refused("--max-state-bytes", "2GiB",
                  "--max-state-bytes: \"2GiB\" is not allowed; give a whole number of bytes from 1 to 1073741824, or "
                  "with KiB, MiB or GiB as in 64MiB");
    check_refused("--data-directory=", NULL, "--data-directory: \"\" is not allowed; give a path");
}
END_TEST

START_TEST(numbers_are_plain_digits_and_bytes_may_have_a_unit)
{
    clear_environment();
    static const char *const bad[] = {"--cache-bytes=-1",
                                      "--cache-bytes=+1",
                                      "--cache-bytes= 1",
                                      "--cache-bytes=1 MiB",
                                      "--cache-bytes=1MB",
                                      "--cache-bytes=1.5MiB",
                                      "--cache-bytes=MiB",
                                      "--cache-bytes=0x10",
                                      "--cache-bytes=1mib",
                                      "--cache-bytes=99999999999999999999",
                                      "--cache-bytes=999999999999999999GiB"};
    struct hf_config config;
    struct hf_error err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!load(&config, &err, bad[i], NULL), "%s", bad[i]);
    static const struct {
        const char *flag;
        int64_t bytes;
    } good[] = {{"--cache-bytes=0", 0},
                {"--cache-bytes=7", 7},
                {"--cache-bytes=3KiB", 3072},
                {"--cache-bytes=1GiB", 1 << 30}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(load(&config, &err, good[i].flag, NULL), "%s", err.text);
        ck_assert_int_eq(config.cache_bytes, good[i].bytes);
        hf_config_done(&config);
    }
}
END_TEST

#define DATABASE_ALLOWED                                                                                               \
    ": this value is not allowed; give postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or a libpq string such as "      \
    "host=db1 dbname=holdfast"

START_TEST(a_database_that_is_none_is_refused_by_the_name_it_came_under)
{
    static const char *const good[] = {"postgres://u:p@h/d", "postgresql:///d", "host=db1 dbname=d", " dbname = d"};
    clear_environment();
    check_refused_environment("DATABASE_URL", "hunter2", "DATABASE_URL" DATABASE_ALLOWED);
    check_refused_environment("POSTGRES_URL", "mysql://u:hunter2@h/d", "POSTGRES_URL" DATABASE_ALLOWED);
    check_refused("--database-url", "hunter2", "--database-url" DATABASE_ALLOWED);
    check_refused_file("{\"databaseUrl\": \"hunter2\"}", ": databaseUrl" DATABASE_ALLOWED);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct hf_config config;
        struct hf_error err;
        ck_assert_msg(load(&config, &err, "--database-url", good[i]), "%s", err.text);
        ck_assert_str_eq(config.database_url, good[i]);
        hf_config_done(&config);
    }
}
END_TEST

START_TEST(other_json_than_wanted_is_shown_as_it_was_written)
{
    clear_environment();
    check_refused_file("{\"listen\": 8080}", ": listen: 8080 is not allowed; give ADDRESS:PORT");
    check_refused_file("{\"workers\": 1.1}", ": workers: 1.1 is not allowed; give a whole number from 1 to 256");
    check_refused_file("{\"workers\": \"1.1\"}",
                       ": workers: \"1.1\" is not allowed; give a whole number from 1 to 256");
    check_refused_file("{\"workers\": 500}", ": workers: 500 is not allowed; give a whole number from 1 to 256");
    check_refused_file("{\"log\": true}", ": log: true is not allowed; give error|warning|info|debug");
}
END_TEST

START_TEST(unknown_names_are_refused_with_the_nearest_known_one)
{
    clear_environment();
    check_refused_environment("PERSISTENCE_BACKUP_INTERVALL", "1000",
                              "PERSISTENCE_BACKUP_INTERVALL is not a known setting; did you mean "
                              "PERSISTENCE_BACKUP_INTERVAL?");
    check_refused_environment("PERSISTENCE_DATABASE_URL", "postgres://u:hunter2@h",
                              "PERSISTENCE_DATABASE_URL is not a known setting; did you mean DATABASE_URL?");
    check_refused("--liste", "x", "--liste is not a known flag; did you mean --listen?");
    check_refused("--confg=x", NULL, "--confg is not a known flag; did you mean --config?");
    check_refused("--bogus", "1", "--bogus is not a known flag; --help lists them all");
    check_refused_environment("PERSISTENCE_COLOUR", "red",
                              "PERSISTENCE_COLOUR is not a known setting; --help lists them all");
    check_refused("serve", NULL, "\"serve\" is not a flag; settings are given as --listen VALUE");
    check_refused_file("{\"backup_interval\": 1000}",
                       ": backup_interval is not a known setting; did you mean backupInterval?");
}
END_TEST

START_TEST(a_flag_without_its_value_is_refused)
{
    clear_environment();
    check_refused("--listen", NULL, "--listen needs a value, as in --listen VALUE");
    check_refused("--listen", "--workers=3", "--listen needs a value, as in --listen VALUE");
    check_refused("--config", NULL, "--config needs a value, as in --config VALUE");
}
END_TEST

START_TEST(a_config_file_that_cannot_be_used_is_refused_clearly)
{
    clear_environment();
    check_refused("--config", "/nonexistent/holdfast.json",
                  "config file /nonexistent/holdfast.json cannot be read: No such file or directory");
    check_refused("--config=/tmp", NULL, "config file /tmp cannot be read: Is a directory");
    check_refused_file("[1]", ": the file must hold one JSON object");
    check_refused_file("", ": line 1, column 1: the JSON text is empty");
    check_refused_file("{\"workers\": 3, \"workers\": 4}", ": line 1, column 24: duplicate object key");
    check_refused_file("{\"workers\": true}", ": workers: true is not allowed; give a whole number from 1 to 256");
    check_refused_file("{\"workers\": 2.5}", ": workers: 2.5 is not allowed; give a whole number from 1 to 256");
    check_refused_file("{\"dataDirectory\": true}", ": dataDirectory: true is not allowed; give a path");
    check_refused_file("{\"dataDirectory\": \"a\\u0000b\"}",
                       ": dataDirectory: \"a\\u0000b\" is not allowed; give a path");
}
END_TEST

START_TEST(a_secret_value_is_never_shown)
{
    clear_environment();
    check_refused_file("{\"databaseUrl\": [\"postgres://u:hunter2@h\"]}", ": databaseUrl" DATABASE_ALLOWED);
}
END_TEST

START_TEST(a_refused_load_leaves_the_result_untouched)
{
    clear_environment();
    struct hf_config config = {.workers = 77};
    struct hf_error err;
    ck_assert(!load(&config, &err, "--workers", "0"));
    ck_assert_int_eq(config.workers, 77);
    ck_assert_ptr_null(config.listen);
}
END_TEST

START_TEST(the_example_file_loads_and_gives_the_defaults)
{
    clear_environment();
    HF_AUTO(buf) struct hf_buf example;
    hf_buf_init(&example, 65536);
    hf_config_write_example(&example);
    ck_assert(!example.failed);
    HF_AUTO(free) char *path = make_file(example.data);
    struct hf_config config;
    struct hf_error err;
    bool loaded = load(&config, &err, "--config", path);
    unlink(path);
    ck_assert_msg(loaded, "%s", err.text);
    ck_assert_int_eq(config.history_bytes_max, 10LL << 30);
    ck_assert_ptr_null(config.database_url);
    ck_assert_str_eq(config.listen, "127.0.0.1:8080");
    hf_config_done(&config);
}
END_TEST

START_TEST(help_and_documentation_name_every_setting)
{
    HF_AUTO(buf) struct hf_buf help;
    HF_AUTO(buf) struct hf_buf markdown;
    hf_buf_init(&help, 65536);
    hf_buf_init(&markdown, 65536);
    hf_config_write_help(&help);
    hf_config_write_markdown(&markdown);
    int count;
    const struct hf_setting *settings = hf_settings(&count);
    ck_assert_int_gt(count, 0);
    for (int i = 0; i < count; i++) {
        ck_assert_ptr_nonnull(strstr(help.data, settings[i].flag));
        ck_assert_ptr_nonnull(strstr(help.data, settings[i].help));
        HF_AUTO(free)
        char *cells =
            hf_format("\n| `%s` | `%s` | `%s` | ", settings[i].environment, settings[i].file_key, settings[i].flag);
        ck_assert_msg(strstr(markdown.data, cells) != NULL, "%s", cells);
    }
}
END_TEST

START_TEST(names_of_settings_follow_one_rule)
{
    int count;
    const struct hf_setting *settings = hf_settings(&count);
    for (int i = 0; i < count; i++) {
        /* --data-directory from dataDirectory, DATA_DIRECTORY from --data-directory. */
        HF_AUTO(free) char *flag = hf_alloc(2 * strlen(settings[i].file_key) + 3);
        HF_AUTO(free) char *name = hf_alloc(strlen(settings[i].flag) + 1);
        char *end = stpcpy(flag, "--");
        for (const char *c = settings[i].file_key; *c; c++) {
            if (*c >= 'A' && *c <= 'Z')
                *end++ = '-';
            *end++ = (char)(*c | 0x20);
        }
        ck_assert_str_eq(settings[i].flag, flag);
        for (size_t j = 0; settings[i].flag[j + 2]; j++)
            name[j] = settings[i].flag[j + 2] == '-' ? '_' : (char)(settings[i].flag[j + 2] & ~0x20);
        const char *environment = settings[i].environment;
        ck_assert_str_eq(strncmp(environment, "PERSISTENCE_", 12) == 0 ? environment + 12 : environment, name);
    }
}
END_TEST

START_TEST(addresses_are_split_into_host_and_port)
{
    static const struct {
        const char *listen, *host;
        int port;
    } good[] = {{"127.0.0.1:8080", "127.0.0.1", 8080}, {"[::1]:0", "::1", 0}, {"localhost:65535", "localhost", 65535}};
    char host[256];
    int port;
    struct hf_error err;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(hf_config_listen_split(good[i].listen, host, &port, &err), "%s", err.text);
        ck_assert_str_eq(host, good[i].host);
        ck_assert_int_eq(port, good[i].port);
    }
    static const char *const bad[] = {"",         "8080",        ":8080",       "host:",   "host:x",   "host:65536",
                                      "::1:8080", "[::1]",       "[]:80",       "[::1:80", "host:80x", "host:-1",
                                      "ho st:80", "http://h:80", "host:000080", "host: 80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!hf_config_listen_split(bad[i], host, &port, &err), "%s", bad[i]);
        ck_assert_int_eq(err.code, HF_CONFIG);
    }
}
END_TEST

HF_TEST_MAIN("config", the_defaults_are_those_of_the_documentation,
             flags_win_over_the_environment_and_that_over_the_file,
             the_database_comes_from_either_name_the_first_one_winning,
             a_value_that_is_not_allowed_is_refused_with_what_is, numbers_are_plain_digits_and_bytes_may_have_a_unit,
             unknown_names_are_refused_with_the_nearest_known_one,
             a_database_that_is_none_is_refused_by_the_name_it_came_under,
             other_json_than_wanted_is_shown_as_it_was_written, a_flag_without_its_value_is_refused,
             a_config_file_that_cannot_be_used_is_refused_clearly, a_secret_value_is_never_shown,
             a_refused_load_leaves_the_result_untouched, the_example_file_loads_and_gives_the_defaults,
             help_and_documentation_name_every_setting, names_of_settings_follow_one_rule,
             addresses_are_split_into_host_and_port);
