#!/usr/bin/python3
"""kill -9 at random moments under load: nothing acknowledged is lost, nothing is half there, nothing is there twice.

    test_kill9.py SERVER [--rounds N] [--seed N]

Clients upload to two systems while snapshots are taken all the time; the server is killed, started again on the same
directory, and asked for every history. Rounds are many on SQLite and some on PostgreSQL.
"""
import argparse
import contextlib
import os
import pathlib
import random
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, wait_until  # noqa: E402
from load import SYSTEMS, Journal, Load, verify_snapshots  # noqa: E402

BUSY = ("--backup-interval", "1500", "--incremental-interval", "300", "--anchor-interval", "4000")
CONTENTS_READ_EACH_ROUND = 250


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("server", nargs="?")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("HOLDFAST_TEST_CRASH_ROUNDS", "5")))
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args()


ARGUMENTS = arguments()
SEED = ARGUMENTS.seed if ARGUMENTS.seed is not None else int.from_bytes(os.urandom(4), "big")


def check_after(checks, server, journal, load, name, rng):
    """Everything that must hold once the server is back."""
    client = server.client()
    checks.check(f"{name}: readyz_says_200", client.request("GET", "/readyz").status == 200)
    load.repeat_keyed(client)
    journal.add(load)
    good = journal.verify(checks, client, name, CONTENTS_READ_EACH_ROUND, rng)
    good = verify_snapshots(checks, client, name, server.data, journal.names()) and good
    gone = checks.equal(f"{name}: no_temporary_file_is_left", harness.find_left(server.data), [])
    damaged = [str(path) for path in pathlib.Path(server.data).glob("*damaged*")]
    checks.check(f"{name}: the_database_was_not_set_aside", not damaged, damaged)
    client.close()
    return good and gone


def kill_rounds(checks, binary, engine, rounds, rng):
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    journal = Journal()
    for number in range(rounds):
        name = f"{engine} round {number + 1}"
        server = Server(binary, data, *BUSY, **options)
        load = Load(server.port, f"{SEED}/{engine}/{number}").start()
        # Some of the rounds on a slow machine would end before the load had begun.
        wait_until(lambda load=load: load.acknowledged() > 20)
        time.sleep(rng.uniform(0.0, 2.0))
        server.kill9()
        load.stop()
        server = Server(binary, data, **options)
        good = check_after(checks, server, journal, load, name, rng)
        print(f"       {name}: {load.acknowledged()} acknowledged, answers {load.answers}", flush=True)
        server.kill9() if rng.random() < 0.7 else server.stop()
        if not good:
            break
    server = Server(binary, data, **options)
    client = server.client()
    journal.verify(checks, client, f"{engine} at the end, every content read")
    enough = len(journal.uploads) > 20 * rounds
    checks.check(f"{engine}: the load was worth the name", enough, len(journal.uploads))
    server.kill9()


def killed_with_sqlite(checks, binary):
    kill_rounds(checks, binary, "sqlite", ARGUMENTS.rounds, random.Random(SEED))


def killed_with_postgres(checks, binary):
    kill_rounds(checks, binary, "postgres", max(1, ARGUMENTS.rounds // 5), random.Random(SEED + 1))


def killed_around_the_commit(checks, binary):
    """The two moments that matter most, exactly: before the commit and between the commit and the answer."""
    if not harness.has_fault_points(binary):
        checks.skip("killed_around_the_commit", "built without fault points")
        return
    rng = random.Random(SEED + 2)
    for engine in ("sqlite", "postgres"):
        for point in ("commit_before", "commit_after"):
            data = harness.new_directory()
            options = {"database_url": harness.new_database()} if engine == "postgres" else {}
            server = Server(binary, data, fault=f"{point}:exit:{rng.randrange(20, 60)}", **options)
            load = Load(server.port, f"{SEED}/{engine}/{point}").start()
            checks.equal(f"{engine} {point}: the_fault_point_was_reached", server.wait(), harness.KILLED)
            load.stop()
            server = Server(binary, data, **options)
            journal = Journal()
            check_after(checks, server, journal, load, f"{engine} {point}", rng)
            server.kill9()


def killed_while_starting(checks, binary):
    """A start that is killed at any moment is only one more crash."""
    rng = random.Random(SEED + 3)
    data = harness.new_directory()
    server = Server(binary, data, *BUSY)
    load = Load(server.port, f"{SEED}/starting").start()
    wait_until(lambda: load.acknowledged() > 150)
    server.kill9()
    load.stop()
    for _ in range(6):
        server = Server(binary, data, wait=False)
        time.sleep(rng.uniform(0.005, 0.3))
        server.kill9()
    server = Server(binary, data)
    check_after(checks, server, Journal(), load, "killed while starting", rng)
    server.kill9()


def registrations_survive(checks, binary):
    """A registration that was acknowledged is there after the kill, also when no state followed it."""
    data = harness.new_directory()
    server = Server(binary, data)
    client = server.client()
    path = f"/v1/systems/{SYSTEMS[0]}/components/"
    for number in range(30):
        reply = client.request("PUT", f"{path}worker-{number}", {
            "kind": f"kind-{number}", "dependsOn": [f"worker-{number - 1}"] if number else [],
            "heartbeatIntervalMs": 1000 + number})
        if reply.status not in (200, 201):
            raise harness.Failure(f"registration: {reply!r}")
    with contextlib.suppress(Lost):
        server.kill9()
    server = Server(binary, data)
    client = server.client()
    wrong = []
    for number in range(30):
        found = client.get_json(f"{path}worker-{number}")
        wanted = (f"kind-{number}", [f"worker-{number - 1}"] if number else [], 1000 + number)
        if (found["kind"], found["dependsOn"], found["heartbeatIntervalMs"]) != wanted:
            wrong.append((wanted, found))
    checks.check("registrations_survive_kill_9", not wrong, wrong[:2])
    server.kill9()


if __name__ == "__main__":
    print(f"seed {SEED}: repeat with --seed {SEED} --rounds {ARGUMENTS.rounds}", flush=True)
    harness.run(killed_with_sqlite, killed_with_postgres, killed_around_the_commit, killed_while_starting,
                registrations_survive, arguments=ARGUMENTS)
