/* Completions for bash and zsh. Names come from the service by "holdfast internal-names", which lets through only what
 * can be a name: nothing that a shell would expand. */
#include "cli/pages.h"

#include <string.h>

static void write_bash(FILE *file);
static void write_bash_values(FILE *file);
static void write_bash_options(FILE *file);
static void write_bash_arguments(FILE *file);
static void write_zsh(FILE *file);
static void write_zsh_option(FILE *file, const struct hf_option *option);
static void write_zsh_action(FILE *file, const char *complete);
static void write_zsh_text(FILE *file, const char *text);

static const char bash_body[] =
    "_holdfast_names() {\n"
    "    local name\n"
    "    while read -r name; do\n"
    "        [[ $name == \"$cur\"* ]] && COMPREPLY+=(\"$name\")\n"
    "    done < <(holdfast \"${context[@]}\" internal-names \"$1\" 2>/dev/null </dev/null)\n"
    "}\n\n"
    "_holdfast_offer() {\n"
    "    case $1 in\n"
    "    '') ;;\n"
    "    @file)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "        ;;\n"
    "    @command) mapfile -t COMPREPLY < <(compgen -W \"$_holdfast_commands\" -- \"$cur\") ;;\n"
    "    @*) _holdfast_names \"${1#@}\" ;;\n"
    "    *) mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\") ;;\n"
    "    esac\n"
    "}\n\n"
    "_holdfast() {\n"
    "    local cur prev words cword command='' kind='' word i position=0 context=()\n"
    "    COMPREPLY=()\n"
    "    if declare -F _get_comp_words_by_ref >/dev/null; then\n"
    "        _get_comp_words_by_ref -n := cur prev words cword\n"
    "    else\n"
    "        words=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD\n"
    "        cur=${words[cword]} prev=${words[cword - 1]}\n"
    "    fi\n"
    "    for ((i = 1; i < cword; i++)); do\n"
    "        word=${words[i]}\n"
    "        if [[ $word == -* ]]; then\n"
    "            if _holdfast_value \"$command\" \"$word\"; then\n"
    "                case $word in\n"
    "                -u | --url | -s | --system | --token-file | --config)\n"
    "                    ((i + 1 < cword)) && context+=(\"$word\" \"${words[i + 1]}\")\n"
    "                    ;;\n"
    "                esac\n"
    "                ((i++))\n"
    "            fi\n"
    "        elif [[ -z $command ]]; then\n"
    "            command=$word\n"
    "        else\n"
    "            ((position++))\n"
    "        fi\n"
    "    done\n"
    "    if [[ $prev == -* ]] && _holdfast_value \"$command\" \"$prev\"; then\n"
    "        _holdfast_offer \"$kind\"\n"
    "    elif [[ $cur == -* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_holdfast_options \"$command\")\" -- \"$cur\")\n"
    "    elif [[ -z $command ]]; then\n"
    "        _holdfast_offer @command\n"
    "    else\n"
    "        _holdfast_argument \"$command\" \"$position\"\n"
    "        _holdfast_offer \"$kind\"\n"
    "    fi\n"
    "    declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions \"$cur\"\n"
    "    return 0\n"
    "}\n\n"
    "complete -F _holdfast holdfast\n";

static const char zsh_head[] = "#compdef holdfast\n"
                               "# Completions for zsh; made by: holdfast completion zsh\n\n"
                               "_holdfast_names() {\n"
                               "    local -a names context\n"
                               "    local word\n"
                               "    for word in -u --url -s --system --token-file --config; do\n"
                               "        [[ -n ${opt_args[$word]} ]] && context+=($word ${opt_args[$word]})\n"
                               "    done\n"
                               "    names=(${(f)\"$(holdfast $context internal-names $1 2>/dev/null </dev/null)\"})\n"
                               "    compadd -a names\n"
                               "}\n\n"
                               "_holdfast() {\n"
                               "    local curcontext=\"$curcontext\" state line\n"
                               "    typeset -A opt_args\n"
                               "    local -a globals commands\n";

bool hf_completion_write(FILE *file, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        write_bash(file);
    else if (strcmp(shell, "zsh") == 0)
        write_zsh(file);
    else
        return false;
    return true;
}

static void write_bash(FILE *file)
{
    fputs("# Completions for bash; made by: holdfast completion bash\n\n", file);
    write_bash_values(file);
    write_bash_options(file);
    write_bash_arguments(file);
    fputs(bash_body, file);
}

/* Whether an option takes a value, and of which kind. */
static void write_bash_values(FILE *file)
{
    fputs("_holdfast_value() {\n    case \"$1 $2\" in\n", file);
    for (size_t i = 0; i < hf_command_count; i++)
        for (const struct hf_option *option = hf_commands[i].options; option->name; option++) {
            if (!option->value)
                continue;
            fprintf(file, "    '%s --%s'", hf_commands[i].name, option->name);
            if (option->letter)
                fprintf(file, " | '%s -%c'", hf_commands[i].name, option->letter);
            fprintf(file, ") kind='%s' ;;\n", option->complete ? option->complete : "");
        }
    for (const struct hf_option *option = hf_global_options; option->name; option++) {
        if (!option->value)
            continue;
        fprintf(file, "    *' --%s'", option->name);
        if (option->letter)
            fprintf(file, " | *' -%c'", option->letter);
        fprintf(file, ") kind='%s' ;;\n", option->complete ? option->complete : "");
    }
    fputs("    *) return 1 ;;\n    esac\n}\n\n", file);
}

static void write_bash_options(FILE *file)
{
    fputs("_holdfast_options() {\n    case $1 in\n", file);
    for (size_t i = 0; i < hf_command_count; i++) {
        if (hf_commands[i].hidden || !hf_commands[i].options[0].name)
            continue;
        fprintf(file, "    %s) echo '", hf_commands[i].name);
        for (const struct hf_option *option = hf_commands[i].options; option->name; option++)
            fprintf(file, "%s--%s", option == hf_commands[i].options ? "" : " ", option->name);
        fputs("' ;;\n", file);
    }
    fputs("    esac\n    echo '", file);
    for (const struct hf_option *option = hf_global_options; option->name; option++)
        fprintf(file, "%s--%s", option == hf_global_options ? "" : " ", option->name);
    fputs("'\n}\n\n", file);
}

static void write_bash_arguments(FILE *file)
{
    fputs("_holdfast_argument() {\n    kind=''\n    case \"$1 $2\" in\n", file);
    for (size_t i = 0; i < hf_command_count; i++)
        for (size_t k = 0; k < HF_ARGUMENTS_MAX && hf_commands[i].arguments[k].name; k++)
            if (!hf_commands[i].hidden && hf_commands[i].arguments[k].complete)
                fprintf(file, "    '%s %zu') kind='%s' ;;\n", hf_commands[i].name, k,
                        hf_commands[i].arguments[k].complete);
    fputs("    esac\n}\n\n_holdfast_commands='", file);
    bool first = true;
    for (size_t i = 0; i < hf_command_count; i++) {
        if (hf_commands[i].hidden)
            continue;
        fprintf(file, "%s%s", first ? "" : " ", hf_commands[i].name);
        first = false;
    }
    fputs("'\n\n", file);
}

static void write_zsh(FILE *file)
{
    fputs(zsh_head, file);
    fputs("    globals=(\n", file);
    for (const struct hf_option *option = hf_global_options; option->name; option++) {
        write_zsh_option(file, option);
        fputs("\n", file);
    }
    fputs("    )\n    commands=(\n", file);
    for (size_t i = 0; i < hf_command_count; i++) {
        if (hf_commands[i].hidden)
            continue;
        fprintf(file, "        '%s:", hf_commands[i].name);
        write_zsh_text(file, hf_commands[i].summary);
        fputs("'\n", file);
    }
    fputs("    )\n    _arguments -C $globals '1:command:->command' '*::argument:->argument'\n    case $state in\n"
          "    command) _describe command commands ;;\n    argument)\n        case $words[1] in\n",
          file);
    for (size_t i = 0; i < hf_command_count; i++) {
        const struct hf_command *command = &hf_commands[i];
        if (command->hidden)
            continue;
        fprintf(file, "        %s)\n            _arguments $globals", command->name);
        for (const struct hf_option *option = command->options; option->name; option++) {
            fputs(" \\\n", file);
            write_zsh_option(file, option);
        }
        for (size_t k = 0; k < HF_ARGUMENTS_MAX && command->arguments[k].name; k++) {
            fprintf(file, " \\\n        '%zu:%s%s", k + 1, command->arguments[k].optional ? ":" : "",
                    command->arguments[k].name);
            write_zsh_action(file, command->arguments[k].complete);
            fputs("'", file);
        }
        fputs("\n            ;;\n", file);
    }
    fputs("        esac\n        ;;\n    esac\n}\n\n_holdfast \"$@\"\n", file);
}

/* '(-q --quiet)'{-q,--quiet}'[no progress]' or '--label[a label]:TEXT:_files' */
static void write_zsh_option(FILE *file, const struct hf_option *option)
{
    if (option->letter)
        fprintf(file, "        '(-%c --%s)'{-%c,--%s}'[", option->letter, option->name, option->letter, option->name);
    else
        fprintf(file, "        '--%s[", option->name);
    write_zsh_text(file, option->help);
    fputs("]", file);
    if (option->value) {
        fprintf(file, ":%s", option->value);
        write_zsh_action(file, option->complete);
    }
    fputs("'", file);
}

static void write_zsh_action(FILE *file, const char *complete)
{
    if (!complete)
        fputs(":", file);
    else if (strcmp(complete, "@file") == 0)
        fputs(":_files", file);
    else if (strcmp(complete, "@command") == 0)
        fputs(":{_describe command commands}", file);
    else if (complete[0] == '@')
        fprintf(file, ":{_holdfast_names %s}", complete + 1);
    else
        fprintf(file, ":(%s)", complete);
}

/* Within single quotes, and within a specification that gives brackets and colons a meaning. */
static void write_zsh_text(FILE *file, const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", file);
        else if (strchr("[]:\\", *text))
            fprintf(file, "\\%c", *text);
        else
            putc(*text, file);
}
