#!/usr/bin/python3
"""PostgreSQL goes away in every way it can, under load, and comes back: nothing acknowledged is lost or written twice."""
import os
import pathlib
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, StoppablePostgres, put_state, wait_until  # noqa: E402
from load import ACKNOWLEDGED, UNKNOWN, Journal, Load, Upload  # noqa: E402

SEED = int.from_bytes(os.urandom(4), "big")
PROBE = b'{"is":"the database away?"}'
STORE_TIMEOUT_MS = 4000  # more than a slow machine needs
REQUEST_TIMEOUT_MS = 12000
FLAGS = ("--store-timeout", str(STORE_TIMEOUT_MS), "--request-timeout", str(REQUEST_TIMEOUT_MS),
         "--incremental-interval", "700", "--backup-interval", "3000")
AWAY = {(503, "store_unavailable"), (503, "outcome_unknown"), (503, "overloaded")}


def start(binary, postgres):
    data = harness.new_directory()
    name = f"away_{time.monotonic_ns():x}"
    harness.run_psql(postgres.url, f"CREATE DATABASE {name}")
    url = postgres.url.rpartition("/")[0] + "/" + name
    server = Server(binary, data, *FLAGS, database_url=url)
    receipt = put_state(server.client(), "alpha", "cached", {"kept": "in memory"})
    journal = Journal()
    journal.uploads.append(Upload("alpha", {"cached": receipt["hash"]}, ACKNOWLEDGED,
                                  {"cached": (receipt["version"], receipt["sequence"])}))
    # What asks whether the database is away may be stored, once, while the database still is there.
    journal.uploads.append(Upload("alpha", {"probe": harness.label(PROBE)}, UNKNOWN))
    return server, journal


def check_away(checks, server, name):
    """What a server without its database says."""
    client = server.client()
    replies = []

    def is_refused():
        reply = client.request("PUT", "/v1/systems/alpha/components/probe/state", PROBE)
        replies.append(reply)
        return reply.status == 503 and reply.code == "store_unavailable"

    checks.check(f"{name}: uploads_get_503_store_unavailable", wait_until(is_refused), replies[-1:])
    checks.check(f"{name}: with_retry_after", replies[-1].headers["Retry-After"])
    checks.equal(f"{name}: livez_says_200", client.request("GET", "/livez").status, 200)
    checks.equal(f"{name}: readyz_says_503", client.request("GET", "/readyz").status, 503)
    reply = client.request("GET", "/v1/systems/alpha/components/cached/state")
    checks.check(f"{name}: cached_states_are_answered", reply.status == 200 and b"in memory" in reply.body, reply)
    checks.equal(f"{name}: the_status_is_answered", client.request("GET", "/v1/status").status, 200)
    client.close()


def check_back(checks, server, journal, load, name):
    before = load.acknowledged()
    checks.check(f"{name}: uploads_work_again_by_themselves", wait_until(lambda: load.acknowledged() > before + 30),
                 load.answers)
    load.stop()
    client = server.client()
    checks.check(f"{name}: readyz_says_200_again", wait_until(
        lambda: client.request("GET", "/readyz").status == 200), client.request("GET", "/readyz?verbose"))
    load.repeat_keyed(client)
    journal.add(load)
    journal.verify(checks, client, name)
    odd = {code: count for code, count in load.answers.items() if code[0] in (0, 500)}
    checks.check(f"{name}: every_request_got_a_fit_answer", not odd, odd)
    checks.check(f"{name}: snapshots_work_again", wait_until(lambda: client.request(
        "POST", "/v1/systems/alpha/snapshots", {"kind": "full"}).status in (200, 201)))
    client.close()


def stopped_in_order(checks, binary, postgres):
    server, journal = start(binary, postgres)
    load = Load(server.port, f"{SEED}/stop").start()
    wait_until(lambda: load.acknowledged() > 80)
    postgres.stop_fast()
    check_away(checks, server, "stopped")
    postgres.start_again()
    check_back(checks, server, journal, load, "stopped")
    checks.equal("stopped: the_server_stops_in_order", server.stop(), 0)


def killed(checks, binary, postgres):
    server, journal = start(binary, postgres)
    for number in range(2):
        name = f"killed {number + 1}"
        load = Load(server.port, f"{SEED}/{name}").start()
        wait_until(lambda: load.acknowledged() > 80)
        postgres.kill9()
        check_away(checks, server, name)
        postgres.start_again()
        check_back(checks, server, journal, load, name)
    # The database is away when the server is told to stop: it must not wait for ever.
    postgres.stop_fast()
    client = server.client()
    wait_until(lambda: client.request("GET", "/readyz").status == 503)
    checks.check("killed: the_server_stops_while_the_database_is_away", server.stop() is not None, server.log()[-1000:])
    postgres.start_again()


def frozen(checks, binary, postgres):
    """Every process of it stands still: connections stay open and nothing answers."""
    server, journal = start(binary, postgres)
    load = Load(server.port, f"{SEED}/frozen").start()
    wait_until(lambda: load.acknowledged() > 80)
    postgres.signal_family(signal.SIGSTOP)
    try:
        watch_frozen(checks, server, load)
    finally:
        postgres.signal_family(signal.SIGCONT)
    check_back(checks, server, journal, load, "frozen")
    # However often it stands still for a moment: commits that were under way are looked up.
    load = Load(server.port, f"{SEED}/hiccups").start()
    for pause in (0.3, STORE_TIMEOUT_MS / 1000 + 0.5, 0.6, STORE_TIMEOUT_MS / 1000 + 1.0):
        time.sleep(0.4)
        postgres.signal_family(signal.SIGSTOP)
        time.sleep(pause)
        postgres.signal_family(signal.SIGCONT)
    check_back(checks, server, journal, load, "hiccups")
    checks.equal("frozen: the_server_stops_in_order", server.stop(), 0)


def watch_frozen(checks, server, load):
    # Longer than every deadline together, so that a request without one would still wait.
    deadline = time.monotonic() + (REQUEST_TIMEOUT_MS + 2 * STORE_TIMEOUT_MS) / 1000 + 1
    client = server.client()
    slowest = 0.0
    while time.monotonic() < deadline:
        began = time.monotonic()
        status = client.request("GET", "/livez").status
        slowest = max(slowest, time.monotonic() - began)
        if status != 200:
            break
        time.sleep(0.05)
    # Whatever waits for the database waits as long as that is given up after.
    checks.check("frozen: livez_does_not_wait_for_the_database", status == 200 and slowest < STORE_TIMEOUT_MS / 1000,
                 (status, slowest))
    checks.check("frozen: requests_got_an_answer", AWAY & set(load.answers), load.answers)
    for path in ("/v1/systems/alpha/components/cached/state?version=1", "/v1/systems/alpha/snapshots",
                 "/v1/systems/alpha/components", "/v1/systems/alpha/events", "/v1/status"):
        try:
            reply = client.request("GET", path)
            good = reply.status in (200, 503)
        except Lost as error:
            good, reply = False, error
        checks.check(f"frozen: {path}_gets_an_answer", good, reply)
    checks.equal("frozen: readyz_says_503", client.request("GET", "/readyz").status, 503)
    bound = (REQUEST_TIMEOUT_MS + 2 * STORE_TIMEOUT_MS) / 1000 + 30
    checks.check("frozen: no_request_hung_past_the_deadlines", load.slowest_seconds < bound, load.slowest_seconds)


def sessions_ended(checks, binary, postgres):
    """An administrator ends all sessions, again and again: the lock and the writes come back."""
    server, journal = start(binary, postgres)
    load = Load(server.port, f"{SEED}/ended").start()
    for _ in range(5):
        count = load.acknowledged()
        wait_until(lambda: load.acknowledged() > count + 20)  # pylint: disable=cell-var-from-loop
        harness.run_psql(postgres.url, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                                       "WHERE pid <> pg_backend_pid() AND datname LIKE 'away%'")
    check_back(checks, server, journal, load, "sessions ended")
    server.kill9()


def main():
    postgres = StoppablePostgres(os.path.join(harness.scratch(), "postgres"))
    postgres.start()

    def part(test):
        def with_postgres(checks, binary):
            test(checks, binary, postgres)
        with_postgres.__name__ = test.__name__
        return with_postgres

    try:
        harness.run(part(stopped_in_order), part(killed), part(frozen), part(sessions_ended))
    finally:
        postgres.signal_family(signal.SIGCONT)
        postgres.stop()


if __name__ == "__main__":
    print(f"seed {SEED}", flush=True)
    main()
