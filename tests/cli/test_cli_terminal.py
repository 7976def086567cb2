#!/usr/bin/python3
"""holdfast in a pseudo-terminal: colours, widths, the question, progress, and how it leaves the terminal."""
import base64
import hashlib
import pathlib
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from commanding import ESCAPE, Command, FakeService, check_no_reports, url_of  # noqa: E402
import harness  # noqa: E402
from harness import Server, put_state  # noqa: E402

BAR_PARTS = ("Archive [=", "/s", "left")
HOSTILE = "bad\x1b]0;title\x07\x1b[2J\u009b31m\u202eend"


def show(cli, *arguments, **more):
    terminal = cli.terminal(*arguments, **more)
    terminal.status = terminal.end()
    return terminal


def check_looks(checks, cli):
    shown = show(cli, "snapshots")
    checks.check("a_terminal_gets_colours", shown.status == 0 and "\x1b[32m" in shown.text(), shown.text())
    for name, environment in (("no_color", {"NO_COLOR": "1"}), ("term_dumb", {"TERM": "dumb"}), ("no_term", {"TERM": ""})):
        shown = show(cli, "snapshots", environment=environment)
        checks.check(f"no_colours_with_{name}", shown.status == 0 and "\x1b" not in shown.text(), shown.text())
    shown = show(cli, "snapshots", "--color", "never")
    checks.check("no_colours_with_the_option", "\x1b" not in shown.text(), shown.text())
    shown = show(cli, "snapshots", "--color", "always", environment={"NO_COLOR": "1"})
    checks.check("the_option_wins_over_no_color", "\x1b" in shown.text(), shown.text())
    for columns in (40, 60, 100, 200):
        lines = show(cli, "snapshots", columns=columns).plain().splitlines()
        checks.check(f"a_table_fits_{columns}_columns", lines and max(map(len, lines)) <= columns, lines)
    wide = show(cli, "snapshots", columns=200).plain()
    checks.check("a_wide_terminal_shows_all", "TRIGGER" in wide and "LABEL" in wide, wide)
    shown = show(cli, "status", "--json")
    checks.check("json_on_a_terminal_has_lines", shown.text().startswith('{\n  "'), shown.text()[:100])
    checks.check("an_archive_is_nothing_for_a_terminal", show(cli, "archive", "latest", "-o", "-").status == 2)
    checks.check("nor_is_a_binary_state", show(cli, "get", "bytes").status == 2)


def check_question(checks, cli, client):
    put_state(client, "default", "agent", {"step": 2})
    for name, typed, status in (("n", "n\r", 6), ("nothing", "\r", 6), ("what_is_no_answer", "yet\r", 6),
                                ("the_end_of_input", "\x04", 6), ("ctrl_c", "\x03", 130)):
        terminal = cli.terminal("restore", "latest")
        asked = terminal.until("[y/N]")
        terminal.type(typed)
        ended = terminal.end()
        checks.check(f"restore_asks_and_takes_{name}_as_a_no", asked and ended == status and terminal.clean,
                     (ended, terminal.text()))
    checks.equal("nothing_was_restored", cli.run("get", "agent").out, '{"step": 2}')
    terminal = cli.terminal("restore", "latest")
    asked = terminal.until("1 version in 1 component would be lost") and terminal.until("[y/N]")
    terminal.type("y\r")
    checks.check("restore_asks_and_takes_y_as_a_yes", asked and terminal.end() == 0 and "applied" in terminal.plain(),
                 terminal.text())
    checks.equal("it_was_restored", cli.run("get", "agent").out, '{"step": 1}')


def check_watch(checks, cli):
    for name, end in (("ctrl_c", "\x03"), ("sigterm", signal.SIGTERM)):
        terminal = cli.terminal("watch", "--interval", "1s")
        drawn = terminal.until("SYSTEM STATUS:") and terminal.until("\x1b[J")
        if isinstance(end, str):
            terminal.type(end)
        else:
            terminal.process.send_signal(end)
        ended = terminal.end()
        text = terminal.text()
        checks.check(f"watch_ends_with_{name}", drawn and ended == (130 if isinstance(end, str) else 143), (ended, text))
        checks.check(f"{name}_leaves_the_terminal_as_it_was", terminal.clean and text.count("\x1b[?1049h") == 1
                     and text.count("\x1b[?1049l") == 1 and text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), text)
    lines = [line for frame in text.split("\x1b[H")[1:] for line in ESCAPE.sub("", frame).splitlines()]
    checks.check("watch_keeps_to_the_screen", lines and max(map(len, lines)) <= 80, lines)


def check_progress(checks, cli):
    """An archive that comes slowly enough for its progress to be drawn, however fast or slow the machine is: its second
    half waits until the first is seen."""
    watched = []  # the terminal that is to show it, once it is there
    waits = threading.Event()

    def is_seen():
        return not waits.is_set() or (watched and all(part in watched[0].text() for part in BAR_PARTS))

    content = harness.random.randbytes(1 << 20)
    digest = base64.b64encode(hashlib.sha256(content).digest())

    def trickle():
        yield (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n"
               b"Trailer: Content-Digest\r\n\r\n")
        at = 0
        while at < len(content):
            piece = content[at:at + (1 << 16 if at < len(content) // 2 or is_seen() else 64)]
            at += len(piece)
            time.sleep(0.03)
            yield b"%x\r\n" % len(piece) + piece + b"\r\n"
        yield b"0\r\nContent-Digest: sha-256=:" + digest + b":\r\n\r\n"

    def answer(_method, path, _body, _count):
        return trickle() if "archive" in path else (200, {}, {"id": "full-1", "system": "default",
                                                              "stateBytes": len(content)})

    directory = harness.new_directory("slow")
    with FakeService(answer) as fake:
        slow = Command(str(pathlib.Path(cli.path).parent / "holdfast-server"), fake.url)
        waits.set()
        shown = slow.terminal("archive", "latest", "-o", directory / "a.tar", columns=120)
        watched.append(shown)
        status = shown.end()
        text = shown.text()
        checks.check("an_archive_comes_with_a_bar", status == 0 and all(part in text for part in BAR_PARTS)
                     and (directory / "a.tar").read_bytes() == content, text)
        waits.clear()
        checks.check("the_bar_is_taken_away_at_the_end", "\r\x1b[K" in text[text.rindex("Archive ["):], text)
        widest = max(len(piece) for piece in ESCAPE.sub("", text).split("\r") if "Archive [" in piece)
        checks.check("the_bar_fits", widest <= 120, widest)
        shown = show(slow, "archive", "latest", "-q", "-o", directory / "b.tar")
        checks.check("quiet_shows_no_bar", shown.status == 0 and shown.text() == "", shown.text())
        done = slow.run("archive", "latest", "-o", directory / "c.tar")
        checks.check("a_pipe_gets_no_bar", done.status == 0 and "\r" not in done.err and "[" not in done.err, done)
    terminal = cli.terminal("import", "-")
    harness.wait_until(terminal.minds_interrupts)
    terminal.type("\x03")
    checks.check("ctrl_c_ends_a_command_that_waits_for_input", terminal.end() == 130 and terminal.clean, terminal.text())


def check_hostile(checks, cli):
    def answer(_method, path, _body, _count):
        if path.startswith("/v1/systems/default/snapshots"):
            return 200, {}, {"snapshots": [{"id": HOSTILE, "label": HOSTILE, "state": HOSTILE}], "nextCursor": None}
        if path.startswith("/v1/systems/default/events"):
            return 200, {}, {"events": [{"id": 1, "severity": HOSTILE, "type": HOSTILE, "text": HOSTILE + "\nx"}]}
        if path.startswith("/v1/systems/default/components"):
            return 200, {}, {"components": [{"name": "$(touch /tmp/x)"}, {"name": "good.name-1"}], "nextCursor": None}
        return 200, {}, {"status": HOSTILE, "system": HOSTILE, "warnings": [HOSTILE], "metricTotals": {HOSTILE: 1}}

    with FakeService(answer) as fake:
        liar = Command(str(pathlib.Path(cli.path).parent / "holdfast-server"), fake.url)
        for arguments in (["status"], ["snapshots"], ["events"], ["status", "--json"], ["snapshots", "--json"]):
            shown = show(liar, *arguments, "--color", "never")
            raw = [character for character in shown.text() if (character < " " and character != "\n")
                   or "\x7f" <= character < "\xa0" or character == "\u202e"]
            checks.check(f"{'_'.join(arguments)}_writes_no_control_character", shown.text() and not raw, shown.text())
        checks.equal("completions_get_only_what_can_be_a_name", liar.run("internal-names", "component").out,
                     "good.name-1\n")


def terminals(checks, binary):
    server = Server(binary, harness.new_directory())
    cli = Command(binary, url_of(server))
    client = server.client()
    put_state(client, "default", "agent", {"step": 1})
    put_state(client, "default", "bytes", b"\0\1", Content_Type="application/octet-stream")
    cli.run("backup", "--label", "a label of some length that a narrow terminal has no room for")
    check_looks(checks, cli)
    check_question(checks, cli, client)
    check_watch(checks, cli)
    check_progress(checks, cli)
    check_hostile(checks, cli)
    check_no_reports(checks)
    client.close()
    server.stop()


if __name__ == "__main__":
    harness.run(terminals)
