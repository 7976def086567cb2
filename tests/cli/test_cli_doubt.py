#!/usr/bin/python3
"""holdfast where somebody may be wrong or up to something: bytes that are no text, answers that are not the service's,
pipes that nobody fills, terminals where somebody typed ahead. It never does more than it was told, and never says that
something was done when it does not know."""
import base64
import hashlib
import pathlib
import sys

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
                done = cli.run("--timeout", "2s", *arguments)
                told = made[0] == 200 or (str(made[0]) in done.err and "login.example" in done.err)
                checks.check(f"{name}_answered_by_{kind}_is_a_failure", done.status == 1 and told and done.out == "", done)

    def applies_nothing(_method, path, _body, _count):
        plan = {"id": "rec-1", "status": "planned", "waves": [], "dataLoss": {}}
        return (200, {}, {}) if path.endswith("/apply") else (201, {}, plan)

    with FakeService(applies_nothing) as fake:
        done = Command(binary, fake.url).run("restore", "latest", "--yes")
        checks.check("an_apply_that_names_no_recovery_is_a_failure", done.status == 1 and '"id"' in done.err, done)


def check_lists(checks, binary):
    """Lists that never end."""
    events = [{"id": number % 7, "severity": "info", "type": "t", "text": "x"} for number in range(1000)]

    def answer(_method, path, _body, _count):
        if "/events" in path:
            return 200, {}, {"events": events}
        return 200, {}, {"snapshots": [{"id": "full-1"}], "nextCursor": "same"}

    with FakeService(answer) as fake:
        cli = Command(binary, fake.url)
        for name in ("snapshots", "events"):
            done = cli.run(name, "--limit", "0")
            checks.check(f"a_list_of_{name}_that_does_not_end_is_refused", done.status == 1 and "does not end" in
                         done.err, done)
        checks.check("after_few_pages", len(fake.asked) < 8, fake.asked)


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


def doubt(checks, binary):
    check_bytes(checks, binary)
    check_answers(checks, binary)
    check_lists(checks, binary)
    check_archive(checks, binary)
    check_no_reports(checks)


if __name__ == "__main__":
    harness.enter_own_mounts()
    harness.run(doubt)
