#!/usr/bin/python3
"""What is made from the table of commands: help, manual pages and completions, for every command, and that they agree."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from commanding import Command, FakeService, check_no_reports  # noqa: E402
import harness  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OPTION = re.compile(r"^ +(?:-(\w), )?--([a-z-]+)(?: ([A-Z]+))?$", re.MULTILINE)
MAN_OPTION = re.compile(r"^(?:\\fB\\-(\w)\\fR, )?\\fB\\-\\-([a-z\\-]+)\\fR(?: \\fI([A-Z]+)\\fR)?$", re.MULTILINE)
WANTED = {"status", "backup", "snapshots", "show", "diff", "restore", "validate", "archive", "import", "components", "get",
          "put", "history", "events", "watch", "doctor", "systems", "fork", "drill", "recoveries", "version", "help",
          "completion"}


def options_of_help(text):
    return [(letter, name, value) for letter, name, value in OPTION.findall(text)]


def check_help(checks, cli, names):
    overview = cli.run("help").out
    checks.equal("the_overview_is_what_help_gives", overview, cli.run("--help").out)
    for name in names:
        done = cli.run("help", name)
        checks.check(f"help_{name}", done.status == 0 and done.out == cli.run(name, "--help").out and
                     done.out.startswith(f"Usage: holdfast {name}") and "Example" in done.out, done)
        checks.check(f"the_overview_lists_{name}", re.search(rf"^  {name} +\S", overview, re.MULTILINE))
        for line in re.split(r"^Examples?:\n", done.out, flags=re.MULTILINE)[1].splitlines():
            words = re.findall(r"holdfast (?:--?\w+ \w+ )?([a-z]+)", line)
            checks.check(f"an_example_of_{name}_is_of_it", name in words, line)
    checks.equal("help_of_what_is_no_command", cli.run("help", "restroe").status, 2)
    known = set(re.findall(r"^ +(\d+)  \S", overview, re.MULTILINE))
    checks.check("the_overview_explains_exit_statuses", {"0", "1", "2", "3", "4", "5", "6", "7", "130"} <= known, known)


def check_manual(checks, cli, names):
    directory = harness.new_directory("man")
    cli.run("internal", "man-pages", directory / "man1")
    pages = {path.name for path in (directory / "man1").iterdir()}
    checks.equal("there_is_a_page_for_each", pages, {f"holdfast-{name}.1" for name in names} | {"holdfast.1"})
    for page in sorted(pages):
        path = directory / "man1" / page
        source = path.read_text(encoding="ascii")
        name = page[len("holdfast-"):-2] if page != "holdfast.1" else None
        given = cli.run("help", *([name] if name else [])).out
        found = [(letter, option.replace("\\-", "-"), value) for letter, option, value in MAN_OPTION.findall(source)]
        checks.equal(f"{page}_has_the_options_of_help", found, options_of_help(given))
        checks.check(f"{page}_has_its_parts", all(f".SH {part}" in source for part in (
            "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", '"EXIT STATUS"', "EXAMPLES", '"SEE ALSO"')))
        done = subprocess.run(["groff", "-ww", "-man", "-Tutf8", "-z", str(path)], capture_output=True, text=True,
                              check=False)
        checks.check(f"{page}_is_accepted_by_groff", done.returncode == 0 and not done.stderr, done.stderr)
        if shutil.which("mandoc"):
            done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(path)], capture_output=True, text=True, check=False)
            checks.check(f"{page}_is_accepted_by_mandoc", done.returncode == 0, done.stdout)


def bash(cli, script, line, environment):
    """What bash offers at the end of line."""
    words = line.split(" ")
    asked = (f"source {script}\nCOMP_WORDS=({' '.join(json.dumps(word) for word in words)})\n"
             f"COMP_CWORD={len(words) - 1}\n_holdfast\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n")
    done = subprocess.run(["bash", "--norc", "-u", "-c", asked], env=environment, capture_output=True, text=True,
                          check=False)
    return sorted(done.stdout.split()), done.stderr


def check_bash(checks, cli, names, environment):
    script = harness.new_directory("bash") / "holdfast"
    script.write_text(cli.run("completion", "bash").out, encoding="ascii")
    done = subprocess.run(["bash", "--norc", "-c", f"source {script}; complete -p holdfast"], capture_output=True,
                          text=True, check=False, env=environment)
    checks.equal("bash_knows_the_completion", (done.stdout, done.stderr), ("complete -F _holdfast holdfast\n", ""))
    for line, wanted in (("holdfast ", sorted(names)), ("holdfast sn", ["snapshots"]),
                         ("holdfast --json res", ["restore"]), ("holdfast --system x res", ["restore"]),
                         ("holdfast snapshots --kind ", ["full", "incremental"]),
                         ("holdfast --color ", ["always", "auto", "never"]),
                         ("holdfast get ", ["agent-7", "agent.model"]), ("holdfast get agent-", ["agent-7"]),
                         ("holdfast restore -c ", ["agent-7", "agent.model"]),
                         ("holdfast show ", ["full-1", "latest"]), ("holdfast diff latest ful", ["full-1"]),
                         ("holdfast --system ", ["default"]), ("holdfast completion ", ["bash", "zsh"]),
                         ("holdfast help wat", ["watch"]), ("holdfast backup --label ", []),
                         ("holdfast put agent-7 /etc/host", None)):
        found, errors = bash(cli, script, line, environment)
        good = found == wanted if wanted is not None else "/etc/hosts" in found
        checks.check(f"bash_completes_{line!r}", good and not errors, (found, errors))
    for name in names:
        given = {"--" + option for _, option, _ in options_of_help(cli.run("help", name).out)}
        found, errors = bash(cli, script, f"holdfast {name} --", environment)
        checks.check(f"bash_offers_the_options_of_{name}", set(found) == given
                     and not errors, (found, errors))
    found, errors = bash(cli, script, "holdfast get ", dict(environment, HOLDFAST_URL="http://127.0.0.1:1"))
    checks.equal("bash_is_silent_without_a_service", (found, errors), ([], ""))


def check_zsh(checks, cli, names, environment):
    if not shutil.which("zsh"):
        checks.skip("zsh_completions", "there is no zsh here")
        return
    directory = harness.new_directory("zsh")
    script = directory / "_holdfast"
    script.write_text(cli.run("completion", "zsh").out, encoding="ascii")
    done = subprocess.run(["zsh", "-f", "-n", str(script)], capture_output=True, text=True, check=False)
    checks.equal("zsh_parses_the_completion", (done.returncode, done.stderr), (0, ""))
    environment = dict(environment, HOME=str(directory), TERM="xterm")
    for line, wanted in (("holdfast sn", "apshots"), ("holdfast snapshots --ki", "nd"), ("holdfast show lat", "est"),
                         ("holdfast get agent-", "7"), ("holdfast restore --sal", "vage"), ("holdfast completion z", "sh")):
        shown = type_in_zsh(directory, line, environment)
        checks.check(f"zsh_completes_{line!r}", line + wanted in shown, shown)
    for name in names:
        checks.check(f"zsh_knows_{name}", f"        {name})\n" in script.read_text(encoding="ascii"))


def type_in_zsh(directory, line, environment):
    """The line as zsh has it after a Tab: zpty runs an interactive zsh inside a zsh."""
    script = f"""
zmodload zsh/zpty
zpty -b inner 'zsh -f -i'
zpty -w inner 'PS1= PS2= RPS1=; setopt no_beep; fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -d {directory}/dump'
zpty -w inner 'bindkey "^I" complete-word; bindkey "^X" show; show() {{ print -r -- "<<$BUFFER>>" }}; zle -N show; print rea""dy'
zpty -r inner text '*ready*'
zpty -w -n inner $'{line}\\t\\C-X'
zpty -r inner text '*<<*>>*'
print -r -- "$text"
zpty -d inner
"""
    done = subprocess.run(["zsh", "-f", "-c", script], env=environment, capture_output=True, text=True, check=False,
                          timeout=harness.PATIENCE_SECONDS)
    return done.stdout + done.stderr


def check_installed(checks, cli, names):
    build, prefix = pathlib.Path(cli.path).parent, harness.new_directory("prefix")
    done = subprocess.run(["cmake", "--install", str(build), "--prefix", str(prefix), "--component", "command"],
                          capture_output=True, text=True, check=False)
    found = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    wanted = {f"share/man/man1/holdfast-{name}.1" for name in names} | {
        "share/man/man1/holdfast.1", "bin/holdfast", "share/bash-completion/completions/holdfast",
        "share/zsh/site-functions/_holdfast"}
    checks.check("everything_is_installed", done.returncode == 0 and found == wanted, (done.stderr, found ^ wanted))


def check_documents(checks, cli, names):
    text = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
    section = text.partition("\n## Command line\n")[2].partition("\n## ")[0]
    for name in sorted(names):
        checks.check(f"docs_tell_of_{name}", f"`{name}" in section or f"holdfast {name}" in section)


def pages(checks, binary):
    def answer(_method, path, _body, _count):
        member, values = ("components", ["agent-7", "agent.model"]) if "components" in path else (
            "snapshots", ["full-1"]) if "snapshots" in path else ("systems", ["default"])
        return 200, {}, {member: [{"name": value, "id": value} for value in values], "nextCursor": None}

    cli = Command(binary)
    names = cli.run("internal", "commands").out.split()
    checks.check("every_command_is_there", WANTED <= set(names), names)
    check_help(checks, cli, names)
    check_manual(checks, cli, names)
    check_documents(checks, cli, names)
    check_installed(checks, cli, names)
    with FakeService(answer) as fake:
        cli.url = fake.url
        environment = cli.environment(PATH=f"{pathlib.Path(cli.path).parent}:{os.environ['PATH']}")
        check_bash(checks, cli, names, environment)
        check_zsh(checks, cli, names, environment)
    check_no_reports(checks)


if __name__ == "__main__":
    harness.run(pages)
