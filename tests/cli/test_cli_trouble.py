#!/usr/bin/python3
"""holdfast when something is wrong: no service, a service that is away, slow, damaged or lies, wrong tokens and settings,
a full disk. What it says, how it exits, and that no file is left half-written."""
import atexit
import base64
import hashlib
import json
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from commanding import Command, FakeService, check_no_reports, problem, url_of  # noqa: E402
import harness  # noqa: E402
from harness import Server, put_state, take_snapshot  # noqa: E402

SEVERAL_TRIES = "8s"  # long enough for them, also where each comes late


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def check_unreachable(checks, binary):
    cli = Command(binary, f"http://127.0.0.1:{free_port()}")
    for arguments in (["status"], ["get", "x"], ["backup"], ["events", "--follow"], ["archive", "latest", "-o", "a"]):
        done = cli.run("--timeout", "1s", *arguments)
        checks.check(f"{arguments[0]}_of_a_service_that_is_not_there", done.status == 3 and cli.url in done.err
                     and "--url" in done.err, done)
    done = cli.run("doctor")
    checks.check("doctor_of_a_service_that_is_not_there", done.status == 3 and "VERDICT: unreachable" in done.out, done)
    done = cli.run("--timeout", "1s", "snapshots", "--json")
    checks.check("failures_are_json_too", done.status == 3 and done.out == "" and
                 json.loads(done.err)["error"]["code"] == "unreachable", done)
    done = cli.run("--timeout", "1s", "get", b"x", "-o", b"\xff\x1b[2J/x", "--json")
    checks.check("a_failure_about_what_is_no_utf8_is_json", done.status in (1, 3) and "\x1b" not in done.err and
                 json.loads(done.err)["error"]["what"], done)
    done = cli.run("completion", "bash")
    checks.equal("completions_need_no_service", done.status, 0)


def check_settings(checks, binary):
    cli = Command(binary, "http://127.0.0.1:1")
    for name, arguments, said in (
            ("an_unknown_command", ["statsu"], "did you mean status?"),
            ("an_unknown_option", ["backup", "--lable", "x"], "did you mean --label?"),
            ("an_option_that_may_be_several", ["--s", "status"], "holdfast help"),
            ("a_command_that_is_like_no_other", ["frobnicate"], "holdfast help lists them"),
            ("a_missing_argument", ["show"], "needs SNAPSHOT"),
            ("too_many_arguments", ["show", "a", "b"], "does not take b"),
            ("a_missing_value", ["backup", "--label"], "needs a value"),
            ("a_value_where_there_is_none", ["status", "--all=yes"], "takes no value"),
            ("a_token_on_the_command_line", ["--token", "secret", "status"], "did you mean --token-file?"),
            ("a_wrong_color", ["--color", "blue", "status"], "auto, always or never"),
            ("a_wrong_timeout", ["--timeout", "soon", "status"], "as 30s or 5m"),
            ("a_wrong_url", ["--url", "ftp://x", "status"], "http://"),
            ("a_wrong_limit", ["snapshots", "-n", "-1"], "whole number"),
            ("a_wrong_interval", ["watch", "--interval", "soon"], "--interval"),
            ("a_wrong_health", ["components", "--health", "fine"], "--health"),
            ("a_wrong_moment_to_restore", ["restore", "--at", "yesterday", "--yes"], "how long ago"),
            ("a_wrong_moment_to_read", ["get", "agent", "--at", "noon"], "how long ago"),
            ("a_wrong_moment_to_fork", ["fork", "other", "--at", "2026-13-01"], "how long ago"),
            ("a_wrong_moment_to_list", ["snapshots", "--before", "15"], "how long ago"),
            ("a_name_that_is_none", ["get", "no name"], "is no name"),
            ("a_name_of_an_event_that_is_none", ["put", "agent", "/dev/null", "--event", "no name"], "is no name"),
            ("a_config_file_that_is_not_there", ["--config", "/nowhere/x", "status"], "/nowhere/x")):
        done = cli.run(*arguments)
        good = done.status == 2 and (said in done.err or name == "an_option_that_may_be_several")
        checks.check(f"{name}_is_refused", good and done.out == "", done)
    checks.equal("no_command_is_wrong_usage", cli.run().status, 2)

    file = cli.home / ".config/holdfast/config"
    file.parent.mkdir(parents=True)
    cli.url = None
    with FakeService(lambda method, path, body, count: (200, {}, {"systems": []})) as fake:
        def ask(settings, mode=0o600, environment=None, arguments=()):
            file.write_text(settings if isinstance(settings, str) else json.dumps(settings), encoding="utf-8")
            file.chmod(mode)
            return cli.run(*arguments, "systems", environment=environment)

        done = ask({"url": fake.url, "token": "hft_config"})
        checks.check("the_config_file_is_read", done.status == 0 and
                     fake.asked[-1][2].get("Authorization") == "Bearer hft_config", done)
        ask({"url": fake.url, "token": "hft_config"}, environment={"HOLDFAST_TOKEN": "hft_env"})
        checks.equal("the_environment_wins_over_the_file", fake.asked[-1][2].get("Authorization"), "Bearer hft_env")
        token = cli.home / "token"
        token.write_text("hft_file\n", encoding="ascii")
        token.chmod(0o600)
        ask({"url": fake.url}, environment={"HOLDFAST_TOKEN": "hft_env"}, arguments=["--token-file", token])
        checks.equal("a_flag_wins_over_the_environment", fake.asked[-1][2].get("Authorization"), "Bearer hft_file")
        gone = {"url": fake.url, "tokenFile": str(cli.home / "gone")}
        checks.equal("the_token_file_of_the_config_must_be_there", ask(gone).status, 2)
        for name, environment, arguments, wanted in (
                ("a_flag", {"HOLDFAST_TOKEN_FILE": str(cli.home / "gone")}, ["--token-file", token], "hft_file"),
                ("a_variable", {"HOLDFAST_TOKEN": "hft_env"}, [], "hft_env"),
                ("a_variable_with_a_file", {"HOLDFAST_TOKEN_FILE": str(token)}, [], "hft_file")):
            done = ask(gone, environment=environment, arguments=arguments)
            checks.check(f"{name}_wins_over_a_token_file_that_is_gone", done.status == 0 and
                         fake.asked[-1][2].get("Authorization") == f"Bearer {wanted}", done)
        ask({"url": "http://127.0.0.1:1"}, environment={"HOLDFAST_URL": "http://127.0.0.1:2"},
            arguments=["-u", fake.url])
        asked = len(fake.asked)
        done = ask({"url": fake.url, "token": "hft_config"}, mode=0o644)
        checks.check("a_config_file_with_a_token_that_others_read_is_refused", done.status == 2 and "chmod 600" in
                     done.err and "hft_config" not in done.err and len(fake.asked) == asked, done)
        checks.equal("without_a_token_others_may_read_it", ask({"url": fake.url}, mode=0o644).status, 0)
        token.chmod(0o644)
        done = ask({"url": fake.url}, arguments=["--token-file", token])
        checks.check("a_token_file_that_others_read_is_refused", done.status == 2 and "chmod 600" in done.err, done)
        for name, text, said in (("an_unknown_key", '{"ulr":"x"}', "ulr"), ("no_json", "url = x", str(file)),
                                 ("a_wrong_type", '{"url":1}', "url")):
            done = ask(text)
            checks.check(f"a_config_file_with_{name}_is_refused", done.status == 2 and said in done.err, done)
        other = cli.home / "xdg"
        (other / "holdfast").mkdir(parents=True)
        (other / "holdfast/config").write_text(json.dumps({"url": fake.url}), encoding="ascii")
        file.unlink()
        done = cli.run("systems", environment={"XDG_CONFIG_HOME": str(other)})
        checks.check("xdg_config_home_is_respected", done.status == 0, done)


def check_tokens(checks, binary):
    data = harness.new_directory()
    tokens = {}
    for role in ("operator", "viewer"):
        made = subprocess.run([binary, "token", "create", "--role", role, "--tokens-file", str(data / "tokens")],
                              capture_output=True, text=True, check=True)
        tokens[role] = made.stdout.strip()
    server = Server(binary, data, "--tokens-file", str(data / "tokens"))
    cli = Command(binary, url_of(server))

    def run(token, *arguments):
        return cli.run(*arguments, environment={"HOLDFAST_TOKEN": token})

    done = run(None, "systems")
    checks.check("no_token_says_how_to_give_one", done.status == 8 and "--token-file" in done.err, done)
    done = run("hft_wrong", "systems")
    checks.check("a_wrong_token_is_not_told", done.status == 8 and "hft_wrong" not in done.err + done.out, done)
    checks.equal("doctor_without_a_token", run(None, "doctor").status, 8)
    checks.equal("an_operator_may", run(tokens["operator"], "put", "a").status, 1)  # nothing is no JSON
    done = cli.run("put", "a", given="{}", environment={"HOLDFAST_TOKEN": tokens["operator"]})
    checks.equal("an_operator_may_save", done.status, 0)
    checks.equal("a_viewer_may_look", run(tokens["viewer"], "components").status, 0)
    checks.equal("a_viewer_may_not_take_snapshots", run(tokens["viewer"], "backup").status, 8)
    server.stop()


def check_away(checks, binary):
    """503 first, then it is there; never there; and a real one that starts late."""
    good = (200, {}, {"systems": []})
    starting = problem(503, "starting")
    starting[1]["Retry-After"] = "0"
    with FakeService(lambda method, path, body, count: good if count > 2 else starting) as fake:
        done = Command(binary, fake.url).run("systems")
        checks.check("it_waits_for_a_service_that_is_starting", done.status == 0 and len(fake.asked) == 3, done)
    with FakeService(lambda method, path, body, count: starting) as fake:
        done = Command(binary, fake.url).run("--timeout", "6s", "systems")
        checks.check("it_gives_up_on_one_that_stays_away", done.status == 3 and "this is starting" in done.err, done)
    port = free_port()
    started = []
    timer = threading.Timer(0.5, lambda: started.append(Server(binary, harness.new_directory(), port=port)))
    timer.start()
    done = Command(binary, f"http://127.0.0.1:{port}").run("--timeout", "1m", "systems")
    timer.join()
    checks.check("it_waits_for_a_service_that_comes_back", done.status == 0, done)
    started[0].stop()

    over = threading.Event()

    def slow(_method, _path, _body, count):
        over.wait(1.5 if count == 1 else harness.PATIENCE_SECONDS)
        return good

    with FakeService(slow) as fake:
        checks.equal("a_slow_service_is_waited_for", Command(binary, fake.url).run("systems").status, 0)
        done = Command(binary, fake.url).run("--timeout", "1s", "systems")
        over.set()
        checks.check("but_not_for_longer_than_said", done.status == 3, done)
    with FakeService(lambda method, path, body, count: problem(404, "not_found")) as fake:
        checks.equal("what_is_not_there", Command(binary, fake.url).run("show", "x").status, 4)


def chunked(content, trailer):
    return (b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n"
            b"Trailer: Content-Digest\r\n\r\n" + b"%x\r\n" % len(content) + content + b"\r\n0\r\n" + trailer + b"\r\n")


def check_damaged(checks, binary):
    directory = harness.new_directory("damaged")
    content = b"a tar, say" * 100
    digest = b"Content-Digest: sha-256=:" + base64.b64encode(hashlib.sha256(content).digest()) + b":\r\n"
    whole = chunked(content, digest)
    answers = {"other_bytes": chunked(b"x" + content[1:], digest), "no_digest": chunked(content, b""),
               "an_end_too_early": whole[:len(whole) // 2]}
    for name, made in [*answers.items(), ("sound", whole)]:
        def answer(_method, path, _body, _count, made=made):
            return made if "archive" in path else (200, {}, {"id": "full-1", "system": "default", "stateBytes": 1000})

        target = directory / f"{name}.tar"
        target.write_bytes(b"what was there before")
        with FakeService(answer) as fake:
            done = Command(binary, fake.url).run("archive", "latest", "-o", target)
        if name == "sound":
            checks.check("a_sound_archive_is_kept", done.status == 0 and target.read_bytes() == content, done)
        else:
            checks.check(f"an_archive_with_{name}_is_not_kept", done.status in (1, 3) and target.read_bytes() ==
                         b"what was there before", done)
    checks.check("nothing_temporary_is_left", not harness.find_temporary(directory))

    def state(_method, _path, _body, _count):
        return 200, {"Repr-Digest": "sha-256=:" + base64.b64encode(hashlib.sha256(b"other").digest()).decode() + ":",
                     "ETag": '"1-00"', "State-Version": "1", "State-Sequence": "1", "State-Epoch": "1"}, b'{"a":1}'

    with FakeService(state) as fake:
        cli = Command(binary, fake.url)
        done = cli.run("get", "x", "-o", directory / "x")
        checks.check("a_damaged_state_makes_no_file", done.status == 1 and not (directory / "x").exists(), done)
        done = cli.run("get", "x")
        checks.check("nor_is_it_written_to_a_pipe", done.status == 1 and done.out == "", done)
    for name, made in (("no_json", b"<html>"), ("another_value", [1]), ("another_shape", {"snapshots": 1})):
        with FakeService(lambda method, path, body, count, made=made: (200, {}, made)) as fake:
            done = Command(binary, fake.url).run("snapshots")
            checks.check(f"an_answer_of_{name}_is_a_failure", done.status == 1 and "holdfast service" in done.err, done)


def check_found(checks, binary):
    """What was found to be wrong is told by the exit status."""
    snapshot = {"id": "full-1", "state": "complete", "cutAt": "2026-01-01T00:00:00.000Z", "validation":
                {"status": "damaged", "lost": [{"component": "gone", "version": 3}]}}
    figures = {"exposureMs": 700000, "promisedExposureMs": 600000, "unsnapshottedVersions": 5, "lastDrill":
               {"status": "failed", "at": "2026-01-01T00:00:00.000Z", "detail": "it does not come back"}}
    status = {"status": "degraded", "system": "default", "version": "9", "warnings": ["look here"], "recoverability": figures,
              "store": {"engine": "sqlite", "status": "up"}, "mirror": {"status": "down", "pendingFiles": 2}}

    def answer(_method, path, _body, _count):
        for end, made in (("/validate", {"snapshot": "full-1", "status": "damaged", "checks": [
                {"name": "blobs", "status": "failed", "detail": "two are lost"}], "lost": [
                    {"component": "gone", "version": 3}]}), ("status", status), ("/full-1", snapshot)):
            if path.endswith(end):
                return 200, {}, made
        if path.startswith("/v1/systems/default/snapshots"):
            return 200, {}, {"snapshots": [snapshot], "nextCursor": None}
        if "/components" in path:
            return 200, {}, {"components": [{"name": "a", "healthLabel": "failed"}, {"name": "b", "damaged": True}]}
        if "/recoveries" in path:
            return 200, {}, {"recoveries": [{"id": "rec-1", "status": "failed"}]}
        return 200, {}, {"events": []}

    with FakeService(answer) as fake:
        cli = Command(binary, fake.url)
        done = cli.run("validate", "full-1")
        checks.check("validate_of_a_damaged_snapshot", done.status == 7 and "Lost: gone, version 3" in done.out
                     and "two are lost" in done.out, done)
        done = cli.run("validate", "--all")
        checks.check("validate_all_with_a_damaged_one", done.status == 7 and "1 snapshot, 1 damaged" in done.out, done)
        done = cli.run("show", "full-1")
        checks.check("show_tells_what_is_lost", done.status == 0 and "Lost: gone, version 3" in done.out, done)
        done = cli.run("status")
        checks.check("status_that_is_degraded", done.status == 7 and "[!] DEGRADED" in done.out
                     and "Warning: look here" in done.out, done)
        done = cli.run("doctor")
        found = [line.split()[1] for line in done.out.splitlines() if line.startswith("[XX]")]
        checks.check("doctor_finds_all_of_it", done.status == 7 and found == ["exposure", "drill", "damage", "states",
                                                                             "recovery"], done)
        checks.check("doctor_names_the_first_thing_to_do", "VERDICT: in danger\nNEXT: holdfast --system default backup\n"
                     in done.out, done)


def check_young(checks, binary):
    """What has not come yet, and was not due, is no problem."""
    figures = {"exposureMs": 3000, "promisedExposureMs": 600000, "unsnapshottedVersions": 1, "lastDrill": None}
    status = {"status": "operational", "system": "default", "version": "9", "warnings": [], "recoverability": figures,
              "systemHealth": {"overallHealth": 1}, "store": {"engine": "sqlite", "status": "up"}, "mirror": None}
    passed = {"status": "passed", "at": "2020-01-01T00:00:00.000Z", "detail": "all of it came back"}
    past, future = "2020-01-02T00:00:00.000Z", "2999-01-01T00:00:00.000Z"

    def answer(_method, path, _body, _count):
        if path.endswith("status"):
            return 200, {}, status
        return 200, {}, {"snapshots": [], "components": [], "recoveries": [], "events": [], "nextCursor": None}

    def findings():
        done = cli.run("doctor", "--json")
        return done.status, {row["name"]: row["finding"] for row in done.json()["findings"]}, done

    with FakeService(answer) as fake:
        cli = Command(binary, fake.url)
        for name, drill, due, finding in (
                ("never_drilled_and_not_due", None, future, "good"), ("never_drilled_and_overdue", None, past, "warning"),
                ("never_drilled_and_never_will_be", None, None, "warning"), ("drilled_long_ago", passed, past, "warning"),
                ("drilled_long_ago_and_seldom", passed, future, "good")):
            figures["lastDrill"], figures["nextDrillBy"] = drill, due
            status_of, found, done = findings()
            checks.check(f"doctor_of_a_system_{name}", found["drill"] == finding and found["snapshots"] == "good"
                         and status_of == (0 if finding == "good" else 7), done)
        room = {"place": "data", "freeBytes": 5 << 30, "totalBytes": 10 << 30, "low": False}
        status["storage"] = [room, {"place": "mirror", "freeBytes": None, "totalBytes": None, "low": False}]
        status_of, found, done = findings()
        checks.check("doctor_of_a_service_with_room", status_of == 0 and found["storage"] == "good"
                     and "50% is free, or more" in done.out, done)
        room.update(freeBytes=1 << 20, low=True)
        status_of, found, done = findings()
        checks.check("doctor_of_a_disk_that_fills_up", status_of == 7 and found["storage"] == "warning"
                     and "1.0 MiB of 10.0 GiB free for data" in done.out
                     and done.json()["next"] == "holdfast --system default status --all", done)
        status["storage"] = []
        figures["exposureMs"] = 700000
        status_of, found, done = findings()
        checks.check("doctor_of_a_system_whose_first_snapshot_is_overdue", status_of == 7
                     and found["exposure"] == found["snapshots"] == "danger", done)


def check_lost_answers(checks, binary):
    """The answer to a restore is lost: it is asked for again with the same key, and at last it is looked up."""
    plan = {"id": "rec-1", "system": "default", "status": "planned", "waves": [], "dataLoss": {}}
    lost = []

    def answer_at_last(_method, path, _body, _count):
        if not path.endswith("/apply"):
            return 201, {}, plan
        lost.append(path)
        return b"" if len(lost) < 3 else (200, {}, dict(plan, status="applied", epoch=2))

    with FakeService(answer_at_last) as fake:
        done = Command(binary, fake.url).run("restore", "latest", "--yes")
        keys = [headers.get("Idempotency-Key") for _, path, headers in fake.asked if path.endswith("/apply")]
        checks.check("a_restore_whose_answer_is_lost_is_asked_for_with_the_same_key", done.status == 0 and
                     len(keys) == 3 and keys[0] and len(set(keys)) == 1, (done, keys))
        lost.clear()
        done = Command(binary, fake.url).run("restore", "latest", "--yes")
        other = fake.asked[-1][2].get("Idempotency-Key")
        checks.check("another_restore_has_another_key", done.status == 0 and other and other not in keys, (done, other))

    def ask_in_vain(name, status, wanted):
        applied = []

        def answer(method, path, _body, _count):
            if path.endswith("/apply"):
                applied.append(path)
                return b""
            return (201, {}, plan) if method == "POST" else (200, {}, dict(plan, status=status, epoch=2))

        with FakeService(answer) as fake:
            done = Command(binary, fake.url).run("--timeout", SEVERAL_TRIES, "restore", "latest", "--yes")
            checks.check(f"a_restore_whose_answer_is_lost_and_that_was_{name}", done.status == wanted and
                         len(applied) > 1, (done, applied))

    def lose_it(name, then):
        tries = []

        def answer_no_more(_method, path, _body, _count):
            if path.endswith("/apply"):
                tries.append(path)
            return (201, {}, plan) if not tries else b"" if len(tries) == 1 else then

        with FakeService(answer_no_more) as fake:
            done = Command(binary, fake.url).run("--timeout", SEVERAL_TRIES, "restore", "latest", "--yes")
            checks.check(f"a_restore_whose_answer_is_lost_by_a_service_that_{name}_may_have_been_done",
                         done.status != 0 and len(tries) > 1 and "nobody can tell" in done.err and
                         "was not applied" not in done.err, (done, tries))

    with ThreadPoolExecutor() as pool:  # each mostly waits
        for ended in [pool.submit(ask_in_vain, "applied", "applied", 0), pool.submit(ask_in_vain, "not_applied", "planned", 1),
                      pool.submit(lose_it, "stays_away", b""), pool.submit(lose_it, "has_no_room", problem(503, "overloaded")),
                      pool.submit(lose_it, "turns_us_away", problem(401, "unauthorized"))]:
            ended.result()


def check_others_snapshots(checks, binary):
    """A snapshot that was asked for while another waited is that other one: it is asked for again."""
    begun = []

    def answer(method, path, body, _count):
        if method == "POST" and path.endswith("/snapshots"):
            begun.append(json.loads(body))
            return 202, {}, {"id": f"s-{len(begun)}", "system": "default", "state": "running"}
        mine = path.endswith("/s-2")
        return 200, {}, {"id": path.rpartition("/")[2], "state": "complete", "kind": "full" if mine else "incremental",
                         "label": "mine" if mine else "theirs", "validation": {"status": "valid"}}

    with FakeService(answer) as fake:
        done = Command(binary, fake.url).run("backup", "--label", "mine", "--json")
        checks.check("a_backup_is_ones_own", done.status == 0 and done.json()["id"] == "s-2" and len(begun) == 2, done)
        done = Command(binary, fake.url).run("backup", "--label", "never")
        checks.check("a_backup_that_never_is_ones_own_is_a_conflict", done.status == 5, done)


def check_interrupted(checks, binary):
    directory = harness.new_directory("interrupted")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: 1000000\r\n\r\n"
    going = threading.Event()

    def trickle():
        yield head + b"x" * 1000
        for _ in range(600):
            time.sleep(0.1)
            going.set()
            yield b"x"

    def answer(_method, path, _body, _count):
        return trickle() if "archive" in path else (200, {}, {"id": "full-1", "system": "default", "stateBytes": 1000})

    target = directory / "a.tar"
    target.write_bytes(b"before")
    with FakeService(answer) as fake:
        cli = Command(binary, fake.url)
        for number, wanted in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            going.clear()
            process = subprocess.Popen([cli.path, "archive", "latest", "-o", str(target)], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=cli.environment())
            begun = going.wait(harness.PATIENCE_SECONDS) and harness.wait_until(lambda: harness.find_temporary(directory))
            process.send_signal(number)
            out, err = process.communicate(timeout=harness.PATIENCE_SECONDS)
            cli.note(["archive"], err.decode())
            checks.check(f"a_download_ended_by_signal_{number}_leaves_the_file_as_it_was", begun and process.returncode ==
                         wanted and target.read_bytes() == b"before" and not harness.find_temporary(directory)
                         and out == b"", (process.returncode, err))


def small_disk():
    """A directory with little room; None where mounting is not allowed."""
    directory = harness.new_directory("small")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "holdfast-test", str(directory)],
                          check=False, capture_output=True)
    if done.returncode != 0:
        return None
    atexit.register(subprocess.run, ["umount", "-l", str(directory)], check=False)
    return directory


def check_full(checks, binary):
    server = Server(binary, harness.new_directory())
    client = server.client()
    put_state(client, "default", "large", harness.random.randbytes(1 << 20), Content_Type="application/octet-stream")
    take_snapshot(client, "default")
    cli = Command(binary, url_of(server))
    disk = small_disk()
    directory = disk or harness.new_directory("limited")

    def limit():
        if not disk:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, 256 << 10))

    for name, arguments in (("get", ["get", "large"]), ("archive", ["archive", "latest"])):
        target = directory / name
        target.write_bytes(b"before")
        done = cli.run(*arguments, "-o", target, preexec_fn=limit)
        checks.check(f"{name}_on_a_full_disk_leaves_the_file_as_it_was", done.status == 1 and str(target) in done.err and
                     target.read_bytes() == b"before", done)
    checks.check("and_nothing_else", not harness.find_temporary(directory), list(directory.iterdir()))
    done = cli.run("get", "large", "-o", directory / "no/such/directory")
    checks.check("a_directory_that_is_not_there", done.status == 1 and "No such file" in done.err, done)
    client.close()
    server.stop()


def trouble(checks, binary):
    check_unreachable(checks, binary)
    check_settings(checks, binary)
    check_tokens(checks, binary)
    check_away(checks, binary)
    check_damaged(checks, binary)
    check_found(checks, binary)
    check_young(checks, binary)
    check_lost_answers(checks, binary)
    check_others_snapshots(checks, binary)
    check_interrupted(checks, binary)
    check_full(checks, binary)
    check_no_reports(checks)


if __name__ == "__main__":
    harness.enter_own_mounts()
    harness.run(trouble)
