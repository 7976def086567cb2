#!/usr/bin/python3
"""The server dies in the middle of a restore: afterwards it is wholly applied, or nothing of it."""
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, put_state, read_states, take_snapshot  # noqa: E402

SYSTEM = "alpha"


def prepare(binary, data, options):
    """A snapshot, then changes, new components and a deletion. Returns (snapshot, its states, the states now)."""
    server = Server(binary, data, **options)
    client = server.client()
    for number in range(80):
        put_state(client, SYSTEM, f"component-{number}", {"number": number, "pad": "z" * 300})
    put_state(client, SYSTEM, "large", os.urandom(150000), Content_Type="application/octet-stream")
    snapshot = take_snapshot(client, SYSTEM)
    then = read_states(client, SYSTEM)
    # So many that a restore writes them in more than one portion.
    many = [{"component": f"many-{number}", "state": {"number": number}} for number in range(400)]
    for number in range(0, 80, 2):
        put_state(client, SYSTEM, f"component-{number}", {"number": number, "changed": True})
    client.want(200, "POST", f"/v1/systems/{SYSTEM}/states", {"states": many})
    client.want(204, "DELETE", f"/v1/systems/{SYSTEM}/components/component-1")
    for number in range(20):
        put_state(client, SYSTEM, f"later-{number}", {"number": number})
    now = read_states(client, SYSTEM)
    server.kill9()
    return snapshot, then, now


def ask(client, path, body):
    """What was answered; None when the answer was lost."""
    try:
        return client.request("POST", path, body, {"Idempotency-Key": "a-key"})
    except Lost:
        return None


def repeat_restore(checks, name, client, wanted, applied, epoch, states):
    """With its key it is the one that was applied, else it is applied now; and twice in a row is once."""
    path = f"/v1/systems/{SYSTEM}/recoveries"
    replies = [ask(client, path, wanted) for _ in range(2)]
    checks.equal(f"{name}: the_repetitions_are_answered_as_the_first", [reply and reply.status for reply in replies],
                 [201, 201])
    ids = [reply.json()["id"] for reply in replies]
    checks.equal(f"{name}: the_repetitions_get_one_recovery", ids, 2 * (applied or ids[:1]))
    checks.equal(f"{name}: it_is_recorded_once",
                 [recovery["id"] for recovery in client.get_all(path, "recoveries")], ids[:1])
    checks.equal(f"{name}: the_epoch_rose_once", client.get_json(f"/v1/systems/{SYSTEM}")["epoch"], epoch)
    checks.equal(f"{name}: the_states_are_those_of_the_snapshot", read_states(client, SYSTEM), states)


def die_in_a_restore(checks, binary, engine, point, applied):
    name = f"{engine} {point}"
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    snapshot, then, now = prepare(binary, data, options)

    server = Server(binary, data, fault=f"{point}:exit", **options)
    client = server.client()
    before = client.get_json(f"/v1/systems/{SYSTEM}")
    wanted = {"source": "snapshot", "snapshot": snapshot["id"], "reason": "a test"}
    answer = ask(client, f"/v1/systems/{SYSTEM}/recoveries", wanted)
    checks.check(f"{name}: no_answer_came", answer is None, answer)
    checks.equal(f"{name}: the_fault_point_was_reached", server.wait(), harness.KILLED)

    server = Server(binary, data, **options)
    client = server.client()
    after = client.get_json(f"/v1/systems/{SYSTEM}")
    checks.equal(f"{name}: the_restore_is_{'wholly' if applied else 'not at all'}_applied", read_states(client, SYSTEM),
                 then if applied else now)
    checks.equal(f"{name}: the_epoch_is_that_of_the_states", after["epoch"], before["epoch"] + applied)
    recoveries = client.get_all(f"/v1/systems/{SYSTEM}/recoveries", "recoveries")
    # The row that tells of a restore is committed with it.
    done = [recovery for recovery in recoveries if recovery["status"] in ("applied", "completed")]
    checks.equal(f"{name}: recoveries_tell_the_same", len(done), int(applied))
    # A restore that was begun and did not come to be leaves no trace that would wait for somebody.
    checks.equal(f"{name}: nothing_else_is_recorded", len(recoveries), int(applied))
    for recovery in done:
        progress = client.get_json(f"/v1/systems/{SYSTEM}/recoveries/{recovery['id']}")["progress"]
        checks.equal(f"{name}: its_components_can_report", (progress["total"], progress["pending"]),
                     (len(then), len(then)))
    repeat_restore(checks, name, client, wanted, [recovery["id"] for recovery in done], before["epoch"] + 1, then)
    again = take_snapshot(client, SYSTEM)
    checks.equal(f"{name}: root_hashes_are_equal_as_the_states_are", again["rootHash"], snapshot["rootHash"])

    reply = client.want(201, "POST", f"/v1/systems/{SYSTEM}/snapshots/{snapshot['id']}/restore", {})
    checks.equal(f"{name}: the_restore_works_afterwards", (reply.json()["status"], read_states(client, SYSTEM)),
                 ("applied", then))
    server.kill9()


def restores_are_atomic(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("restores_are_atomic", "built without fault points")
        return
    for engine in ("sqlite", "postgres"):
        for point in ("recovery_planned", "recovery_midway", "recovery_before_row", "recovery_before_commit"):
            die_in_a_restore(checks, binary, engine, point, False)
        for point in ("recovery_before_publish", "recovery_after_commit", "recovery_before_snapshot"):
            die_in_a_restore(checks, binary, engine, point, True)


def die_before_the_answer(checks, binary, engine, what):
    """A start from the present, a plan, or the application of one: it is there, and a repetition gets it."""
    name = f"{engine} {what}"
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    fault = "recovery_after_commit:exit" if what == "apply" else "recovery_recorded:exit"
    server = Server(binary, data, fault=fault, **options)
    client = server.client()
    put_state(client, SYSTEM, "only", {"n": 1})
    put_state(client, SYSTEM, "only", {"n": 2})
    snapshot = take_snapshot(client, SYSTEM)
    put_state(client, SYSTEM, "only", {"n": 3})
    path, status, body = f"/v1/systems/{SYSTEM}/recoveries", 201, {"source": "head"}
    if what != "head":
        body = {"source": "snapshot", "snapshot": snapshot["id"], "dryRun": True}
    if what == "apply":
        path, status, body = f"{path}/{client.want(201, 'POST', path, body).json()['id']}/apply", 200, {}
    answer = ask(client, path, body)
    checks.check(f"{name}: no_answer_came", answer is None, answer)
    checks.equal(f"{name}: the_fault_point_was_reached", server.wait(), harness.KILLED)

    server = Server(binary, data, **options)
    client = server.client()
    made = client.get_all(f"/v1/systems/{SYSTEM}/recoveries", "recoveries")
    checks.equal(f"{name}: it_is_there", [recovery["status"] for recovery in made],
                 [{"head": "pending", "plan": "planned", "apply": "applied"}[what]])
    put_state(client, SYSTEM, "only", {"n": 4})
    now = read_states(client, SYSTEM)
    for time in ("first", "second"):
        reply = ask(client, path, body)
        checks.equal(f"{name}: the_{time}_repetition_gets_it", (reply.status, reply.json().get("id")),
                     (status, made[0]["id"]))
    checks.equal(f"{name}: it_is_there_once",
                 len(client.get_all(f"/v1/systems/{SYSTEM}/recoveries", "recoveries")), 1)
    checks.equal(f"{name}: the_repetitions_changed_nothing", read_states(client, SYSTEM), now)
    checks.equal(f"{name}: the_epoch_rose_with_a_restore_alone", client.get_json(f"/v1/systems/{SYSTEM}")["epoch"],
                 2 if what == "apply" else 1)
    server.kill9()


def lost_answers_are_made_good(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("lost_answers_are_made_good", "built without fault points")
        return
    for engine in ("sqlite", "postgres"):
        for what in ("head", "plan", "apply"):
            die_before_the_answer(checks, binary, engine, what)


def die_in_a_report(checks, binary, engine):
    """A report that was not answered is not there, and the recovery goes on where it was."""
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    server = Server(binary, data, fault="hydration_before_commit:exit:1", **options)
    client = server.client()
    for component in ("first", "last"):
        put_state(client, SYSTEM, component, {"n": 1})
    recovery = client.want(201, "POST", f"/v1/systems/{SYSTEM}/recoveries", {"source": "head"}).json()
    path = f"/v1/systems/{SYSTEM}/recoveries/{recovery['id']}"
    report = {"status": "restored", "durationMs": 3}
    client.want(200, "PUT", f"{path}/components/first", report)
    try:
        answer = client.request("PUT", f"{path}/components/last", report)
    except Lost:
        answer = None
    checks.check(f"{engine}: no_answer_to_the_report_came", answer is None, answer)
    checks.equal(f"{engine}: the_point_of_the_report_was_reached", server.wait(), harness.KILLED)

    server = Server(binary, data, **options)
    client = server.client()
    after = client.get_json(path)
    checks.equal(f"{engine}: the_recovery_is_where_it_was",
                 (after["status"], after["progress"]["restored"], after["progress"]["pending"]), ("pending", 1, 1))
    client.want(200, "PUT", f"{path}/components/last", report)
    checks.equal(f"{engine}: the_report_ends_it_now", client.get_json(path)["status"], "completed")
    server.kill9()


def reports_are_atomic(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("reports_are_atomic", "built without fault points")
        return
    for engine in ("sqlite", "postgres"):
        die_in_a_report(checks, binary, engine)


if __name__ == "__main__":
    harness.run(restores_are_atomic, lost_answers_are_made_good, reports_are_atomic)
