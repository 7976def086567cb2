/* components, history. */
#include "cli/lists.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/clock.h"

#include <inttypes.h>
#include <string.h>

static void write_components(const struct hf_pen *pen, const json_t *components);
static void write_versions(const struct hf_pen *pen, const json_t *versions);

int hf_run_components(struct hf_cli *cli)
{
    size_t most;
    const char *kind = hf_option_text(&cli->options, "kind"), *health = hf_option_text(&cli->options, "health");
    if (!hf_limit_read(cli, 0, &most))
        return HF_EXIT_USAGE;
    if (health && strcmp(health, "healthy") != 0 && strcmp(health, "stale") != 0 && strcmp(health, "failed") != 0 &&
        strcmp(health, "unknown") != 0)
        return hf_cli_usage(cli, "--health must be healthy, stale, failed or unknown");
    HF_AUTO(free) char *kind_escaped = hf_escape(kind ? kind : "");
    HF_AUTO(free) char *health_escaped = hf_escape(health ? health : "");
    HF_AUTO(free)
    char *path = hf_format("components%s%s%s%s%s", kind || health ? "?" : "", kind ? "kind=" : "", kind_escaped,
                           health ? kind ? "&health=" : "health=" : "", health_escaped);
    HF_AUTO(free) char *none = hf_format("%s has no such component.", cli->settings.system);
    return hf_listing_run(cli, &(struct hf_listing){.path = path,
                                                    .member = "components",
                                                    .of = cli->settings.system,
                                                    .most = most,
                                                    .none = none,
                                                    .write = write_components});
}

int hf_run_history(struct hf_cli *cli)
{
    size_t most;
    const char *component = hf_argument(&cli->options, 0);
    if (!hf_limit_read(cli, 20, &most))
        return HF_EXIT_USAGE;
    HF_AUTO(free) char *name = hf_escape(component);
    HF_AUTO(free) char *path = hf_format("components/%s/versions", name);
    return hf_listing_run(cli, &(struct hf_listing){.path = path,
                                                    .member = "versions",
                                                    .of = component,
                                                    .most = most,
                                                    .says_most = true,
                                                    .write = write_versions});
}

static void write_components(const struct hf_pen *pen, const json_t *components)
{
    static const struct hf_column columns[] = {
        {"COMPONENT", false, true, 0}, {"KIND", false, true, 3},       {"HEALTH", false, false, 0},
        {"VERSION", true, false, 1},   {"SIZE", true, false, 2},       {"LAST ACTIVITY", true, false, 1},
        {"STATUS", false, true, 4},    {"DEPENDS ON", false, true, 5},
    };
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, sizeof(columns) / sizeof(columns[0]));
    int64_t now_ms = hf_clock_now_ms();
    size_t i, k;
    const json_t *component, *name;
    json_array_foreach(components, i, component)
    {
        char size[HF_SIZE_BYTES], age[HF_AGE_BYTES];
        const char *health = hf_field_text(component, "healthLabel");
        bool damaged = hf_field_true(component, "damaged");
        HF_AUTO(buf) struct hf_buf needs;
        hf_buf_init(&needs, (size_t)1 << 20);
        hf_buf_add_text(&needs, "");
        json_array_foreach(json_object_get(component, "dependsOn"), k, name)
            hf_buf_add_format(&needs, "%s%s", k ? " " : "", json_is_string(name) ? json_string_value(name) : "?");
        hf_size_format(hf_field_int(component, "bytes"), size);
        hf_age_format(hf_field_text(component, "lastActivityAt"), now_ms, age);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(component, "name"));
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(component, "kind"));
        hf_table_add(table, damaged ? HF_RED : hf_word_style(health), "%s", damaged ? "damaged" : health);
        hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(component, "version"));
        hf_table_add(table, HF_PLAIN, "%s", size);
        hf_table_add(table, HF_PLAIN, "%s", age);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(component, "status"));
        hf_table_add(table, HF_PLAIN, "%s", needs.data);
    }
    hf_table_write(table, pen, 0);
}

static void write_versions(const struct hf_pen *pen, const json_t *versions)
{
    static const struct hf_column columns[] = {
        {"VERSION", true, false, 0}, {"COMMITTED", false, false, 0}, {"SEQUENCE", true, false, 3},
        {"SIZE", true, false, 1},    {"HASH", false, true, 4},       {"CONTENT TYPE", false, true, 5},
        {"EVENT", false, true, 2},
    };
    HF_AUTO(table) struct hf_table *table = hf_table_new(columns, sizeof(columns) / sizeof(columns[0]));
    size_t i;
    const json_t *version;
    json_array_foreach(versions, i, version)
    {
        char size[HF_SIZE_BYTES], when[32];
        bool deleted = hf_field_true(version, "deleted");
        const char *hash = hf_field_text(version, "hash");
        hf_size_format(hf_field_int(version, "bytes"), size);
        hf_when_format(hf_field_text(version, "committedAt"), when);
        hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(version, "version"));
        hf_table_add(table, HF_PLAIN, "%s", when);
        hf_table_add(table, HF_PLAIN, "%" PRId64, hf_field_int(version, "sequence"));
        hf_table_add(table, deleted ? HF_YELLOW : HF_PLAIN, "%s", deleted ? "deleted" : size);
        hf_table_add(table, HF_PLAIN, "%s", strncmp(hash, "sha256:", 7) == 0 ? hash + 7 : hash);
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(version, "contentType"));
        hf_table_add(table, HF_PLAIN, "%s", hf_field_text(version, "event"));
    }
    hf_table_write(table, pen, 0);
}
