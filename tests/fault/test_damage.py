#!/usr/bin/python3
"""Stored bytes change behind the service's back, in the database and in snapshot files: what is damaged is never
returned and never restored, it is healed where a copy is left and told of, and everything else goes on. On SQLite and
PostgreSQL."""
import hashlib
import pathlib
import shutil
import sqlite3
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, put_state, read_states, take_snapshot, wait_until  # noqa: E402

SYSTEM = "alpha"
BASE = f"/v1/systems/{SYSTEM}"
LARGE_BYTES = 200000  # not stored inline
WHERE = {"small": "component_states WHERE sequence = {}", "large": "state_chunks WHERE chunk_index = 0 AND sequence = {}"}


def flip_stored_bit(data, options, component, sequence):
    """While the server is down, so that nothing of it is in memory. The length stays: only the hash can tell."""
    table, _, where = WHERE[component].format(sequence).partition(" ")
    if options:
        middle = "length(content) / 2"
        return harness.run_psql(options["database_url"], f"UPDATE {table} SET content = set_byte(content, {middle}, "
                                                         f"get_byte(content, {middle}) # 1) {where} RETURNING 1")
    database = sqlite3.connect(data / "holdfast.db", timeout=harness.PATIENCE_SECONDS)
    found = database.execute(f"SELECT content FROM {table} {where}").fetchone()[0]
    changed = database.execute(f"UPDATE {table} SET content = ? {where}", (flip(found),)).rowcount
    database.commit()
    database.close()
    return str(changed)


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1:]


def read(client, path):
    """While something else is healed, in the background too, 503 asks to come again soon."""
    replies = []

    def is_answered():
        replies.append(client.request("GET", path))
        return replies[-1].status != 503

    wait_until(is_answered)
    return replies[-1]


def health_of(client, component):
    found = client.get_json(f"{BASE}/components/{component}")
    return found["damaged"], found["healthLabel"], found["health"]


def check_told(checks, name, client, component):
    reply = read(client, f"{BASE}/components/{component}/state")
    checks.equal(f"{name}: reading_it_is_refused", (reply.status, reply.code), (500, "data_damaged"))
    checks.check(f"{name}: the_problem_names_the_fault", b"hash" in reply.body or b"chunk" in reply.body, reply)
    checks.equal(f"{name}: the_component_shows_as_damaged", health_of(client, component), (True, "failed", 0.0))
    status = client.get_json(f"{BASE}/status")
    checks.equal(f"{name}: the_system_is_degraded", (status["status"], status["systemHealth"]["failed"]), ("degraded", 1))
    checks.check(f"{name}: an_event_tells_of_it", wait_until(
        lambda: any(event["severity"] == "error" and component in event["text"]
                    for event in harness.list_events(client, SYSTEM, "state.damaged"))))
    checks.equal(f"{name}: others_are_not_touched",
                 read(client, f"{BASE}/components/other/state").body, b'{"other":1}')


def damage_states(checks, binary, engine):
    """No snapshot was taken: there is no other copy."""
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    server = Server(binary, data, **options)
    client = server.client()
    put_state(client, SYSTEM, "other", b'{"other":1}')
    bodies = {"small": b'{"small":1}', "large": b"\"" + b"l" * LARGE_BYTES + b"\""}
    receipts = {component: put_state(client, SYSTEM, component, body) for component, body in bodies.items()}
    for component, body in bodies.items():
        name = f"{engine} {component}"
        server.kill9()
        checks.equal(f"{name}: stored_bytes_are_changed",
                     flip_stored_bit(data, options, component, receipts[component]["sequence"]), "1")
        server = Server(binary, data, **options)
        client = server.client()
        check_told(checks, name, client, component)

        # What an agent does that knows nothing of it: it sends its state again.
        again = put_state(client, SYSTEM, component, body)
        checks.equal(f"{name}: the_same_content_again_is_written", (again["unchanged"], again["version"]), (False, 2))
        reply = read(client, f"{BASE}/components/{component}/state")
        checks.equal(f"{name}: it_is_whole_again", (reply.status, reply.body == body), (200, True))
        checks.equal(f"{name}: nothing_shows_as_damaged", health_of(client, component)[0], False)
        checks.equal(f"{name}: the_system_is_operational", client.get_json(f"{BASE}/status")["status"], "operational")
    server.kill9()
    server = Server(binary, data, **options)
    checks.equal(f"{engine}: whole_after_a_restart", sorted(read_states(server.client(), SYSTEM)),
                 ["large", "other", "small"])
    server.kill9()


def alter(data, options, sql, *values):
    """The database is changed by somebody else; values are bytes, for {0}, {1}, … in the SQL."""
    if options:
        literals = [f"'\\x{value.hex()}'::bytea" for value in values]
        return harness.run_psql(options["database_url"], sql.format(*literals))
    database = sqlite3.connect(data / "holdfast.db", timeout=harness.PATIENCE_SECONDS)
    database.executescript(sql.format(*[f"x'{value.hex()}'" for value in values]))
    database.close()
    return ""


def heal_states(checks, binary, engine):
    """Every state is in a snapshot file: whatever becomes of its row, it is answered and the row is whole again."""
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    server = Server(binary, data, "--cache-bytes", "1", **options)
    client = server.client()
    bodies = {"small": b'{"small":1}', "large": b"\"" + b"l" * LARGE_BYTES + b"\"", "lost": b'{"lost":1}',
              "forged": b'{"forged":"no"}', "twice": b'{"twice":2}'}
    put_state(client, SYSTEM, "twice", b'{"twice":1}')
    old = client.get_json(f"{BASE}/components/twice")["sequence"]
    take_snapshot(client, SYSTEM)
    at = {component: put_state(client, SYSTEM, component, body)["sequence"] for component, body in bodies.items()}
    take_snapshot(client, SYSTEM)

    forgery = b'{"forged":"yes"}'
    forge = (f"UPDATE component_states SET content = {{0}}, hash = {{1}}, bytes = {len(forgery)} "
             f"WHERE sequence = {at['forged']}")
    alter(data, options, f"DELETE FROM component_states WHERE sequence = {at['lost']}")
    alter(data, options, forge, forgery, hashlib.sha256(forgery).digest())
    for component in ("small", "large"):
        checks.equal(f"{engine} {component}: stored_bytes_are_changed",
                     flip_stored_bit(data, options, component, at[component]), "1")
    checks.equal(f"{engine} twice: an_old_version_is_changed", flip_stored_bit(data, options, "small", old), "1")
    for component, body in bodies.items():
        reply = read(client, f"{BASE}/components/{component}/state")
        checks.equal(f"{engine} {component}: the_right_bytes_are_answered", (reply.status, reply.body == body), (200, True))
        checks.equal(f"{engine} {component}: nothing_shows_as_damaged", health_of(client, component)[0], False)
    reply = read(client, f"{BASE}/components/twice/state?version=1")
    checks.equal(f"{engine}: the_old_version_is_answered", (reply.status, reply.body), (200, b'{"twice":1}'))
    healed = ("forged", "large", "lost", "small", "twice")
    checks.check(f"{engine}: an_event_tells_of_each_and_where_it_was_found", wait_until(
        lambda: all(any(f"component {component} " in event["text"] and "found in" in event["text"]
                        for event in harness.list_events(client, SYSTEM, "state.healed")) for component in healed)))
    checks.equal(f"{engine}: and_only_once", len(harness.list_events(client, SYSTEM, "state.healed")), len(healed))
    checks.check(f"{engine}: the_metric_counts_them",
                 b'holdfast_healed_total{what="state"} 5' in client.request("GET", "/metrics").body)
    checks.equal(f"{engine}: the_system_is_operational", client.get_json(f"{BASE}/status")["status"], "operational")

    # Forged while nobody looks: the head is loaded from its own row.
    server.send_signal(harness.signal.SIGTERM)
    checks.equal(f"{engine}: the_service_stops_in_order", server.wait(), 0)
    alter(data, options, forge, forgery, hashlib.sha256(forgery).digest())
    server = Server(binary, data, "--cache-bytes", "1", **options)
    reply = read(server.client(), f"{BASE}/components/forged/state")
    checks.equal(f"{engine}: a_row_forged_while_stopped_is_healed", (reply.status, reply.body), (200, bodies["forged"]))

    # Without the files there is the database alone.
    server.kill9()
    for place in ("system-state-backups", "incremental-state"):
        shutil.rmtree(data / place, ignore_errors=True)
    server = Server(binary, data, **options)
    client = server.client()
    for component, body in bodies.items():
        reply = read(client, f"{BASE}/components/{component}/state")
        checks.equal(f"{engine} {component}: its_row_is_whole_again", (reply.status, reply.body == body), (200, True))
    reply = read(client, f"{BASE}/components/twice/state?version=1")
    checks.equal(f"{engine}: so_is_the_old_version", (reply.status, reply.body), (200, b'{"twice":1}'))
    server.kill9()


def damage_first_content(path):
    """Behind the header, whose length is at 12, and the 64 bytes before the content: see docs/snapshot-format.md."""
    whole = path.read_bytes()
    at = int.from_bytes(whole[12:16], "little") + 64 + 8
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1:])


def heal_a_snapshot_file(checks, binary, engine):
    """What the file lost, the history in the database still has."""
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    server = Server(binary, data, **options)
    client = server.client()
    put_state(client, SYSTEM, "component-0", {"number": 0, "pad": "p" * 200})
    put_state(client, SYSTEM, "component-1", {"number": 1, "pad": "p" * 200})
    then = read_states(client, SYSTEM)
    snapshot = take_snapshot(client, SYSTEM)
    put_state(client, SYSTEM, "component-0", {"number": -1})
    damage_first_content(harness.snapshot_path(data, snapshot))
    reply = client.request("POST", f"{BASE}/snapshots/{snapshot['id']}/restore", {})
    checks.equal(f"{engine}: a_damaged_file_with_a_copy_elsewhere_is_restored", reply.status // 100, 2)
    checks.equal(f"{engine}: and_gives_what_it_held", read_states(client, SYSTEM), then)
    checks.check(f"{engine}: an_event_tells_that_it_was_healed",
                 wait_until(lambda: harness.list_events(client, SYSTEM, "snapshot.healed")))
    checks.equal(f"{engine}: the_snapshot_is_whole", client.get_json(f"{BASE}/snapshots/{snapshot['id']}")["state"],
                 "complete")
    server.kill9()


def damage_a_snapshot_file(checks, binary, engine):
    """The content is in no other place any more."""
    data = harness.new_directory()
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    server = Server(binary, data, **options)
    client = server.client()
    for number in range(20):
        put_state(client, SYSTEM, f"component-{number}", {"number": number, "pad": "p" * 200})
    snapshot = take_snapshot(client, SYSTEM)
    for number in range(20):
        put_state(client, SYSTEM, f"component-{number}", {"number": -1 - number})
    alter(data, options, "DELETE FROM component_states WHERE sequence <= 20")  # as retention does
    put_state(client, SYSTEM, "later", {"later": True})
    plan = client.want(201, "POST", f"{BASE}/recoveries",
                       {"source": "snapshot", "snapshot": snapshot["id"], "dryRun": True}).json()
    checks.equal(f"{engine}: the_plan_names_what_would_go", (plan["status"], plan["removed"]), ("planned", ["later"]))
    now, before = read_states(client, SYSTEM), client.get_json(BASE)

    damage_first_content(harness.snapshot_path(data, snapshot))
    tries = [("restored_by_id", f"{BASE}/snapshots/{snapshot['id']}/restore", {}),
             ("a_recovery_from_it", f"{BASE}/recoveries", {"source": "snapshot", "snapshot": snapshot["id"]}),
             ("its_plan_applied", f"{BASE}/recoveries/{plan['id']}/apply", {}),
             ("its_plan_forced", f"{BASE}/recoveries/{plan['id']}/apply", {"force": True})]
    for what, target, body in tries:
        reply = client.request("POST", target, body)
        checks.equal(f"{engine} {what}: is_refused", (reply.status, reply.code), (500, "data_damaged"))
        after = client.get_json(BASE)
        checks.equal(f"{engine} {what}: nothing_changes",
                     (read_states(client, SYSTEM) == now, after["sequence"], after["epoch"]),
                     (True, before["sequence"], before["epoch"]))
    row = client.get_json(f"{BASE}/snapshots/{snapshot['id']}")
    checks.equal(f"{engine}: the_snapshot_shows_as_damaged", (row["state"], row["validation"]["status"]),
                 ("damaged", "damaged"))
    checks.equal(f"{engine}: the_plan_stands", client.get_json(f"{BASE}/recoveries/{plan['id']}")["status"], "planned")
    checks.check(f"{engine}: an_event_tells_of_the_file",
                 wait_until(lambda: harness.list_events(client, SYSTEM, "snapshot.damaged")))
    status = client.get_json(f"{BASE}/status")
    checks.check(f"{engine}: the_system_is_degraded", status["status"] == "degraded" and status["warnings"], status)
    again = take_snapshot(client, SYSTEM)
    checks.equal(f"{engine}: the_next_snapshot_builds_on_nothing_damaged", (again["kind"], again["parent"]),
                 ("full", None))
    server.kill9()


PAGE_BYTES = 16384


def overwrite_a_page(data, text):
    """Of the database file, while the service runs: one leaf that holds the text."""
    database = sqlite3.connect(data / "holdfast.db", timeout=harness.PATIENCE_SECONDS)
    # While the service reads, or moves the log itself, the answer is that it could not be moved whole: 1 for busy.
    if not wait_until(lambda: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0):
        raise harness.Failure("the log could not be moved into the database file")
    database.close()
    with open(data / "holdfast.db", "r+b") as file:
        whole = file.read()
        for at in range(PAGE_BYTES, len(whole), PAGE_BYTES):
            page = whole[at:at + PAGE_BYTES]
            if page[0] in (10, 13) and text in page:
                file.seek(at)
                file.write(b"\xee" * 4096)
                return 1
    return 0


def one_bad_page_costs_only_what_it_held(checks, binary):
    """What no other copy holds any more keeps no snapshot from being taken, and the way out that the documentation names
    keeps everything that could be read."""
    data = harness.new_directory()
    server = Server(binary, data, "--cache-bytes", "1")
    client = server.client()
    names = [f"agent-{number:03}" for number in range(120)]

    def put_round(number):
        for name in names:
            put_state(client, SYSTEM, name, {"round": f"{number} of {name}", "pad": name * 30})

    put_round(1)
    take_snapshot(client, SYSTEM)
    put_round(2)
    checks.equal("bad page: a_page_is_overwritten", overwrite_a_page(data, b"2 of agent-060"), 1)
    replies = {name: read(client, f"{BASE}/components/{name}/state") for name in names}
    lost = [name for name in names if replies[name].status != 200]
    checks.check("bad page: some_states_cannot_be_read", 0 < len(lost) < 60, lost)
    checks.equal("bad page: that_is_answered_as_damage", {replies[name].code for name in lost}, {"data_damaged"})
    snapshots = [client.request("POST", f"{BASE}/snapshots", {"kind": kind}) for kind in ("incremental", "full")]
    checks.equal("bad page: snapshots_are_taken", [reply.status for reply in snapshots], [201, 201])
    checks.check("bad page: each_says_what_it_lacks",
                 all(f"{len(lost)} component" in reply.json()["reason"] for reply in snapshots), snapshots)
    checks.check("bad page: the_database_is_told_of_once", server.log().count('"event":"database.damaged"') == 1)

    def told():
        return [[item["component"] for item in event["data"]["older"]]
                for event in harness.list_events(client, SYSTEM, "snapshot.incomplete")]

    wait_until(lambda: len(told()) >= 2)  # events are written behind the answers
    checks.equal("bad page: events_name_each_component", told(), [lost, lost])

    put_state(client, SYSTEM, names[0], {"round": "3"})
    checks.equal("bad page: the_service_stops_in_order", server.stop(), 0)
    server = Server(binary, data)
    client = server.client()
    rounds = {}
    for name in names:
        found = client.get_json(f"{BASE}/components/{name}/state")["round"].split(" ")[0]
        rounds.setdefault(found, []).append(name)
    checks.equal("bad page: all_others_are_as_they_were", (rounds["3"], rounds["2"], rounds["1"]),
                 ([names[0]], [name for name in names[1:] if name not in lost], lost))
    server.kill9()


def a_final_snapshot_that_fails_shows_in_the_exit_code(checks, binary):
    data = harness.new_directory()
    server = Server(binary, data)
    put_state(server.client(), SYSTEM, "only", {"one": 1})
    (data / "system-state-backups").rename(data / "away")
    (data / "system-state-backups").write_text("in the way")
    checks.equal("no snapshot: the_exit_code_says_so", server.stop(), 3)
    checks.check("no snapshot: the_log_says_so", "shutdown_snapshot_failed" in server.log(), server.log()[-1000:])


def damaged_bytes_are_never_given_out(checks, binary):
    for engine in ("sqlite", "postgres"):
        damage_states(checks, binary, engine)
        heal_states(checks, binary, engine)
        heal_a_snapshot_file(checks, binary, engine)
        damage_a_snapshot_file(checks, binary, engine)


if __name__ == "__main__":
    harness.run(damaged_bytes_are_never_given_out, one_bad_page_costs_only_what_it_held,
                a_final_snapshot_that_fails_shows_in_the_exit_code)
