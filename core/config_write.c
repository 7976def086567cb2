/* The table of settings as people read it: --help, the documentation and the example file. */
#include "core/config.h"

#include <string.h>

#define FLAG_COLUMN 28

static void write_allowed(struct hf_buf *out, const struct hf_setting *setting, const char *choice_bar);
static void write_json_default(struct hf_buf *out, const struct hf_setting *setting);

void hf_config_write_help(struct hf_buf *out)
{
    int count;
    const struct hf_setting *settings = hf_settings(&count);
    hf_buf_add_format(out, "  %-*s A JSON file of settings.\n", FLAG_COLUMN, "--config FILE");
    for (int i = 0; i < count; i++) {
        const struct hf_setting *setting = &settings[i];
        hf_buf_add_format(out, "  %-*s %s\n  %*s ", FLAG_COLUMN, setting->flag, setting->help, FLAG_COLUMN, "");
        write_allowed(out, setting, "|");
        hf_buf_add_format(out, "; default %s", setting->fallback ? setting->fallback : "unset");
        hf_buf_add_format(out, "; %s\n", setting->environment);
    }
}

void hf_config_write_markdown(struct hf_buf *out)
{
    int count;
    const struct hf_setting *settings = hf_settings(&count);
    hf_buf_add_text(
        out, "# Configuration\n\n"
             "Flags win over the environment, the environment over the file (`--config FILE`, one JSON object),\n"
             "the file over the default. An unknown name or a value that is not allowed stops the start.\n"
             "An empty environment variable counts as unset; `null` in the file likewise.\n\n"
             "| environment | file | flag | default | allowed | meaning |\n"
             "|---|---|---|---|---|---|\n");
    for (int i = 0; i < count; i++) {
        const struct hf_setting *setting = &settings[i];
        hf_buf_add_format(out, "| `%s` | `%s` | `%s` | ", setting->environment, setting->file_key, setting->flag);
        if (setting->fallback)
            hf_buf_add_format(out, "`%s` | ", setting->fallback);
        else
            hf_buf_add_text(out, "unset | ");
        write_allowed(out, setting, ", ");
        hf_buf_add_format(out, " | %s |\n", setting->help);
    }
}

void hf_config_write_example(struct hf_buf *out)
{
    int count;
    const struct hf_setting *settings = hf_settings(&count);
    hf_buf_add_text(out, "{\n");
    for (int i = 0; i < count; i++) {
        hf_buf_add_format(out, "  \"%s\": ", settings[i].file_key);
        write_json_default(out, &settings[i]);
        hf_buf_add_text(out, i + 1 < count ? ",\n" : "\n");
    }
    hf_buf_add_text(out, "}\n");
}

static void write_allowed(struct hf_buf *out, const struct hf_setting *setting, const char *choice_bar)
{
    if (setting->type == HF_SETTING_INT) {
        hf_buf_add_format(out, "%lld to %lld%s%s", (long long)setting->min, (long long)setting->max,
                          *setting->unit ? " " : "", setting->unit);
        return;
    }
    for (const char *c = setting->allowed; *c; c++)
        if (*c == '|')
            hf_buf_add_text(out, choice_bar);
        else
            hf_buf_add_char(out, *c);
}

/* Numbers and booleans stand unquoted, except a number with a suffix. */
static void write_json_default(struct hf_buf *out, const struct hf_setting *setting)
{
    const char *text = setting->fallback;
    if (!text)
        hf_buf_add_text(out, "null");
    else if (setting->type == HF_SETTING_BOOL ||
             (setting->type == HF_SETTING_INT && strspn(text, "0123456789") == strlen(text)))
        hf_buf_add_text(out, text);
    else
        hf_buf_add_json_string(out, text, strlen(text));
}
