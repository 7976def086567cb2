#!/usr/bin/python3
"""Every command of holdfast against a real service, in a pipe, for people and as JSON."""
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from commanding import Command, check_no_reports, url_of  # noqa: E402
import harness  # noqa: E402
from harness import Server, put_state  # noqa: E402


def fill(server):
    client = server.client()
    client.want(201, "PUT", "/v1/systems/default/components/model", {"kind": "model"})
    client.want(201, "PUT", "/v1/systems/default/components/agent-7", {"kind": "agent", "dependsOn": ["model"]})
    put_state(client, "default", "model", b"\x00\x01binary", Content_Type="application/octet-stream")
    put_state(client, "default", "agent-7", {"step": 1})
    client.want(204, "POST", "/v1/systems/default/components/agent-7/heartbeat",
                {"health": 0.9, "metrics": {"judgments": 1247, "learningEvents": 623}})
    client.close()


def check_states(checks, cli, directory):
    done = cli.run("put", "agent-7", "-", given='{"step":2}')
    checks.check("put_tells_the_version", done.status == 0 and "version 2" in done.out, done)
    done = cli.run("put", "agent-7", "--json", "--event", "reward", given='{"step":3}')
    checks.check("put_answers_a_receipt", done.status == 0 and done.json()["version"] == 3, done)
    etag = done.json()["etag"].strip('"')
    done = cli.run("put", "agent-7", "--if-match", "1-0000000000000000", given='{"step":4}')
    checks.check("put_with_a_stale_etag_is_a_conflict", done.status == 5, done)
    done = cli.run("put", "agent-7", "--if-match", etag, given='{"step":3}')
    checks.check("put_takes_an_etag_without_quotes", done.status == 0 and "unchanged" in done.out, done)
    done = cli.run("put", "agent-7", "--if-absent", given="{}")
    checks.equal("put_if_absent_is_a_conflict_where_there_is_a_state", done.status, 5)
    done = cli.run("put", "agent-7", given="no JSON")
    checks.check("put_of_what_is_no_json_says_what_to_do", done.status == 1 and "--content-type" in done.err, done)

    done = cli.run("get", "agent-7")
    checks.check("get_gives_the_bytes", done.status == 0 and done.out == '{"step":3}', done)
    checks.equal("get_of_a_binary_state_in_a_pipe", cli.run("get", "model", text=False).out, b"\x00\x01binary")
    checks.equal("get_of_a_version", cli.run("get", "agent-7", "--version", "1").out, '{"step": 1}')
    document = cli.run("get", "agent-7", "--json").json()
    checks.equal("get_as_json_holds_the_state", (document["state"], document["version"]), ({"step": 3}, 3))
    document = cli.run("get", "model", "--json").json()
    checks.equal("get_as_json_of_bytes", document["stateBase64"], "AAFiaW5hcnk=")
    target = directory / "state"
    target.write_text("old", encoding="ascii")
    target.chmod(0o640)
    done = cli.run("get", "model", "-o", target)
    checks.check("get_replaces_a_file", done.status == 0 and target.read_bytes() == b"\x00\x01binary", done)
    checks.equal("a_replaced_file_keeps_its_mode", target.stat().st_mode & 0o777, 0o640)
    checks.equal("get_takes_one_moment", cli.run("get", "model", "--version", "1", "--at", "1h").status, 2)
    checks.equal("get_of_what_is_not_there", cli.run("get", "nobody").status, 4)
    for command in (["put", "agent-7"], ["import"]):
        done = cli.run(*command, "no-such-file")
        checks.check(f"{command[0]}_of_a_file_that_is_not_there", done.status == 1 and "No such file" in done.err, done)
    done = cli.run("history", "agent-7")
    checks.check("history_is_newest_first", done.status == 0 and [line.split()[0] for line in
                                                                 done.out.splitlines()[1:]] == ["3", "2", "1"], done)
    checks.check("history_tells_events", "reward" in done.out, done)
    done = cli.run("history", "agent-7", "-n", "2")
    checks.check("a_limit_that_hides_something_is_told", len(done.out.splitlines()) == 3 and "--limit 0" in done.err, done)
    checks.check("nothing_is_told_where_all_is_shown", cli.run("history", "agent-7", "-n", "0").err == "")
    checks.equal("history_takes_a_limit", len(cli.run("history", "agent-7", "-n", "1", "--json").json()["versions"]), 1)
    done = cli.run("components")
    checks.check("components_are_listed", done.status == 0 and "agent-7" in done.out and "model" in done.out, done)
    found = cli.run("components", "--kind", "agent", "--json").json()["components"]
    checks.equal("components_by_kind", [component["name"] for component in found], ["agent-7"])


def check_snapshots(checks, cli, directory):
    done = cli.run("backup", "--label", "first \u6f22\u5b57")
    first = done.out.splitlines()[0]
    checks.check("backup_ends_with_id_sizes_and_validation", done.status == 0 and first.startswith("full-")
                 and "valid" in done.out and "2 components" in done.out and "first \u6f22\u5b57" in done.out, done)
    done = cli.run("backup", "--incremental", "--json")
    checks.check("an_incremental_of_nothing_new_is_the_one_before", done.json()["unchanged"]
                 and done.json()["id"] == first, done)
    cli.run("put", "agent-7", given='{"step":9}')
    done = cli.run("backup", "-i", "--json")
    checks.check("backup_incremental", done.json()["kind"] == "incremental" and not done.json()["unchanged"]
                 and done.json()["validation"]["status"] == "valid", done)
    second = done.json()["id"]
    done = cli.run("snapshots")
    checks.check("snapshots_are_newest_first", [line.split()[0] for line in done.out.splitlines()[1:]] == [second, first],
                 done)
    found = cli.run("snapshots", "--kind", "full", "--json").json()["snapshots"]
    checks.equal("snapshots_by_kind", [snapshot["id"] for snapshot in found], [first])
    checks.equal("snapshots_before_a_moment", cli.run("snapshots", "--before", "2h", "--json").json(), {"snapshots": []})
    done = cli.run("show", "latest", "--components")
    checks.check("show_lists_what_it_holds", done.status == 0 and second in done.out and "agent-7" in done.out, done)
    checks.equal("show_as_json", [part["name"] for part in cli.run("show", first, "--components", "--json")
                                  .json()["held"]], ["agent-7", "model"])
    checks.equal("show_of_what_is_not_there", cli.run("show", "full-x").status, 4)
    done = cli.run("diff", first)
    checks.check("diff_names_what_changed", done.status == 0 and "1 changed" in done.out and "agent-7" in done.out, done)
    done = cli.run("diff", first, "now", "--component", "agent-7", "--json")
    checks.equal("diff_of_one_has_the_patch", done.json()["patch"], [{"op": "replace", "path": "/step", "value": 9}])
    done = cli.run("validate", "latest")
    checks.check("validate_prints_each_check", done.status == 0 and "structure" in done.out and "valid" in done.out, done)
    done = cli.run("validate", "--all", "--json")
    checks.equal("validate_all", [entry["status"] for entry in done.json()["validations"]], ["valid", "valid"])
    checks.equal("validate_needs_to_know_what", cli.run("validate").status, 2)
    done = cli.run("pin", first, "--label", "kept", "--json")
    checks.check("pin", done.json()["pinned"] and done.json()["label"] == "kept", done)
    checks.check("pin_off", "not pinned" in cli.run("pin", first, "--off").out)

    done = cli.run("archive", first, "-o", directory / "a.tar")
    with tarfile.open(directory / "a.tar") as tar:
        checks.equal("archive_is_a_tar", sorted(tar.getnames()), ["manifest.json", "states/agent-7", "states/model"])
    checks.check("archive_tells_its_hash", harness.label((directory / "a.tar").read_bytes()) in done.out, done)
    done = cli.run("archive", "latest", "--zstd", "--json", cwd=directory)
    name = done.json()["file"]
    checks.check("archive_names_the_file_by_itself", name == f"default-{second}.tar.zst" and
                 (directory / name).stat().st_size == done.json()["bytes"], done)
    checks.equal("archive_to_standard_output", cli.run("archive", first, "-o", "-", text=False).out,
                 (directory / "a.tar").read_bytes())
    checks.check("archive_leaves_no_temporary_file", not harness.find_temporary(directory))
    done = cli.run("--system", "copy", "import", directory / name, "--json")
    checks.check("import_of_a_file", done.status == 0 and done.json()["trigger"] == "import", done)
    done = cli.run("-s", "copy", "import", "-", "--label", "again", given=(directory / "a.tar").read_bytes())
    checks.check("import_of_standard_input", done.status == 0 and "again" in done.out and "No state was changed" in
                 done.err, done)
    (directory / "junk").write_bytes(b"no archive" * 100)
    checks.equal("import_of_junk_fails", cli.run("import", directory / "junk").status, 1)
    return first


def check_restores(checks, cli, first):
    done = cli.run("restore", first)
    checks.check("restore_shows_the_plan_and_refuses_in_a_pipe", done.status == 6 and "1 version in 1 component would be "
                 "lost" in done.out and "WAVE" in done.out and "--yes" in done.err, done)
    checks.equal("a_refused_restore_changes_nothing", cli.run("get", "agent-7").out, '{"step":9}')
    waves = [line.split()[:2] for line in done.out.splitlines() if line.split()[:1] in (["0"], ["1"])]
    checks.equal("the_plan_has_its_waves", waves, [["0", "model"], ["1", "agent-7"]])
    done = cli.run("restore", first, "--json")
    checks.check("restore_as_json_refuses_too", done.status == 6 and done.json()["status"] == "planned"
                 and json.loads(done.err)["error"]["exit"] == 6, done)
    plan = cli.run("restore", first, "--dry-run", "--json").json()
    cli.run("put", "model", "--content-type", "text/plain", given="moved on")
    done = cli.run("restore", "--plan", plan["id"], "--yes")
    checks.check("a_plan_that_was_overtaken_is_a_conflict", done.status == 5 and "--force" in done.err, done)
    done = cli.run("restore", "--plan", plan["id"], "--yes", "--force", "--reason", "a test", "--json")
    checks.check("that_very_plan_is_applied", done.status == 0 and done.json()["id"] == plan["id"]
                 and done.json()["status"] == "applied" and done.json()["reason"] == "a test", done)
    checks.equal("the_old_state_is_back", cli.run("get", "agent-7").out, '{"step":3}')
    checks.equal("a_plan_is_applied_once", cli.run("restore", "--plan", plan["id"], "--yes").status, 5)
    cli.run("put", "agent-7", given='{"step":50}')
    done = cli.run("restore", first, "-c", "agent-7", "--include-dependencies", "--yes", "--reason", "only one")
    checks.check("restore_of_one_tells_what_came_of_it", done.status == 0 and "applied" in done.out and "epoch is now 3"
                 in done.out, done)
    checks.equal("restore_needs_one_source", cli.run("restore", first, "--at", "1h").status, 2)
    checks.equal("salvage_needs_an_id", cli.run("restore", "latest", "--salvage").status, 2)
    done = cli.run("restore", "--at", "0s", "--dry-run")
    checks.check("restore_of_a_moment_ago", done.status == 0 and "nothing would be lost" in done.out, done)
    done = cli.run("recoveries")
    checks.check("recoveries_are_listed", done.status == 0 and plan["id"] in done.out and "only one" in done.out, done)
    done = cli.run("recoveries", plan["id"])
    checks.check("a_recovery_has_a_report", done.status == 0 and "RECOVERY REPORT" in done.out, done)
    checks.equal("a_recovery_as_json", cli.run("recoveries", plan["id"], "--json").json()["id"], plan["id"])


def check_watching(checks, cli):
    done = cli.run("status")
    for line in ("SYSTEM STATUS: default", "Active Agents: ", "Total Judgments: 1,247", "Learning Events: 623",
                 "Central Nervous System: [x] OPERATIONAL", "Next Backup: ", "System Health: ", "Recoverable: "):
        checks.check(f"status_has_{line.split(':')[0].strip()}", done.status == 0 and line in done.out, done)
    checks.equal("status_as_json", cli.run("status", "--json").json()["system"], "default")
    checks.check("status_of_all", "Systems: 2" in cli.run("status", "--all").out)
    checks.equal("status_of_a_named_system_that_is_not_there", cli.run("-s", "nobody", "status").status, 4)
    done = cli.run("doctor")
    checks.check("doctor_of_a_young_system_asks_for_no_drill", done.status == 0 and "VERDICT: healthy" in done.out
                 and "the first restore drill comes by itself within" in done.out, done)
    done = cli.run("drill", "--json")
    checks.check("drill_passes", done.status == 0 and done.json()["status"] == "passed", done)
    checks.check("drills_are_listed", "passed" in cli.run("drill", "--list").out)
    done = cli.run("doctor")
    checks.check("doctor_ends_in_a_verdict_and_the_next_step", done.status == 0 and "VERDICT: healthy\nNEXT: nothing to "
                 "do\n" in done.out, done)
    done = cli.run("doctor", "--json")
    checks.check("doctor_as_json", done.json()["verdict"] == "healthy" and done.json()["next"] is None
                 and len(done.json()["findings"]) > 8, done)
    done = cli.run("--system", "nobody", "doctor", "-q")
    checks.check("doctor_names_the_next_command", done.status == 7 and "needs attention" in done.out
                 and "NEXT: holdfast --system nobody systems" in done.out, done)
    done = cli.run("events")
    lines = [line for line in done.out.splitlines() if line.startswith("20")]
    checks.check("events_are_oldest_first", done.status == 0 and lines and
                 [line[:19] for line in lines] == sorted(line[:19] for line in lines), done)
    events = cli.run("events", "--severity", "warning", "--json").json()["events"]
    checks.equal("events_by_severity", {event["severity"] for event in events}, {"warning"})
    after = cli.run("events", "--after", events[-1]["id"], "--json").json()["events"]
    checks.check("events_after_one", all(event["id"] > events[-1]["id"] for event in after), after)
    check_newest_events(checks, cli)
    done = cli.run("fork", "what-if", "--snapshot", "latest", "--description", "a trial", "--json")
    checks.check("fork", done.status == 0 and done.json()["forkedFrom"]["system"] == "default", done)
    checks.equal("fork_of_a_name_that_is_taken", cli.run("fork", "what-if").status, 5)
    done = cli.run("systems")
    checks.check("systems", done.status == 0 and "what-if" in done.out and "a trial" in done.out, done)
    checks.equal("version_as_json", set(cli.run("version", "--json").json()), {"command", "library", "service"})
    checks.check("option_version", cli.run("--version").out.startswith("holdfast "))


def check_newest_events(checks, cli):
    """The newest are asked for alone; --limit 0 and --after are from the oldest on. More may come at any time."""
    everything = cli.run("events", "--limit", "0", "--json").json()["events"]
    ids = [event["id"] for event in everything]
    checks.check("all_events_are_in_order", len(ids) > 3 and ids == sorted(set(ids)), ids)
    newest = [event["id"] for event in cli.run("events", "--limit", "3", "--json").json()["events"]]
    checks.check("the_newest_events_oldest_first", len(newest) == 3 and newest == sorted(newest)
                 and newest[0] >= ids[-3], (newest, ids))
    later = [event["id"] for event in cli.run("events", "--after", ids[1], "--limit", "2", "--json").json()["events"]]
    checks.check("the_newest_after_one", len(later) == 2 and later[0] >= ids[-2], (later, ids))
    lines = cli.run("events", "-n0").out.splitlines()
    checks.check("all_events_as_lines", len(lines) >= len(ids) and everything[0]["type"] in lines[0], lines)


def check_endless(checks, cli):
    """events --follow and watch, in a pipe: line by line, ended by SIGINT."""
    for name, arguments in (("events_follow", ["events", "--follow", "--json"]), ("watch", ["watch", "--json"]),
                            ("watch_lines", ["watch", "--interval", "1s"])):
        process = subprocess.Popen([cli.path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=cli.environment())
        first = process.stdout.readline().decode()
        process.send_signal(2)
        _, err = process.communicate(timeout=harness.PATIENCE_SECONDS)
        cli.note(arguments, err.decode())
        good = first.startswith("{") and json.loads(first) if "--json" in arguments else first.strip()
        checks.check(f"{name}_gives_lines_and_ends_when_interrupted", good and process.returncode == 130, (first, err))
    check_burst(checks, cli)
    process = subprocess.Popen([cli.path, "events", "--follow", "--after", "999999999"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=cli.environment())
    process.stdout.close()

    def is_over():
        cli.run("put", "tick", "--event", "tick", given=json.dumps(os.urandom(8).hex()))
        return process.poll() is not None

    harness.wait_until(is_over, pause=0.2)
    checks.check("events_follow_ends_when_nobody_reads", process.poll() == 141, process.poll())
    process.stderr.close()


def check_burst(checks, cli):
    """watch in a pipe shows each event, also where many come between two looks."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([cli.path, "watch", "--interval", "1s"], stdout=output, stderr=subprocess.PIPE,
                                   env=cli.environment())

        def lines():
            output.seek(0)
            return output.read().decode().splitlines()

        harness.wait_until(lambda: any("health" in line for line in lines()))
        client = harness.Client(int(cli.url.rpartition(":")[2]))
        batch = "".join(json.dumps({"component": f"burst-{i}", "state": i, "event": f"burst-{i}"}) + "\n"
                        for i in range(40))
        client.want(200, "POST", "/v1/systems/default/states", batch.encode(), {"Content-Type": "application/x-ndjson"})
        client.close()
        harness.wait_until(lambda: any("burst-39" in line for line in lines()))
        process.send_signal(2)
        _, err = process.communicate(timeout=harness.PATIENCE_SECONDS)
        cli.note(["watch"], err.decode())
        told = [line.rpartition(" ")[2] for line in lines() if "state.event" in line and "burst-" in line]
    checks.equal("watch_in_a_pipe_shows_every_event_once", told, [f"burst-{i}" for i in range(40)])


def check_pipes(checks, cli):
    shell = f"{cli.path} help restore | head -n 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", f"for i in 1 2 3; do {shell}; done"], env=cli.environment(), check=False,
                          capture_output=True, text=True)
    checks.check("a_reader_that_leaves_is_no_failure_to_be_told", done.stderr == "" and
                 set(done.stdout.split()) <= {"0", "141"}, done)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([cli.path, "snapshots"], stdout=full, stderr=subprocess.PIPE, env=cli.environment(),
                              check=False)
    checks.check("output_that_cannot_be_written_is_a_failure", done.returncode == 1 and b"No space left" in done.stderr,
                 done)
    done = cli.run("snapshots", "--color", "always")
    checks.check("colours_are_there_when_wanted", "\x1b[" in done.out, done)
    checks.check("no_colours_in_a_pipe", "\x1b" not in cli.run("snapshots").out)


def commands(checks, binary):
    server = Server(binary, harness.new_directory())
    cli = Command(binary, url_of(server))
    directory = harness.new_directory("files")
    done = cli.run("status")
    checks.check("status_of_a_service_without_systems", done.status == 0 and "Systems: 0" in done.out, done)
    fill(server)
    check_states(checks, cli, directory)
    first = check_snapshots(checks, cli, directory)
    check_restores(checks, cli, first)
    check_watching(checks, cli)
    check_endless(checks, cli)
    check_pipes(checks, cli)
    check_no_reports(checks)
    server.stop()


if __name__ == "__main__":
    harness.run(commands)
