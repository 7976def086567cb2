#!/usr/bin/python3
"""The server dies while it copies to the mirror and while retention deletes: the next start makes both even again, and
nothing half-copied is ever taken for a snapshot file."""
import pathlib
import shutil
import sqlite3
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, put_state, read_states, take_snapshot, wait_until  # noqa: E402

SYSTEM = "alpha"
PRIMARY = {"full": "system-state-backups", "incremental": "incremental-state"}
HOUR_MS = 3600000


def files(data, mirror):
    """Every snapshot file of the primary directories and of the mirror: kind, path and bytes."""
    primary = {(kind, path.relative_to(data / name)): path.read_bytes()
               for kind, name in PRIMARY.items() for path in (data / name).rglob("*.snapshot")}
    copies = {(kind, path.relative_to(mirror / kind)): path.read_bytes()
              for kind in PRIMARY for path in (mirror / kind).rglob("*.snapshot")}
    return primary, copies


def is_even(data, mirror):
    primary, copies = files(data, mirror)
    return primary == copies


def fill(client, count=20):
    for number in range(count):
        put_state(client, SYSTEM, f"component-{number}", {"number": number, "pad": "m" * 2000})


def mirror_status(client):
    return client.get_json("/v1/status")["mirror"]


def dies_while_mirroring(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("dies_while_mirroring", "built without fault points")
        return
    for skip in (0, 1, 2):
        name = f"copy {skip}"
        data, mirror = harness.new_directory(), harness.new_directory("mirror")
        server = Server(binary, data, "--mirror-directory", str(mirror), fault=f"copy_before_rename:exit:{skip}")
        client = server.client()
        fill(client)
        try:
            for number in range(3):
                put_state(client, SYSTEM, "component-0", {"round": number})
                take_snapshot(client, SYSTEM, "incremental")
        except (Lost, harness.Failure):
            pass
        checks.equal(f"{name}: the_fault_point_was_reached", server.wait(), harness.KILLED)
        left = harness.find_temporary(mirror)
        checks.equal(f"{name}: it_died_before_the_copy_had_its_name", len(left), 1)
        primary, copies = files(data, mirror)
        checks.check(f"{name}: what_is_in_the_mirror_is_whole",
                     all(primary.get(key) == content for key, content in copies.items()), list(copies))

        server = Server(binary, data, "--mirror-directory", str(mirror))
        client = server.client()
        # It may have died before the newest state was in a snapshot; and a stop does not wait long for the mirror.
        take_snapshot(client, SYSTEM, "incremental")
        states = read_states(client, SYSTEM)
        checks.check(f"{name}: the_mirror_becomes_even", wait_until(lambda d=data, m=mirror: is_even(d, m)),
                     [list(part) for part in files(data, mirror)])
        checks.equal(f"{name}: no_temporary_file_stays", harness.find_left(mirror), [])
        checks.check(f"{name}: the_status_says_so",
                     wait_until(lambda c=client: mirror_status(c)["status"] == "up"
                                and mirror_status(c)["pendingFiles"] == 0 and mirror_status(c)["caughtUpAt"]),
                     mirror_status(client))
        checks.equal(f"{name}: and_in_text", "Mirror:" in client.request("GET", "/v1/status?format=text").body.decode(),
                     True)
        checks.equal(f"{name}: it_stops_in_order", server.stop(), 0)
        restore_from_mirror(checks, name, binary, mirror, states)


def restore_from_mirror(checks, name, binary, mirror, states):
    """All that is left is the mirror."""
    data = harness.new_directory()
    server = Server(binary, data, "--mirror-directory", str(mirror))
    client = server.client()
    checks.equal(f"{name}: another_machine_comes_back_from_the_mirror",
                 {key: value["hash"] if isinstance(value, dict) and "hash" in value else value
                  for key, value in read_states(client, SYSTEM).items()},
                 {key: value["hash"] if isinstance(value, dict) and "hash" in value else value
                  for key, value in states.items()})
    server.kill9()


def killed_at_any_moment(checks, binary):
    """kill -9 under a stream of snapshots, several times, on one mirror."""
    data, mirror = harness.new_directory(), harness.new_directory("mirror")
    for attempt in range(4):
        server = Server(binary, data, "--mirror-directory", str(mirror), "--anchor-interval", "0")
        over = threading.Event()

        def keep_busy(server=server, over=over, attempt=attempt):
            client = server.client()
            number = 0
            try:
                while not over.is_set():
                    number += 1
                    put_state(client, SYSTEM, f"component-{number % 5}", {"n": number, "a": attempt, "pad": "k" * 9000})
                    take_snapshot(client, SYSTEM, "full" if number % 3 == 0 else "incremental")
            except (Lost, harness.Failure):
                pass

        thread = threading.Thread(target=keep_busy)
        thread.start()
        wanted = 3 * (attempt + 1)
        checks.check(f"killed {attempt}: there_are_copies",
                     wait_until(lambda wanted=wanted: len(files(data, mirror)[1]) >= wanted))
        server.kill9()
        over.set()
        thread.join()
        primary, copies = files(data, mirror)
        checks.check(f"killed {attempt}: every_copy_is_whole",
                     all(primary.get(key, content) == content for key, content in copies.items()), len(copies))
    server = Server(binary, data, "--mirror-directory", str(mirror))
    checks.check("killed: the_mirror_becomes_even", wait_until(lambda: is_even(data, mirror)),
                 [len(part) for part in files(data, mirror)])
    checks.equal("killed: no_temporary_file_stays", harness.find_left(data, mirror), [])
    server.kill9()


def failing_copies_are_told_of_once(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("failing_copies_are_told_of_once", "built without fault points")
        return
    data, mirror = harness.new_directory(), harness.new_directory("mirror")
    server = Server(binary, data, "--mirror-directory", str(mirror), fault="copy_before_rename:error")
    client = server.client()
    fill(client, 3)
    take_snapshot(client, SYSTEM, "full")
    checks.check("failing: the_status_says_so", wait_until(lambda: mirror_status(client)["status"] == "down"),
                 mirror_status(client))
    status = client.get_json("/v1/status")
    checks.equal("failing: the_service_is_degraded", status["status"], "degraded")
    checks.check("failing: a_warning_says_why", any("mirror" in text for text in status["warnings"]),
                 status["warnings"])
    checks.equal("failing: it_is_ready_all_the_same", client.request("GET", "/readyz").status, 200)
    put_state(client, SYSTEM, "component-0", {"more": True})
    take_snapshot(client, SYSTEM, "full")
    wait_until(lambda: "mirror.behind" in server.log())
    checks.equal("failing: one_event_whatever_comes", server.log().count("mirror.behind"), 1)
    checks.equal("failing: nothing_is_left_behind", (harness.find_temporary(mirror), files(data, mirror)[1]), ([], {}))
    server.kill9()


def make_old(data, generation):
    """As if its snapshots had been taken long ago."""
    with sqlite3.connect(data / "holdfast.db") as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(system_state_snapshots)")]
        cut = next(column for column in columns if column.startswith("cut_at"))
        changed = database.execute(f"UPDATE system_state_snapshots SET {cut} = {cut} - ? WHERE generation = ?",
                                   (10 * HOUR_MS, generation)).rowcount
    database.close()
    return changed


def is_valid(client, snapshot):
    return client.get_json(f"/v1/systems/{SYSTEM}/snapshots/{snapshot}")["validation"]["status"] == "valid"


def names(data):
    return {path.stem for path in data.rglob("*.snapshot")}


def dies_in_retention(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("dies_in_retention", "built without fault points")
        return
    flags = ("--max-retention", "1", "--backup-interval", "1000", "--anchor-interval", "0")
    for skip in (0, 1):
        name = f"retention {skip}"
        data, mirror = harness.new_directory(), harness.new_directory("mirror")
        server = Server(binary, data, "--mirror-directory", str(mirror))
        client = server.client()
        fill(client, 5)
        first = take_snapshot(client, SYSTEM, "full")
        for number in range(3):
            put_state(client, SYSTEM, "component-0", {"round": number})
            take_snapshot(client, SYSTEM, "incremental")
        checks.check(f"{name}: the_mirror_has_the_old", wait_until(lambda d=data, m=mirror: is_even(d, m), 60))
        old = names(data)
        server.kill9()
        server = Server(binary, data, "--mirror-directory", str(mirror), "--anchor-interval", "0")
        client = server.client()
        put_state(client, SYSTEM, "component-1", {"changed": True})
        last = take_snapshot(client, SYSTEM, "full")
        states = read_states(client, SYSTEM)
        checks.check(f"{name}: the_last_is_a_generation_of_its_own", last["generation"] != first["generation"], last)
        # What retention deletes has to be older than what proved whole; killed earlier, the server might not have looked.
        checks.check(f"{name}: the_last_is_proved_whole", wait_until(lambda c=client, l=last: is_valid(c, l["id"]), 60))
        checks.check(f"{name}: the_mirror_has_them_all", wait_until(lambda d=data, m=mirror: is_even(d, m), 60))
        server.kill9()
        checks.equal(f"{name}: four_are_old", make_old(data, first["generation"]), 4)

        # Retention follows a full that the schedule took.
        server = Server(binary, data, *flags, "--mirror-directory", str(mirror), fault=f"retention_midway:exit:{skip}")
        try:
            put_state(server.client(), SYSTEM, "component-1", {"changed": "again"})
        except (Lost, harness.Failure):
            pass
        checks.equal(f"{name}: the_fault_point_was_reached", server.wait(), harness.KILLED)
        left = names(data) & old
        checks.equal(f"{name}: some_are_gone_and_some_are_not", len(left), 3 - skip)
        checks.check(f"{name}: the_oldest_are_what_is_left", first["id"] in left and last["id"] in names(data), left)

        server = Server(binary, data, *flags, "--mirror-directory", str(mirror))
        client = server.client()
        put_state(client, SYSTEM, "component-1", {"changed": "at last"})
        checks.check(f"{name}: the_next_run_ends_it", wait_until(lambda d=data, o=old: not names(d) & o, 30),
                     names(data))
        checks.check(f"{name}: an_event_says_what_was_freed",
                     wait_until(lambda c=client: harness.list_events(c, SYSTEM, "retention.deleted"), 30))
        rows = {one["id"] for one in harness.list_snapshots(client, SYSTEM)}
        checks.equal(f"{name}: no_row_is_left", rows & old, set())
        # What went in the moment of the crash may stay in the mirror until it is a day older; nothing else may.
        checks.check(f"{name}: the_mirror_follows", wait_until(lambda m=mirror, l=left: not names(m) & l, 30),
                     names(mirror))
        client.want(201, "POST", f"/v1/systems/{SYSTEM}/snapshots/{last['id']}/restore", {})
        checks.equal(f"{name}: what_is_kept_can_be_restored", read_states(client, SYSTEM).keys(), states.keys())
        preview = client.get_json(f"/v1/systems/{SYSTEM}/retention/preview")
        checks.equal(f"{name}: the_preview_keeps_the_rest", {one["decision"] for one in preview["snapshots"]}, {"keep"})
        server.kill9()
        shutil.rmtree(mirror)


if __name__ == "__main__":
    harness.run(dies_while_mirroring, killed_at_any_moment, failing_copies_are_told_of_once, dies_in_retention)
