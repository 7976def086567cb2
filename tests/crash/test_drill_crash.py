#!/usr/bin/python3
"""The server dies in the middle of a restore drill: nothing but a directory is left, and the next start removes it."""
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, put_state, read_states, take_snapshot  # noqa: E402

SYSTEM = "alpha"
DRILLS = f"/v1/systems/{SYSTEM}/drills"


def leftovers(data):
    return sorted(path.name for path in pathlib.Path(data).glob("drill-*"))


def die_in_a_drill(checks, binary, engine):
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    server = Server(binary, data, fault="drill_midway:exit", **options)
    client = server.client()
    for number in range(50):
        put_state(client, SYSTEM, f"component-{number}", {"number": number, "pad": "z" * 300})
    snapshot = take_snapshot(client, SYSTEM)
    states = read_states(client, SYSTEM)
    answer = None
    try:
        answer = client.request("POST", DRILLS)
    except Lost:
        pass
    checks.check(f"{engine}: no_answer_came", answer is None, answer)
    checks.equal(f"{engine}: the_fault_point_was_reached", server.wait(), harness.KILLED)
    checks.equal(f"{engine}: the_scratch_database_was_left", len(leftovers(data)), 1)

    server = Server(binary, data, **options)
    client = server.client()
    checks.equal(f"{engine}: the_next_start_removes_it", leftovers(data), [])
    checks.equal(f"{engine}: the_states_are_what_they_were", read_states(client, SYSTEM), states)
    checks.equal(f"{engine}: no_drill_is_recorded", client.get_all(DRILLS, "drills"), [])
    drill = client.want(201, "POST", DRILLS).json()
    checks.equal(f"{engine}: it_can_be_repeated", (drill["status"], drill["snapshot"], drill["components"]),
                 ("passed", snapshot["id"], 50))
    checks.equal(f"{engine}: which_leaves_nothing", leftovers(data), [])
    server.kill9()

    server = Server(binary, data, **options)
    client = server.client()
    found = client.get_json(f"/v1/systems/{SYSTEM}/status")["recoverability"]["lastDrill"]
    checks.equal(f"{engine}: it_is_remembered", found, drill)
    server.kill9()


def drills_leave_nothing(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("drills_leave_nothing", "built without fault points")
        return
    for engine in ("sqlite", "postgres"):
        die_in_a_drill(checks, binary, engine)


if __name__ == "__main__":
    harness.run(drills_leave_nothing)
