#!/usr/bin/python3
"""A system is deleted while its name is used; and the server dies while it deletes one: before the commit all of it is
there again, after it none of it."""
import pathlib
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, put_state, read_states, take_snapshot, wait_until  # noqa: E402

SYSTEM = "alpha"


def asides(data, prefix):
    return sorted(path.name for path in data.rglob(f"{prefix}-{SYSTEM}-*"))


def die_deleting(checks, name, binary, fault, others, **options):
    """Returns the data directory and what the system held."""
    data = harness.new_directory()
    server = Server(binary, data, fault=f"{fault}:exit", **options)
    client = server.client()
    for system in (SYSTEM, *others):
        for number in range(5):
            put_state(client, system, f"component-{number}", {"number": number, "pad": "d" * 500})
        take_snapshot(client, system, "full")
        put_state(client, system, "component-0", {"changed": True})
        take_snapshot(client, system, "incremental")
        # The database has had its first events when it has these.
        wait_until(lambda system=system: len(harness.list_events(client, system, "snapshot.completed")) == 2)
    states = read_states(client, SYSTEM)
    answer = None
    try:
        answer = client.request("DELETE", f"/v1/systems/{SYSTEM}?confirm={SYSTEM}")
    except Lost:
        pass
    checks.check(f"{name}: no_answer_came", answer is None, answer)
    checks.equal(f"{name}: the_fault_point_was_reached", server.wait(), harness.KILLED)
    checks.equal(f"{name}: its_directories_are_aside", len(asides(data, ".deleting")), 2)
    return data, states


def check_snapshots(checks, name, client, count):
    snapshots = harness.list_snapshots(client, SYSTEM)
    checks.equal(f"{name}: snapshots_are_listed", len(snapshots), count)
    wait_until(lambda: all(one["validation"]["status"] != "pending" for one in harness.list_snapshots(client, SYSTEM)))
    found = [one["validation"]["status"] for one in harness.list_snapshots(client, SYSTEM)]
    checks.equal(f"{name}: all_snapshots_validate", found, ["valid"] * count)
    for snapshot in snapshots:
        client.want(201, "POST", f"/v1/systems/{SYSTEM}/snapshots/{snapshot['id']}/restore", {})


def before_the_commit(checks, binary, name, others, **options):
    name = f"before the commit, {name}"
    data, states = die_deleting(checks, name, binary, "system_delete_begun", others, **options)
    server = Server(binary, data, **options)
    client = server.client()
    checks.equal(f"{name}: all_states_are_there", read_states(client, SYSTEM), states)
    checks.equal(f"{name}: nothing_is_aside", asides(data, ".deleting") + asides(data, ".orphaned"), [])
    check_snapshots(checks, name, client, 2)
    checks.check(f"{name}: the_log_says_so", "deletion_undone" in server.log(), server.log()[-800:])
    client.want(204, "DELETE", f"/v1/systems/{SYSTEM}?confirm={SYSTEM}")
    checks.equal(f"{name}: it_can_be_deleted_again", list(data.rglob(f"*{SYSTEM}*")), [])
    server.kill9()


def after_the_commit(checks, binary, name, others, **options):
    name = f"after the commit, {name}"
    data, _ = die_deleting(checks, name, binary, "system_delete_after_commit", others, **options)
    server = Server(binary, data, **options)
    client = server.client()
    checks.equal(f"{name}: it_stays_deleted", client.request("GET", f"/v1/systems/{SYSTEM}").status, 404)
    checks.equal(f"{name}: its_files_are_gone", list(data.rglob(f"*{SYSTEM}*")), [])
    checks.check(f"{name}: the_log_says_so", "snapshot.leftover_removed" in server.log(), server.log()[-800:])
    put_state(client, SYSTEM, "fresh", {"new": True})
    taken = take_snapshot(client, SYSTEM, "incremental")
    checks.equal(f"{name}: a_new_one_starts_its_own_generation",
                 (taken["kind"], taken["components"], taken["generation"]), ("full", 1, taken["id"]))
    check_snapshots(checks, name, client, 1)
    for system in others:
        checks.equal(f"{name}: {system}_is_untouched", len(read_states(client, system)), 5)
    server.kill9()


def databases():
    yield "SQLite", {}
    yield "PostgreSQL", {"database_url": harness.new_database()}


def name_used_meanwhile(checks, binary):
    """Agents do not know of a deletion: their next uploads make a system of the same name, whose snapshots stay."""
    # Where there are fault points: time for the next one to have snapshots before the files of this one go.
    fault = "system_delete_after_commit:sleep=100" if harness.has_fault_points(binary) else None
    for database, options in databases():
        name = f"name used meanwhile, {database}"
        server = Server(binary, harness.new_directory(), fault=fault, **options)
        over, odd = threading.Event(), []

        def use_the_name(over=over, odd=odd, server=server):
            client = server.client()
            number = 0
            while not over.is_set():
                number += 1
                put_state(client, SYSTEM, "component", {"number": number})
                reply = client.request("POST", f"/v1/systems/{SYSTEM}/snapshots",
                                       {"kind": "incremental" if number % 3 else "full"})
                if reply.status not in (200, 201, 404):
                    odd.append(repr(reply))

        threads = [threading.Thread(target=use_the_name) for _ in range(2)]
        for thread in threads:
            thread.start()
        client = server.client()
        for _ in range(10):
            wait_until(lambda client=client: harness.list_snapshots(client, SYSTEM))
            reply = client.request("DELETE", f"/v1/systems/{SYSTEM}?confirm={SYSTEM}")
            if reply.status not in (204, 409):
                odd.append(repr(reply))
        over.set()
        for thread in threads:
            thread.join()
        checks.equal(f"{name}: every_answer_is_one_of_those_expected", odd, [])
        put_state(client, SYSTEM, "component", {"number": "last"})
        take_snapshot(client, SYSTEM)
        count = len(harness.list_snapshots(client, SYSTEM))
        check_snapshots(checks, name, client, count)
        server.kill9()


def dies_on_both_sides(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("dies_on_both_sides", "built without fault points")
        return
    for others in ((), ("beta",)):
        for database, options in databases():
            name = f"{database}{' with another' if others else ''}"
            before_the_commit(checks, binary, name, others, **options)
        for database, options in databases():
            name = f"{database}{' with another' if others else ''}"
            after_the_commit(checks, binary, name, others, **options)


def database_lost_meanwhile(checks, binary):
    """Nobody can tell whether it was deleted: it is not rebuilt, and nothing is removed."""
    if not harness.has_fault_points(binary):
        checks.skip("database_lost_meanwhile", "built without fault points")
        return
    for fault in ("system_delete_begun", "system_delete_after_commit"):
        name = f"{fault}, database lost"
        data, _ = die_deleting(checks, name, binary, fault, ("beta",))
        for path in data.glob("holdfast.db*"):
            path.unlink()
        for again in ("", " (again)"):
            server = Server(binary, data)
            client = server.client()
            checks.equal(f"{name}: it_is_not_rebuilt{again}", client.request("GET", f"/v1/systems/{SYSTEM}").status, 404)
            checks.equal(f"{name}: the_other_is{again}", len(read_states(client, "beta")), 5)
            checks.equal(f"{name}: its_files_stay_aside{again}",
                         sorted(path.parent.name[:15] for path in data.rglob("*.snapshot")
                                if SYSTEM in path.parent.name), [".orphaned-alpha"] * 2)
            if not again:
                checks.check(f"{name}: the_log_says_so", "snapshots_set_aside" in server.log(), server.log()[-800:])
            server.kill9()


if __name__ == "__main__":
    harness.run(name_used_meanwhile, dies_on_both_sides, database_lost_meanwhile)
