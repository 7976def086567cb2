#!/usr/bin/python3
"""SIGTERM and SIGINT under load: what is under way is finished, a final full snapshot is taken, the exit status is 0."""
import json
import os
import pathlib
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, wait_until  # noqa: E402
from load import SYSTEMS, Journal, Load, compare_snapshot  # noqa: E402

SEED = int.from_bytes(os.urandom(4), "big")


def stop_under_load(checks, binary, number, engine, snapshots_meanwhile):
    name = f"{signal.Signals(number).name} with {engine}{', snapshots meanwhile' if snapshots_meanwhile else ''}"
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    server = Server(binary, data, *(("--incremental-interval", "200") if snapshots_meanwhile else ()), **options)
    load = Load(server.port, f"{SEED}/{name}").start()
    wait_until(lambda: load.acknowledged() > 100)
    checks.equal(f"{name}: exit_status_is_0", server.stop(number), 0)
    load.stop()
    odd = {answer for answer in load.answers if answer[0] >= 500 and answer[1] != "shutting_down"}
    checks.check(f"{name}: clients_were_told_of_the_stop_or_finished", not odd, load.answers)
    checks.check(f"{name}: no_temporary_file_is_left", not harness.find_temporary(data))

    server = Server(binary, data, **options)
    client = server.client()
    journal = Journal()
    acknowledged = {system: max(sequence for upload in load.uploads if upload.system == system and upload.receipts
                                for _, sequence in upload.receipts.values()) for system in SYSTEMS}
    at_stop = {system: client.get_json(f"/v1/systems/{system}")["sequence"] for system in SYSTEMS}
    load.repeat_keyed(client)
    journal.add(load)
    journal.verify(checks, client, name)
    for system in SYSTEMS:
        final = client.get_json(f"/v1/systems/{system}/snapshots?kind=full&limit=1")["snapshots"][0]
        # One of the schedule may have come so late that it holds everything already.
        checks.check(f"{name}: the_newest_full_of_{system}_was_taken_at_shutdown", final["trigger"] == "shutdown"
                     or (snapshots_meanwhile and final["sequence"] == at_stop[system]), (final, at_stop[system]))
        different = compare_snapshot(client, system, final, journal.names())
        checks.check(f"{name}: the_final_snapshot_of_{system}_holds_what_there_was", not different, different)
        checks.check(f"{name}: the_final_snapshot_of_{system}_covers_all_that_was_acknowledged",
                     final["sequence"] >= acknowledged[system], (final["sequence"], acknowledged[system]))
    server.kill9()


def stopped_under_load(checks, binary):
    stop_under_load(checks, binary, signal.SIGTERM, "sqlite", False)
    stop_under_load(checks, binary, signal.SIGINT, "sqlite", True)
    stop_under_load(checks, binary, signal.SIGTERM, "postgres", True)


def stopped_with_ten_thousand_components(checks, binary):
    """No more than that it ends: a hang would be longer than any patience."""
    data = harness.new_directory()
    server = Server(binary, data)
    client = server.client()
    for first in range(0, 10000, 1000):
        lines = "\n".join(json.dumps({"component": f"component-{number}", "state": {"number": number}})
                          for number in range(first, first + 1000))
        client.want(200, "POST", "/v1/systems/many/states", lines.encode(), {"Content-Type": "application/x-ndjson"})
    checks.equal("ten_thousand_components: exit_status_is_0", server.stop(signal.SIGTERM), 0)
    server = Server(binary, data)
    client = server.client()
    final = client.get_json("/v1/systems/many/snapshots/latest")
    checks.equal("ten_thousand_components: the_final_snapshot_holds_them",
                 (final["trigger"], final["kind"], final["components"], final["sequence"]),
                 ("shutdown", "full", 10000, 10000))
    checks.equal("a_stop_without_changes_has_status_0_too", server.stop(), 0)
    server = Server(binary, data)
    snapshots = harness.list_snapshots(server.client(), "many")
    checks.equal("a_stop_without_changes_takes_no_snapshot", len(snapshots), 1)
    server.kill9()


def half_sent_requests_do_not_hold_up_the_stop(checks, binary):
    """A supervisor waits some seconds, then kills: the final snapshot must not come after the slowest client."""
    data = harness.new_directory()
    server = Server(binary, data, "--request-timeout", "3600000")
    harness.put_state(server.client(), "alpha", "a", {"n": 1})
    halves = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
    halves[0].sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n")
    halves[1].sendall(b"PUT /v1/systems/alpha/components/b/state HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    time.sleep(0.2)
    checks.equal("half_sent_requests: the_stop_does_not_wait_for_their_timeout", server.stop(timeout=27), 0)
    for half in halves:
        half.close()
    server = Server(binary, data)
    final = server.client().get_json("/v1/systems/alpha/snapshots/latest")
    checks.equal("half_sent_requests: the_final_snapshot_was_taken", (final["trigger"], final["sequence"]), ("shutdown", 1))
    server.kill9()


def a_second_signal_ends_at_once(checks, binary):
    """What was acknowledged stays; that the second signal hits before the end is likely, not certain."""
    data = harness.new_directory()
    server = Server(binary, data)
    load = Load(server.port, f"{SEED}/second").start()
    wait_until(lambda: load.acknowledged() > 60)
    server.send_signal(signal.SIGTERM)
    time.sleep(0.02)
    server.send_signal(signal.SIGTERM)
    checks.check("a_second_signal: the_server_ended", server.wait() is not None)
    load.stop()
    if server.is_running():
        server.kill9()
    server = Server(binary, data)
    client = server.client()
    journal = Journal()
    load.repeat_keyed(client)
    journal.add(load)
    journal.verify(checks, client, "a_second_signal")
    server.kill9()


if __name__ == "__main__":
    print(f"seed {SEED}", flush=True)
    harness.run(stopped_under_load, stopped_with_ten_thousand_components,
                half_sent_requests_do_not_hold_up_the_stop, a_second_signal_ends_at_once)
