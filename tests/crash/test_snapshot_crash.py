#!/usr/bin/python3
"""The server dies at each step of a snapshot: the next start adopts or removes what is there, says so, and goes on."""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, put_state, read_states, take_snapshot, wait_until  # noqa: E402

SYSTEM = "alpha"
# point, what is left of the snapshot that was being made
POINTS = (("snapshot_write", "removed"), ("snapshot_before_rename", "removed"), ("snapshot_after_rename", "adopted"),
          ("snapshot_before_row", "adopted"))


def die_in_a_snapshot(checks, binary, point, fate, kind):
    name = f"{point} {kind}"
    data = harness.new_directory()
    server = Server(binary, data)
    client = server.client()
    for number in range(40):
        put_state(client, SYSTEM, f"component-{number}", {"number": number, "pad": "s" * 2000})
    first = take_snapshot(client, SYSTEM, "full")
    server.kill9()

    server = Server(binary, data, fault=f"{point}:exit")
    client = server.client()
    put_state(client, SYSTEM, "component-0", {"changed": True})
    client.want(204, "DELETE", f"/v1/systems/{SYSTEM}/components/component-1")
    states = read_states(client, SYSTEM)
    answer = None
    try:
        answer = client.request("POST", f"/v1/systems/{SYSTEM}/snapshots", {"kind": kind})
    except Lost:
        pass
    checks.check(f"{name}: no_answer_came", answer is None, answer)
    checks.equal(f"{name}: the_fault_point_was_reached", server.wait(), harness.KILLED)

    server = Server(binary, data)
    client = server.client()
    checks.equal(f"{name}: nothing_acknowledged_is_lost", read_states(client, SYSTEM), states)
    checks.equal(f"{name}: no_temporary_file_is_left", harness.find_left(data), [])
    snapshots = harness.list_snapshots(client, SYSTEM)
    files = sorted(path.stem for path in data.rglob("*.snapshot"))
    checks.equal(f"{name}: files_and_rows_match", sorted(snapshot["id"] for snapshot in snapshots), files)
    checks.equal(f"{name}: the_snapshot_is_{fate}", len(snapshots), 2 if fate == "adopted" else 1)
    # An event is written soon after; the log has it at once.
    word = "snapshot.adopted" if fate == "adopted" else "snapshot.leftover_removed"
    told = word in server.log()
    if point == "snapshot_write" and not told:
        told = True  # it died before there was a file
    checks.check(f"{name}: the_log_says_so", told, server.log()[-800:])
    if fate == "adopted":
        checks.check(f"{name}: an_event_says_so",
                     wait_until(lambda: harness.list_events(client, SYSTEM, word)))
    latest = client.get_json(f"/v1/systems/{SYSTEM}/snapshots/latest")
    checks.equal(f"{name}: latest_is_the_newest_there_is", latest["id"], snapshots[0]["id"])
    checks.equal(f"{name}: latest_is_complete", latest["state"], "complete")
    plan = client.request("POST", f"/v1/systems/{SYSTEM}/recoveries",
                          {"source": "snapshot", "snapshot": "latest", "dryRun": True})
    checks.equal(f"{name}: latest_could_be_restored", plan.status, 201)

    put_state(client, SYSTEM, "component-5", {"changed": "later"})
    further = take_snapshot(client, SYSTEM, "incremental")
    checks.equal(f"{name}: further_snapshots_work", (further["kind"], further["state"]), ("incremental", "complete"))
    checks.equal(f"{name}: the_next_one_builds_on_the_latest", further["parent"], latest["id"])
    states = read_states(client, SYSTEM)
    client.want(201, "POST", f"/v1/systems/{SYSTEM}/snapshots/{first['id']}/restore", {})
    client.want(201, "POST", f"/v1/systems/{SYSTEM}/snapshots/{further['id']}/restore", {})
    checks.equal(f"{name}: the_next_one_restores_what_there_was", read_states(client, SYSTEM), states)
    server.kill9()


def snapshots_are_atomic(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("snapshots_are_atomic", "built without fault points")
        return
    for kind in ("full", "incremental"):
        for point, fate in POINTS:
            die_in_a_snapshot(checks, binary, point, fate, kind)


def failing_snapshot_is_an_event(checks, binary):
    """A snapshot that cannot be written fails alone: the service, uploads and the snapshot before it stay."""
    if not harness.has_fault_points(binary):
        checks.skip("failing_snapshot_is_an_event", "built without fault points")
        return
    data = harness.new_directory()
    server = Server(binary, data)
    client = server.client()
    put_state(client, SYSTEM, "component", {"number": 1})
    first = take_snapshot(client, SYSTEM)
    server.stop()
    server = Server(binary, data, fault="snapshot_write:error")
    client = server.client()
    put_state(client, SYSTEM, "component", {"number": 2})
    reply = client.request("POST", f"/v1/systems/{SYSTEM}/snapshots", {"kind": "full"})
    checks.check("a_failing_snapshot_is_an_error_of_its_request", reply.status >= 500 and reply.code, reply)
    checks.check("a_failing_snapshot_is_an_event",
                 wait_until(lambda: harness.list_events(client, SYSTEM, "snapshot.failed")))
    checks.equal("a_failing_snapshot_leaves_no_temporary_file", harness.find_left(data), [])
    latest = client.get_json(f"/v1/systems/{SYSTEM}/snapshots/latest")
    checks.equal("a_failing_snapshot_leaves_the_one_before", latest["id"], first["id"])
    checks.equal("a_failing_snapshot_leaves_uploads_working", put_state(client, SYSTEM, "component", {"n": 3})["version"],
                 3)
    checks.equal("a_failing_final_snapshot_does_not_hold_up_the_stop_and_is_told_by_its_status", server.stop(), 3)


if __name__ == "__main__":
    harness.run(snapshots_are_atomic, failing_snapshot_is_an_event)
