#!/usr/bin/python3
"""The disk fills up under load: 507, nothing half-written, reads go on; with space again uploads work by themselves."""
import atexit
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, put_state, wait_until  # noqa: E402
from load import ACKNOWLEDGED, SYSTEMS, Journal, Load, Upload  # noqa: E402

SEED = int.from_bytes(os.urandom(4), "big")
SMALL_MIB, LITTLE_MIB = 96, 24


def mount_small_disk(size_mib):
    data = harness.new_directory()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=700", "holdfast-test", str(data)],
                          check=False, capture_output=True)
    if done.returncode != 0:
        return None
    atexit.register(subprocess.run, ["umount", "-l", str(data)], check=False)
    return data


def fill(data):
    """Takes the space that is left, in a file that stands for somebody else's."""
    with open(data / "somebody-elses-file", "ab", buffering=0) as file:
        try:
            while True:
                file.write(b"f" * 65536)
        except OSError:
            pass
        try:
            while True:
                file.write(b"f" * 512)
        except OSError:
            pass


def is_low(client):
    return {entry["place"]: entry["low"] for entry in client.get_json("/v1/status")["storage"]}


def check_full(checks, server, load):
    """What still works, and how the rest is refused."""
    client = server.client()
    refusals, tries = [], []

    def is_refused():
        reply = client.request("PUT", "/v1/systems/alpha/components/probe/state",
                               b'{"try":%d,"pad":"%s"}' % (len(tries), b"p" * 30000))
        tries.append(reply.status)
        if reply.status == 507:
            refusals.append(reply)
        return reply.status == 507

    put_state(client, "alpha", "probe", {"first": True})
    fill(server.data)
    # Space that the database has set aside for itself lets some uploads through first.
    checks.check("uploads_get_507", wait_until(is_refused), load.answers)
    if refusals:
        problem = refusals[0].json()
        checks.equal("the_problem_is_storage_full", (problem["code"], problem["status"], problem["retryable"]),
                     ("storage_full", 507, True))
        checks.check("the_problem_says_when_to_try_again", refusals[0].headers["Retry-After"])
    checks.check("clients_under_load_get_507", wait_until(
        lambda: load.answers.get((507, "storage_full"), 0) > 20), load.answers)
    checks.equal("livez_says_200_while_full", client.request("GET", "/livez").status, 200)
    reply = client.request("GET", "/v1/systems/alpha/components/probe/state")
    checks.check("reads_go_on_while_full", reply.status == 200, reply)
    checks.check("the_status_says_that_the_disk_fills_up", wait_until(lambda: all(is_low(client).values())),
                 is_low(client))
    checks.check("so_does_readiness", b"[!]storage: the disk fills up" in client.request(
        "GET", "/readyz?verbose").body)
    reply = client.request("POST", "/v1/systems/alpha/snapshots", {"kind": "full"})
    checks.check("a_snapshot_fails_while_full", reply.status >= 500 and reply.code, reply)
    checks.equal("a_failed_snapshot_leaves_no_temporary_file", harness.find_left(server.data), [])
    checks.check("the_log_tells_of_the_failed_snapshot", "snapshot.failed" in server.log(), server.log()[-1000:])
    checks.check("the_server_lives_on", server.is_running())
    client.close()


def start_load(server, name):
    """So little that it does not fill the disk by itself while this test is slow."""
    return Load(server.port, f"{SEED}/{name}", pause_seconds=0.04).start()


def full_and_space_again(checks, binary):
    data = mount_small_disk(SMALL_MIB) if harness.enter_own_mounts() else None
    if not data:
        checks.skip("full_and_space_again", "needs root and tmpfs mounts")
        return
    journal = Journal()
    server = Server(binary, data)
    load = start_load(server, "full")
    wait_until(lambda: load.acknowledged() > 100)
    harness.take_snapshot(server.client(), SYSTEMS[0])
    check_full(checks, server, load)

    os.unlink(data / "somebody-elses-file")
    before = load.acknowledged()
    checks.check("uploads_work_again_without_a_restart", wait_until(lambda: load.acknowledged() > before + 50),
                 load.answers)
    load.stop()
    client = server.client()
    odd = {code: count for code, count in load.answers.items() if code[0] >= 500 and code != (507, "storage_full")}
    checks.check("nothing_but_507_was_told", not odd, odd)
    checks.check("an_event_tells_of_the_failed_snapshot",
                 wait_until(lambda: harness.list_events(client, SYSTEMS[0], "snapshot.failed")))
    taken = harness.take_snapshot(client, SYSTEMS[0])
    checks.equal("snapshots_work_again", taken["state"], "complete")
    verify_without_probe(checks, client, journal, load, "after the disk was full")

    load = start_load(server, "killed")
    wait_until(lambda: load.acknowledged() > 50)
    fill(data)
    wait_until(lambda: load.answers.get((507, "storage_full"), 0) > 5)
    server.kill9()
    load.stop()
    killed_while_full(checks, binary, data, journal, load)


def killed_while_full(checks, binary, data, journal, load):
    """Started while the disk is still full, then with space."""
    server = Server(binary, data, wait=False)
    serving = server.wait_until_serving()
    if serving:
        client = server.client()
        reply = client.request("GET", "/v1/systems/alpha/components/probe/state")
        checks.equal("started_on_a_full_disk_it_serves_reads", reply.status, 200)
        checks.equal("started_on_a_full_disk_it_is_alive", client.request("GET", "/livez").status, 200)
        os.unlink(data / "somebody-elses-file")
    else:
        log = server.log()
        checks.check("not_started_on_a_full_disk_it_says_why", "space" in log or "full" in log, log[-1500:])
        server.expected_to_die = True
        os.unlink(data / "somebody-elses-file")
        server = Server(binary, data)
    client = server.client()
    checks.check("uploads_work_once_there_is_space", wait_until(lambda: client.request(
        "PUT", "/v1/systems/alpha/components/probe/state", b'{"last":true}').status in (200, 201)))
    load.repeat_keyed(client)
    verify_without_probe(checks, client, journal, load, "killed while full")
    damaged = [path.name for path in data.glob("*damaged*")]
    checks.equal("a_full_disk_is_not_taken_for_damage", damaged, [])
    checks.equal("it_stops_in_order", server.stop(), 0)


def little_room(checks, binary):
    """More than half of the disk is free, and yet it does not hold two more snapshots."""
    backups = mount_small_disk(LITTLE_MIB) if harness.enter_own_mounts() else None
    if not backups:
        checks.skip("little_room", "needs root and tmpfs mounts")
        return
    server = Server(binary, harness.new_directory(), "--backup-directory", str(backups))
    client = server.client()
    checks.check("room_is_known_soon", wait_until(lambda: is_low(client)["backup"] is False and client.get_json(
        "/v1/status")["storage"][1]["totalBytes"] == LITTLE_MIB << 20), client.get_json("/v1/status"))
    client.want(201, "PUT", "/v1/systems/alpha/components/large/state", os.urandom(10 << 20),
                {"Content-Type": "application/octet-stream"})
    harness.take_snapshot(client, "alpha")
    checks.check("less_than_twice_the_newest_snapshot_is_little", wait_until(lambda: is_low(client)["backup"]),
                 client.get_json("/v1/status"))
    status = client.get_json("/v1/systems/alpha/status")
    checks.check("the_warning_says_why", status["status"] == "degraded" and any(
        "free for full snapshots, and the newest full snapshots took 10.0 MiB" in text for text in status["warnings"]),
        status["warnings"])
    client.close()
    checks.equal("it_stops_in_order_with_little_room", server.stop(), 0)


def verify_without_probe(checks, client, journal, load, name):
    """The journal's rules, with the probe of this test added as it is: it has sequences too."""
    journal.uploads = [upload for upload in journal.uploads if "probe" not in upload.items]
    journal.add(load)
    for entry in harness.read_versions(client, "alpha", "probe"):
        journal.uploads.append(Upload("alpha", {"probe": entry["hash"]}, ACKNOWLEDGED,
                                      {"probe": (entry["version"], entry["sequence"])}))
    journal.verify(checks, client, name)


if __name__ == "__main__":
    harness.enter_own_mounts()
    print(f"seed {SEED}", flush=True)
    harness.run(full_and_space_again, little_room)
