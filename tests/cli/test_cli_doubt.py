#!/usr/bin/python3
"""holdfast where somebody may be wrong or up to something: bytes that are no text, answers that are not the service's,
pipes that nobody fills, terminals where somebody typed ahead. It never does more than it was told, and never says that
something was done when it does not know."""
import base64
import contextlib
import ctypes
import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlsplit

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from commanding import Command, FakeService, check_no_reports, url_of  # noqa: E402
import harness  # noqa: E402
from harness import Server, put_state, take_snapshot  # noqa: E402

BAD = b"\xff"


def check_bytes(checks, binary):
    """A value that JSON cannot hold is refused: left out, it would make a restore of one component one of all."""
    server = Server(binary, harness.new_directory())
    client = server.client()
    put_state(client, "default", "a", b"{}")
    put_state(client, "default", "b", b"{}")
    take_snapshot(client, "default")
    cli = Command(binary, url_of(server))
    for name, arguments in (
            ("a_component", ["restore", "latest", "--component", BAD, "--yes"]),
            ("one_component_of_two", ["restore", "latest", "-c", "a", "-c", BAD, "--yes"]),
            ("a_snapshot", ["restore", BAD, "--yes"]), ("a_moment", ["restore", "--at", BAD, "--yes"]),
            ("a_reason", ["restore", "latest", "--yes", "--reason", BAD]), ("a_label", ["backup", "--label", BAD]),
            ("a_system", ["--system", BAD, "status"]), ("a_cut_character", ["backup", "--label", b"\xc3"])):
        done = cli.run(*arguments)
        checks.check(f"{name}_that_is_not_utf8_is_refused", done.status == 2 and "not UTF-8" in done.err and
                     done.out == "", done)
    checks.equal("nothing_was_planned", client.get_json("/v1/systems/default/recoveries")["recoveries"], [])
    checks.equal("nothing_was_taken", len(client.get_json("/v1/systems/default/snapshots")["snapshots"]), 1)
    file = harness.new_directory("odd") / "state"
    odd = bytes(file) + BAD
    done = cli.run("get", "a", "--output", odd)
    checks.check("a_file_may_have_any_name", done.status == 0 and pathlib.Path(odd.decode("utf-8", "surrogateescape"))
                 .read_bytes() == b"{}", done)
    checks.equal("also_as_an_argument", cli.run("put", "a", odd).status, 0)
    client.close()
    server.stop()


def check_answers(checks, binary):
    """What answers is not the service: a login page, a proxy, something that says {} to everything."""
    archive = harness.new_directory("import") / "a.tar"
    archive.write_bytes(b"some bytes")
    commands = (("restore", ["restore", "latest", "--yes"]), ("a_plan", ["restore", "--plan", "rec-1", "--yes"]),
                ("backup", ["backup"]), ("pin", ["pin", "full-1"]), ("fork", ["fork", "other"]),
                ("validate", ["validate", "full-1"]), ("import", ["import", archive]), ("show", ["show", "full-1"]),
                ("archive", ["archive", "full-1", "-o", "-"]))
    elsewhere = {"Location": "https://login.example/"}
    for kind, made in (("a_redirection", (302, elsewhere, b"")), ("one_with_a_body", (307, elsewhere, {"id": "x"})),
                       ("an_empty_answer", (200, {}, b"")), ("an_empty_object", (200, {}, {}))):
        with FakeService(lambda method, path, body, count, made=made: made) as fake:
            cli = Command(binary, fake.url)
            for name, arguments in commands:
                done = cli.run(*arguments)
                told = made[0] == 200 or (str(made[0]) in done.err and "login.example" in done.err)
                checks.check(f"{name}_answered_by_{kind}_is_a_failure", done.status == 1 and told and done.out == "", done)

    with FakeService(lambda method, path, body, count: (200, {}, {})) as fake:
        for arguments in (["systems"], ["snapshots"], ["diff", "latest"], ["recoveries"]):
            done = Command(binary, fake.url).run(*arguments)
            checks.check(f"{arguments[0]}_of_what_has_no_list_is_a_failure", done.status == 1 and "no list" in done.err,
                         done)

    def applies_nothing(_method, path, _body, _count):
        plan = {"id": "rec-1", "status": "planned", "waves": [], "dataLoss": {}}
        return (200, {}, {}) if path.endswith("/apply") else (201, {}, plan)

    with FakeService(applies_nothing) as fake:
        done = Command(binary, fake.url).run("restore", "latest", "--yes")
        checks.check("an_apply_that_names_no_recovery_is_a_failure", done.status == 1 and '"id"' in done.err, done)


def check_lists(checks, binary):
    """Lists that never end."""
    diff = {"changes": [{"component": "a", "change": "added"}], "nextCursor": "same"}
    events = [{"id": number % 7, "severity": "info", "type": "t", "text": "x"} for number in range(1000)]

    def answer(_method, path, _body, _count):
        if "/events" in path:
            return 200, {}, {"events": events}
        if "/diff" in path:
            return 200, {}, diff
        return 200, {}, {"snapshots": [{"id": "full-1"}], "nextCursor": "same"}

    with FakeService(answer) as fake:
        cli = Command(binary, fake.url)
        for name, *more in (("snapshots", "--limit", "0"), ("events", "--limit", "0"), ("events", "--limit", "5000"),
                            ("diff", "latest")):
            done = cli.run(name, *more)
            checks.check(f"a_list_of_{name}_that_does_not_end_is_refused", done.status == 1 and "does not end" in
                         done.err, done)
        checks.check("after_few_pages", len(fake.asked) < 8, fake.asked)


def check_newest(checks, binary):
    """The newest events are read from the newest back, and no more of them than are wanted."""
    def answer(_method, path, _body, _count):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        newest = min(int(asked["before"]) - 1, 5000)
        ids = range(newest, max(int(asked["after"]), newest - int(asked["limit"])), -1)
        return 200, {}, {"events": [{"id": number, "severity": "info", "type": "t", "text": "x"} for number in ids]}

    with FakeService(answer) as fake:
        cli = Command(binary, fake.url)
        done = cli.run("events", "--limit", "2500", "--json")
        checks.equal("events_of_several_pages", [event["id"] for event in done.json()["events"]], list(range(2501, 5001)))
        checks.equal("in_as_few_requests", len(fake.asked), 3)
        done = cli.run("events", "--after", "4990", "--limit", "20", "--json")
        checks.equal("events_not_before_one", [event["id"] for event in done.json()["events"]], list(range(4991, 5001)))


def check_archive(checks, binary):
    """The service does not choose where an archive is written."""
    directory, planted = harness.new_directory("here"), harness.new_directory("planted") / "file"
    digest = {"Content-Digest": "sha-256=:" + base64.b64encode(hashlib.sha256(b"data").digest()).decode() + ":"}
    for name, snapshot, status, made in (("system", {"id": "full-1", "system": str(planted)}, 0, ["default-full-1.tar"]),
                                         ("id", {"id": f"../{planted}", "system": "default"}, 1, []),
                                         ("id_with_a_dot", {"id": ".bashrc", "system": "default"}, 1, [])):
        def answer(_method, path, _body, _count, snapshot=snapshot):
            return (200, digest, b"data") if path.endswith("/archive") else (200, {}, snapshot)

        with FakeService(answer) as fake:
            done = Command(binary, fake.url).run("archive", "latest", cwd=directory)
            found = [file.name for file in directory.iterdir()]
            checks.check(f"a_hostile_{name}_does_not_say_where", done.status == status and found == made and
                         not list(planted.parent.iterdir()), (done, found))
            for file in directory.iterdir():
                file.unlink()
    server = Server(binary, harness.new_directory())
    client = server.client()
    put_state(client, "default", "a", b"{}")
    snapshot = take_snapshot(client, "default")
    done = Command(binary, url_of(server)).run("archive", "latest", cwd=directory)
    checks.check("its_name_is_made_of_the_system_and_the_id", done.status == 0 and [file.name for file in
                 directory.iterdir()] == [f"default-{snapshot['id']}.tar"], (done, list(directory.iterdir())))
    client.close()
    server.stop()


PLAN = {"id": "rec-1", "system": "default", "status": "planned", "waves": [], "dataLoss": {}}


def start(cli, *arguments, **more):
    return subprocess.Popen([cli.path, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=cli.environment(), **more)


def end(cli, process):
    try:
        out, err = process.communicate(timeout=harness.PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    cli.note(process.args[1:], err.decode())
    return process.returncode, out, err.decode()


def check_interrupted_changes(checks, binary):
    """Who interrupts what changes something is told that it may have been done, and where to look."""
    archive = harness.new_directory("import") / "a.tar"
    archive.write_bytes(b"some bytes")
    for name, arguments, last, said in (
            ("restore", ["restore", "latest", "--yes"], "/apply", "recoveries rec-1"),
            ("backup", ["backup"], "/snapshots", "snapshots"), ("fork", ["fork", "other"], "/v1/systems", "systems"),
            ("import", ["import", archive], "/import", "snapshots"), ("pin", ["pin", "full-1"], "/full-1", "show full-1"),
            ("validate", ["validate", "full-1"], "/validate", "show full-1")):
        there, over = threading.Event(), threading.Event()

        def answer(_method, path, _body, _count, last=last, there=there, over=over):
            if path.endswith(last):
                there.set()
                over.wait(60)
            return 200, {}, PLAN

        with FakeService(answer) as fake:
            cli = Command(binary, fake.url)
            process = start(cli, *arguments)
            begun = there.wait(harness.PATIENCE_SECONDS)
            process.send_signal(signal.SIGINT)
            status, _, err = end(cli, process)
            over.set()
            checks.check(f"{name}_that_is_interrupted_says_where_to_look", begun and status == 130 and "interrupted" in err
                         and said in err, (status, err))


def check_pipes(checks, binary):
    """A FIFO whose other end nobody opens is left at the first signal."""
    directory = harness.new_directory("fifo")
    fifo = directory / "fifo"
    os.mkfifo(fifo, 0o600)
    etag = {"Repr-Digest": "sha-256=:" + base64.b64encode(hashlib.sha256(b"{}").digest()).decode() + ":",
            "ETag": '"1-00"', "State-Version": "1", "State-Sequence": "1", "State-Epoch": "1"}
    with FakeService(lambda method, path, body, count: (200, etag, b"{}")) as fake:
        cli = Command(binary, fake.url)
        for name, arguments in (("put", ["put", "a", fifo]), ("import", ["import", fifo]),
                                ("get", ["get", "a", "-o", fifo]), ("a_token_file", ["--token-file", fifo, "status"]),
                                ("a_config", ["--config", fifo, "status"])):
            process = start(cli, *arguments)
            # It waits, in poll or in open: either way it has nothing else to do.
            asleep = harness.wait_until(lambda process=process: process.poll() is not None or
                                        (minds_interrupts(process) and is_asleep(process)))
            process.send_signal(signal.SIGINT)
            status, out, err = end(cli, process)
            checks.check(f"{name}_with_a_fifo_ends_at_the_first_signal", asleep and status == 130 and out == b"",
                         (status, err))
        process = start(cli, "get", "a", "-o", fifo)
        content = fifo.read_bytes()
        checks.check("a_fifo_is_written", end(cli, process)[0] == 0 and content == b"{}", content)
        process = start(cli, "--token-file", fifo, "get", "a")
        fifo.write_text("hft_fifo\n", encoding="ascii")
        status, out, err = end(cli, process)
        checks.check("a_token_comes_from_a_fifo", status == 0 and out == b"{}" and
                     fake.asked[-1][2].get("Authorization") == "Bearer hft_fifo", (status, err))


def minds_interrupts(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    blocked = next(line for line in status.splitlines() if line.startswith("SigBlk"))
    return bool(int(blocked.split()[1], 16) & 1 << (signal.SIGINT - 1))


def is_asleep(process):
    threads = list(pathlib.Path(f"/proc/{process.pid}/task").iterdir())
    with contextlib.suppress(OSError):  # one of them ended meanwhile
        return all("(sleeping)" in (thread / "status").read_text(encoding="ascii") for thread in threads)
    return False


def check_question(checks, binary):
    typed = threading.Event()

    def answer(_method, path, _body, _count):
        typed.wait(harness.PATIENCE_SECONDS)
        return 200, {}, dict(PLAN, status="applied") if path.endswith("/apply") else PLAN

    with FakeService(answer) as fake:
        terminal = Command(binary, fake.url).terminal("restore", "latest")
        harness.wait_until(lambda: fake.asked)
        terminal.type("y\r")
        typed.set()
        asked = terminal.until("[y/N]")
        terminal.type("\r")
        checks.check("what_was_typed_before_the_question_is_no_answer", asked and terminal.end() == 6, terminal.text())
        terminal = Command(binary, fake.url).terminal("restore", "latest")
        asked = terminal.until("[y/N]")
        terminal.type("y\x04\x04")
        checks.check("an_answer_that_was_not_sent_off_is_a_no", asked and terminal.end() == 6, terminal.text())


def check_follow(checks, binary):
    server = Server(binary, harness.new_directory())
    client = server.client()
    put_state(client, "default", "a", b"{}")
    cli = Command(binary, url_of(server))
    process = start(cli, "events", "--follow", "--json", "--after", "0")
    first = process.stdout.readline()
    process.stdout.close()
    try:
        status = process.wait(harness.PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    err = process.stderr.read().decode()
    cli.note(["events"], err)
    checks.check("following_ends_when_nobody_reads_though_no_event_comes", first and status == 141 and err == "",
                 (first, status, err))
    put_state(client, "default", "b", harness.random.randbytes(1 << 20), Content_Type="application/octet-stream")
    take_snapshot(client, "default")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([cli.path, "archive", "latest", "-o", "-"], stdout=write, stderr=subprocess.PIPE, check=False,
                          env=cli.environment())
    os.close(write)
    checks.check("so_does_an_archive_without_a_word", done.returncode == 141 and done.stderr == b"", done)
    client.close()
    server.stop()


def check_offline(checks, binary):
    cli = Command(binary)
    for name, text in (("broken", "url = x"), ("wrong", '{"url": 1}')):
        file = cli.home / ".config/holdfast/config"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="ascii")
        for arguments in (["help"], ["help", "restore"], ["completion", "bash"], ["version"]):
            done = cli.run(*arguments)
            checks.check(f"{'_'.join(arguments)}_minds_no_{name}_config", done.status == 0 and done.out, done)
        checks.equal(f"other_commands_mind_a_{name}_one", cli.run("status").status, 2)


def check_output(checks, binary):
    server = Server(binary, harness.new_directory())
    client = server.client()
    pretty = b'{\n  "a": "x\x7fy",\r\n  "b": [1.50,\n 2]\n}\n'
    put_state(client, "default", "a", pretty)
    cli = Command(binary, url_of(server))
    done = cli.run("get", "a", "--json")
    checks.check("a_pretty_state_is_one_line", done.out.count("\n") == 1 and done.json()["state"] ==
                 {"a": "x\x7fy", "b": [1.5, 2]} and "1.50" in done.out, done)
    checks.check("alone_it_stays_as_it_is", cli.run("get", "a", text=False).out == pretty)
    cli.run("backup", "--label", "x\x7fy", "--json")
    done = cli.run("show", "latest", "--json")
    checks.check("a_delete_is_escaped_not_lost", "x\\u007fy" in done.out and done.json()["label"] == "x\x7fy", done)
    for text in (" 1", "+1", "99999999999999999999", "0", "", "1 "):
        done = cli.run("get", "a", "--version", text)
        checks.check(f"no_version_is_{text!r}", done.status == 2 and "whole number" in done.err, done)
    checks.equal("a_version_is", cli.run("get", "a", "--version", "1", text=False).out, pretty)

    directory = harness.new_directory("links")
    (directory / "link").symlink_to("other/target")
    (directory / "other").mkdir()
    done = cli.run("get", "a", "-o", directory / "link")
    checks.check("a_link_to_nothing_stays_a_link", done.status == 0 and (directory / "link").is_symlink() and
                 (directory / "other/target").read_bytes() == pretty, done)
    (directory / "ring").symlink_to("ring")
    done = cli.run("get", "a", "-o", directory / "ring")
    checks.check("a_ring_of_links_is_refused", done.status == 1 and (directory / "ring").is_symlink(), done)
    fixed = directory / "fixed"
    fixed.write_bytes(b"before")
    fixed.chmod(0o400)
    done = cli.run("get", "a", "-o", fixed, preexec_fn=give_up_override)
    checks.check("a_file_that_must_not_be_written_is_not_replaced", done.status == 1 and fixed.read_bytes() == b"before"
                 and str(fixed) in done.err, done)
    client.close()
    server.stop()


def give_up_override():
    """Root may write any file; without this capability (CAP_DAC_OVERRIDE, by PR_CAPBSET_DROP) it is like others."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def doubt(checks, binary):
    check_bytes(checks, binary)
    check_answers(checks, binary)
    check_lists(checks, binary)
    check_newest(checks, binary)
    check_archive(checks, binary)
    check_interrupted_changes(checks, binary)
    check_pipes(checks, binary)
    check_question(checks, binary)
    check_follow(checks, binary)
    check_offline(checks, binary)
    check_output(checks, binary)
    check_no_reports(checks)


if __name__ == "__main__":
    harness.enter_own_mounts()
    harness.run(doubt)
