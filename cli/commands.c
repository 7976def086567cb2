#include "cli/commands.h"

#include "core/nearest.h"

#include <limits.h>
#include <string.h>

#define MOMENT_HELP "A moment is a time (RFC 3339, as 2026-11-23T01:30:00Z) or how long ago it was: 90s, 15m, 2h, 3d."

const struct hf_option hf_global_options[] = {
    {.name = "url",
     .letter = 'u',
     .value = "URL",
     .help = "where the service is; else HOLDFAST_URL, else http://127.0.0.1:8080"},
    {.name = "system",
     .letter = 's',
     .value = "NAME",
     .complete = "@system",
     .help = "the system meant; else HOLDFAST_SYSTEM, else default"},
    {.name = "token-file",
     .value = "FILE",
     .complete = "@file",
     .help = "the file with the token, which others must not be able to read"},
    {.name = "config",
     .value = "FILE",
     .complete = "@file",
     .help = "the config file instead of ~/.config/holdfast/config"},
    {.name = "json", .letter = 'j', .help = "one JSON document, or one object a line where it goes on; failures too"},
    {.name = "quiet", .letter = 'q', .help = "no progress and no remarks"},
    {.name = "color",
     .value = "WHEN",
     .complete = "auto always never",
     .help = "colours: auto (on a terminal), always or never"},
    {.name = "timeout",
     .value = "TIME",
     .help = "how long the service may be away or silent, as 30s or 5m; else 10 s away, 30 s silent, and as long as it "
             "takes for what takes long"},
    {.name = "help", .letter = 'h', .help = "help for the command"},
    {.name = "version", .letter = 'V', .help = "the version of this command"},
    {.name = NULL},
};

const struct hf_command hf_commands[] = {
    {.name = "status",
     .options = {{.name = "all", .letter = 'a', .help = "the whole service with all its systems"}},
     .summary = "show how the system is",
     .description = "Prints how the system is: its agents, what their heartbeats report, the next backup, health, what "
                    "can be recovered, and warnings. Exits with 7 when it is not operational or warns of something.\n"
                    "Without --system, and where there is no system named default, it shows the whole service.",
     .example = "holdfast status\n"
                "holdfast --system trading status --json",
     .run = hf_run_status},
    {.name = "backup",
     .options = {{.name = "incremental",
                  .letter = 'i',
                  .help = "only what changed since the snapshot before, if anything did"},
                 {.name = "label", .letter = 'l', .value = "TEXT", .help = "a label to find it by"},
                 {.name = "no-validate", .help = "do not wait until it was read back"}},
     .summary = "take a snapshot now",
     .description = "Takes a snapshot of the system, shows how it gets on, waits until it was read back, and prints "
                    "its id, sizes and validation. Exits with 7 when it proves damaged. The service goes on with it "
                    "when this command is interrupted.",
     .example = "holdfast backup --label 'before the upgrade'\n"
                "holdfast backup --incremental",
     .run = hf_run_backup},
    {.name = "snapshots",
     .options = {{.name = "kind",
                  .letter = 'k',
                  .value = "KIND",
                  .complete = "full incremental",
                  .help = "only full or only incremental ones"},
                 {.name = "before", .value = "MOMENT", .help = "only those cut before that moment"},
                 {.name = "limit", .letter = 'n', .value = "COUNT", .help = "at most so many; 0: all; else 100"}},
     .summary = "list the snapshots",
     .description = "Lists the snapshots of the system, newest first.\n" MOMENT_HELP,
     .example = "holdfast snapshots --kind full\n"
                "holdfast snapshots --json | jq -r '.snapshots[].id'",
     .run = hf_run_snapshots},
    {.name = "show",
     .arguments = {{"SNAPSHOT", false, "@snapshot"}},
     .options = {{.name = "components", .letter = 'c', .help = "also list what it holds"}},
     .summary = "show one snapshot",
     .description = "Shows a snapshot, by its id or \"latest\": what it is, what validation found, and what is lost if "
                    "it is damaged.",
     .example = "holdfast show latest --components",
     .run = hf_run_show},
    {.name = "diff",
     .arguments = {{"FROM", false, "@snapshot"}, {"TO", true, "@snapshot"}},
     .options = {{.name = "component",
                  .letter = 'c',
                  .value = "NAME",
                  .complete = "@component",
                  .help = "this one alone, with the JSON patch that makes one of the other"}},
     .summary = "compare two moments",
     .description = "Lists the components that were added, removed or changed between two moments. Each is the id of a "
                    "snapshot, latest, now, a sequence, or a moment; TO is now when it is left out.\n" MOMENT_HELP,
     .example = "holdfast diff latest\n"
                "holdfast diff 2h now --component agent-7",
     .run = hf_run_diff},
    {.name = "restore",
     .arguments = {{"SNAPSHOT", true, "@snapshot"}},
     .options =
         {{.name = "at", .value = "MOMENT", .help = "the system as it was at that moment, instead of a snapshot"},
          {.name = "plan", .value = "RECOVERY", .complete = "@recovery", .help = "apply a plan that --dry-run made"},
          {.name = "component",
           .letter = 'c',
           .value = "NAME",
           .complete = "@component",
           .help = "only this one; may be repeated"},
          {.name = "include-dependencies", .help = "with --component: also what they depend on"},
          {.name = "salvage", .help = "take what is left of a damaged snapshot; what is lost stays as it is now"},
          {.name = "dry-run", .letter = 'n', .help = "make and show the plan, and stop"},
          {.name = "yes", .letter = 'y', .help = "do not ask"},
          {.name = "force", .letter = 'f', .help = "apply the plan although the system moved on since it was made"},
          {.name = "reason", .letter = 'r', .value = "TEXT", .help = "why, for the report"}},
     .summary = "bring the system back to an earlier moment",
     .description =
         "Makes a plan and shows it: the waves in which components come back, the version each has and gets, and what "
         "would be lost. Then it asks, applies that very plan in one transaction, and prints what came of it. Where it "
         "cannot ask, because there is no terminal, it applies nothing without --yes and exits with 6.\n"
         "SNAPSHOT is an id or \"latest\". A whole restore makes the system equal to its source, also by deleting "
         "components that came later. It adds versions and deletes none, so that it can itself be undone with --at. It "
         "raises the epoch of the system: agents read their states again before they can save.\n" MOMENT_HELP,
     .example = "holdfast restore latest --dry-run\n"
                "holdfast restore --at 15m --component agent-7 --include-dependencies\n"
                "holdfast restore full-20261123T013000Z-90817 --yes --reason 'bad reward'",
     .run = hf_run_restore},
    {.name = "validate",
     .arguments = {{"SNAPSHOT", true, "@snapshot"}},
     .options = {{.name = "all", .letter = 'a', .help = "every snapshot of the system, newest first"},
                 {.name = "shallow", .help = "only what the snapshot's own file holds"}},
     .summary = "read a snapshot back and heal it",
     .description = "Reads a snapshot back, every state of it, heals what is damaged where a good copy is left, and "
                    "prints each check. SNAPSHOT is an id or \"latest\". Exits with 7 when something stays damaged.",
     .example = "holdfast validate latest\n"
                "holdfast validate --all --shallow",
     .run = hf_run_validate},
    {.name = "archive",
     .arguments = {{"SNAPSHOT", false, "@snapshot"}},
     .options = {{.name = "output",
                  .letter = 'o',
                  .value = "FILE",
                  .complete = "@file",
                  .help = "where to; - is standard output; else SYSTEM-ID.tar here"},
                 {.name = "zstd", .letter = 'z', .help = "compressed"}},
     .summary = "download a snapshot as a tar archive",
     .description = "Downloads a snapshot as a tar archive that any tool opens. It is compared with the digest that "
                    "the service sends after it, written under another name, and gets its own when it is whole and on "
                    "disk; a file that was there before is replaced then, and only then. On standard output it is "
                    "written as it comes: there the exit status says whether it was whole.",
     .example = "holdfast archive latest -o latest.tar\n"
                "holdfast archive latest --zstd -o - | ssh vault 'cat >latest.tar.zst'",
     .run = hf_run_archive},
    {.name = "import",
     .arguments = {{"FILE", false, "@file"}},
     .options = {{.name = "label", .letter = 'l', .value = "TEXT", .help = "a label instead of that of the archive"}},
     .summary = "take an archive in as a snapshot",
     .description = "Sends an archive (tar, also with zstd or gzip; - is standard input) to the service, which checks "
                    "it and keeps it as one more snapshot. It changes no state: holdfast restore with its id does.",
     .example = "holdfast --system copy import latest.tar.zst",
     .run = hf_run_import},
    {.name = "components",
     .options =
         {{.name = "kind", .letter = 'k', .value = "KIND", .help = "only of this kind"},
          {.name = "health",
           .value = "HEALTH",
           .complete = "healthy stale failed unknown",
           .help = "only in this health"},
          {.name = "limit", .letter = 'n', .value = "COUNT", .help = "at most so many; 0: all, which is the default"}},
     .summary = "list the components",
     .description = "Lists the components of the system with their health, version, size and last activity.",
     .example = "holdfast components --health failed",
     .run = hf_run_components},
    {.name = "get",
     .arguments = {{"COMPONENT", false, "@component"}},
     .options =
         {{.name = "version", .value = "VERSION", .help = "that version"},
          {.name = "at", .value = "MOMENT", .help = "as it was at that moment"},
          {.name = "snapshot", .value = "SNAPSHOT", .complete = "@snapshot", .help = "as it is in that snapshot"},
          {.name = "output",
           .letter = 'o',
           .value = "FILE",
           .complete = "@file",
           .help = "where to; - is standard output, which is the default"}},
     .summary = "read a state",
     .description = "Reads the state of a component, now or in the past, and writes it byte for byte as it was saved. "
                    "Nothing is written before all of it is here and matches its digest. A file gets its name when it "
                    "is whole and on disk. With --json, it is one object with the state in it, as \"state\" where it "
                    "is JSON and else as \"stateBase64\".\n" MOMENT_HELP,
     .example = "holdfast get agent-7 | jq .qTable\n"
                "holdfast get model --at 2h -o model.bin",
     .run = hf_run_get},
    {.name = "put",
     .arguments = {{"COMPONENT", false, "@component"}, {"FILE", true, "@file"}},
     .options = {{.name = "content-type",
                  .letter = 't',
                  .value = "TYPE",
                  .complete = "application/json application/octet-stream text/plain",
                  .help = "what the state is; else application/json"},
                 {.name = "if-match",
                  .value = "ETAG",
                  .help = "only if the present version has this ETag, as put and get --json print it"},
                 {.name = "if-absent", .help = "only if there is no state yet"},
                 {.name = "event", .letter = 'e', .value = "NAME", .help = "make it an event of that name"}},
     .summary = "save a state",
     .description = "Saves the bytes of FILE (- or none: standard input) as the state of a component, and prints the "
                    "receipt, which comes when the state is on the service's disk.",
     .example = "holdfast put agent-7 state.json\n"
                "tar -c models | holdfast put models --content-type application/x-tar",
     .run = hf_run_put},
    {.name = "history",
     .arguments = {{"COMPONENT", false, "@component"}},
     .options = {{.name = "limit", .letter = 'n', .value = "COUNT", .help = "at most so many; 0: all; else 20"}},
     .summary = "list the versions of a state",
     .description = "Lists the versions of a component that the service keeps, newest first.",
     .example = "holdfast history agent-7",
     .run = hf_run_history},
    {.name = "events",
     .options =
         {{.name = "follow", .letter = 'f', .help = "go on with those that come, until Ctrl-C"},
          {.name = "severity", .value = "LEVEL", .complete = "info warning error", .help = "this severity alone"},
          {.name = "after", .value = "ID", .help = "only those after the event with this id"},
          {.name = "limit",
           .letter = 'n',
           .value = "COUNT",
           .help = "the last so many; 0: all; else 50, with --follow 10"}},
     .summary = "show what happened",
     .description = "Shows the events of the system, oldest first. With --follow it goes on, also after the service "
                    "was away, and misses none.",
     .example = "holdfast events --severity warning\n"
                "holdfast events --follow --json",
     .run = hf_run_events},
    {.name = "watch",
     .options = {{.name = "interval", .letter = 'i', .value = "TIME", .help = "between two looks; else 2s"}},
     .summary = "watch the system live",
     .description = "Shows how the system is, its components and the latest events, again and again, until Ctrl-C. In "
                    "a pipe it prints a line for each look and each event; with --json the status, one object a line.",
     .example = "holdfast watch\n"
                "holdfast watch --interval 10s | tee watch.log",
     .impatient = true,
     .run = hf_run_watch},
    {.name = "doctor",
     .summary = "examine everything and give one verdict",
     .description =
         "Looks whether the service can be reached and is ready, and examines warnings, components, the age and "
         "validation of snapshots, what would be lost now, the last restore drill, recoveries, the mirror and recent "
         "errors. Ends in one verdict and the command to run next. Exits with 0 when all is well, 7 when something "
         "wants attention, 3 when the service cannot be reached or is not ready, 8 when the token is not accepted.",
     .example = "holdfast doctor\n"
                "holdfast doctor --quiet || echo 'look at holdfast'",
     .impatient = true,
     .run = hf_run_doctor},
    {.name = "systems",
     .summary = "list the systems",
     .description = "Lists the systems of the service that the token may see.",
     .example = "holdfast systems",
     .run = hf_run_systems},
    {.name = "fork",
     .arguments = {{"NAME", false, NULL}},
     .options =
         {{.name = "at", .value = "MOMENT", .help = "as it was at that moment"},
          {.name = "snapshot", .value = "SNAPSHOT", .complete = "@snapshot", .help = "as it is in that snapshot"},
          {.name = "description", .value = "TEXT", .help = "what it is for"}},
     .summary = "make a new system of a past of this one",
     .description = "Makes a new system, NAME, that has the present or a past of this one as its present. Neither sees "
                    "what becomes of the other.\n" MOMENT_HELP,
     .example = "holdfast fork what-if\n"
                "holdfast --system trading fork trial --at 2h --description 'new policy'",
     .run = hf_run_fork},
    {.name = "drill",
     .options = {{.name = "list", .help = "list the drills there were instead"}},
     .summary = "try a restore",
     .description = "Restores the newest snapshot into a scratch database and compares every byte. Changes nothing "
                    "that clients see. Exits with 7 when it did not pass.",
     .example = "holdfast drill\n"
                "holdfast drill --list",
     .run = hf_run_drill},
    {.name = "recoveries",
     .arguments = {{"RECOVERY", true, "@recovery"}},
     .options = {{.name = "limit", .letter = 'n', .value = "COUNT", .help = "at most so many; 0: all; else 20"}},
     .summary = "list recoveries, or report on one",
     .description = "Lists the recoveries and restores of the system, newest first. With an id it prints the report of "
                    "that one: what was done and why, what it cost, how it went, and what is left to do.",
     .example = "holdfast recoveries\n"
                "holdfast recoveries rec-mlybcd230ddpt99v7lh7",
     .run = hf_run_recoveries},
    {.name = "pin",
     .arguments = {{"SNAPSHOT", false, "@snapshot"}},
     .options = {{.name = "off", .help = "let it expire again"},
                 {.name = "label", .letter = 'l', .value = "TEXT", .help = "also give it this label"}},
     .summary = "keep a snapshot for ever",
     .description = "Pins a snapshot, so that retention never deletes it.",
     .example = "holdfast pin full-20261123T013000Z-90817 --label 'as delivered'\n"
                "holdfast pin full-20261123T013000Z-90817 --off",
     .run = hf_run_pin},
    {.name = "completion",
     .arguments = {{"SHELL", false, "bash zsh"}},
     .summary = "print completions for a shell",
     .description = "Prints the completions for bash or zsh. They are installed with the command; this is for where "
                    "they are not. They ask the service for names of components and ids of snapshots.",
     .example = "source <(holdfast completion bash)",
     .offline = true,
     .run = hf_run_completion},
    {.name = "version",
     .summary = "print versions",
     .description = "Prints the version of this command and of the service, if it can be reached.",
     .example = "holdfast version",
     .unsettled = true,
     .impatient = true,
     .run = hf_run_version},
    {.name = "help",
     .arguments = {{"COMMAND", true, "@command"}},
     .summary = "help for a command",
     .description = "Prints what a command does, with its options, or lists the commands.",
     .example = "holdfast help restore",
     .offline = true,
     .run = hf_run_help},
    {.name = "internal-names",
     .arguments = {{"KIND", false, NULL}},
     .summary = "",
     .description = "",
     .example = "",
     .impatient = true,
     .hidden = true,
     .run = hf_run_names},
    {.name = "internal",
     .arguments = {{"WHAT", false, NULL}, {"NAME", true, NULL}},
     .summary = "",
     .description = "",
     .example = "",
     .offline = true,
     .hidden = true,
     .run = hf_run_internal},
};
const size_t hf_command_count = sizeof(hf_commands) / sizeof(hf_commands[0]);

const struct hf_command *hf_command_find(const char *name)
{
    for (size_t i = 0; i < hf_command_count; i++)
        if (strcmp(hf_commands[i].name, name) == 0)
            return &hf_commands[i];
    return NULL;
}

const char *hf_command_nearest(const char *name)
{
    const char *nearest = NULL;
    int distance_min = INT_MAX;
    for (size_t i = 0; i < hf_command_count; i++) {
        int distance = hf_edit_distance(name, hf_commands[i].name);
        if (!hf_commands[i].hidden && distance < distance_min) {
            distance_min = distance;
            nearest = hf_commands[i].name;
        }
    }
    return hf_is_near(name, distance_min) ? nearest : NULL;
}

bool hf_command_has_own(const struct hf_command *command, const struct hf_option *option)
{
    for (size_t i = 0; command && i < HF_OPTIONS_MAX && command->options[i].name; i++)
        if (strcmp(command->options[i].name, option->name) == 0)
            return true;
    return false;
}
