#!/usr/bin/python3
"""The database is lost or damaged: the start rebuilds it from the newest chain of snapshot files that validates."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, put_state, read_states, take_snapshot  # noqa: E402

SYSTEMS = ("alpha", "beta")
DATABASE = ("holdfast.db", "holdfast.db-wal", "holdfast.db-shm")


class Prepared:
    """A data directory with a chain of snapshots of two systems, some changes after it, and the server killed."""

    def __init__(self, binary, changes_after=True, **options):
        self.binary = binary
        self.data = harness.new_directory()
        self.options = options
        server = Server(binary, self.data, **options)
        client = server.client()
        self.states, self.versions, self.newest, self.sequences = {}, {}, {}, {}
        self.older_states = {}
        for system in SYSTEMS:
            self.fill(client, system)
            self.states[system] = read_states(client, system)
            self.versions[system] = self.read_versions(client, system)
            self.newest[system] = client.get_json(f"/v1/systems/{system}/snapshots/latest")
            self.sequences[system] = client.get_json(f"/v1/systems/{system}")["sequence"]
        if changes_after:
            for system in SYSTEMS:
                put_state(client, system, "component-0", {"after": "the newest snapshot"})
                put_state(client, system, "newcomer", {"after": "the newest snapshot"})
        server.kill9()

    def fill(self, client, system):
        """A full, then incrementals with changes, a deletion, and a large binary state."""
        for number in range(60):
            put_state(client, system, f"component-{number}", {"system": system, "number": number, "pad": "y" * 1500})
        client.want(201, "PUT", f"/v1/systems/{system}/components/registered",
                    {"kind": "agent", "dependsOn": ["component-1"]})
        take_snapshot(client, system, "full")
        put_state(client, system, "component-1", {"changed": 1})
        put_state(client, system, "blob", os.urandom(200000), Content_Type="application/octet-stream")
        take_snapshot(client, system, "incremental")
        client.want(204, "DELETE", f"/v1/systems/{system}/components/component-2")
        put_state(client, system, "component-1", {"changed": 2})
        self.older_states[system] = None
        take_snapshot(client, system, "incremental")
        self.older_states[system] = read_states(client, system)
        put_state(client, system, "component-3", {"changed": 3})
        take_snapshot(client, system, "incremental")

    @staticmethod
    def read_versions(client, system):
        return {component["name"]: component["version"]
                for component in client.get_all(f"/v1/systems/{system}/components", "components")}

    def path(self, name=DATABASE[0]):
        return self.data / name

    def start(self, *flags, **more):
        return Server(self.binary, self.data, *flags, **self.options, **more)

    def snapshot_files(self):
        return sorted(self.data.rglob("*.snapshot"))


def delete_all(prepared):
    for name in DATABASE:
        prepared.path(name).unlink(missing_ok=True)


def delete_database_alone(prepared):
    prepared.path().unlink()


def overwrite_with_garbage(prepared):
    """The log too: as long as it holds every page, SQLite needs nothing else, and nothing is lost."""
    for name in DATABASE[:2]:
        prepared.path(name).write_bytes(os.urandom(max(prepared.path(name).stat().st_size, 8192)))


def empty(prepared):
    for name in DATABASE[1:]:
        prepared.path(name).unlink(missing_ok=True)
    os.truncate(prepared.path(), 0)


def stop_cleanly(prepared):
    """Everything into the one file, so that damage to it counts; the final snapshot is undone."""
    server = prepared.start()
    server.stop()


def truncate_in_the_middle(prepared):
    os.truncate(prepared.path(), prepared.path().stat().st_size // 2)


def overwrite_the_middle(prepared):
    size = prepared.path().stat().st_size
    with open(prepared.path(), "r+b") as file:
        file.seek(size // 4)
        file.write(os.urandom(size // 2))


def check_rebuilt(checks, server, prepared, name, states, set_aside):
    client = server.client()
    log = server.log()
    for system in SYSTEMS:
        found = read_states(client, system)
        checks.equal(f"{name}: states_of_{system}_are_those_of_the_snapshot", found, states[system])
        recoveries = client.get_json(f"/v1/systems/{system}/recoveries")["recoveries"]
        checks.check(f"{name}: a_recovery_of_{system}_is_listed", len(recoveries) >= 1
                     and recoveries[0]["snapshot"], recoveries)
        versions = [harness.read_versions(client, system, component)[-1]["version"] for component in ("component-1",)]
        receipt = put_state(client, system, "component-1", {"after": "the rebuild"})
        checks.equal(f"{name}: version_numbers_of_{system}_go_on", receipt["version"], versions[-1] + 1)
    files = [path.name for path in prepared.data.glob("holdfast.db.damaged-*")]
    if set_aside:
        checks.check(f"{name}: the_damaged_database_is_set_aside", files, os.listdir(prepared.data))
    checks.check(f"{name}: the_log_tells", re.search("rebuil|recover", log, re.I), log[-500:])
    taken = take_snapshot(client, "alpha", "full")
    checks.equal(f"{name}: snapshots_go_on", (taken["kind"], taken["state"]), ("full", "complete"))


def database_lost_or_damaged(checks, binary):
    for damage, set_aside in ((delete_all, False), (delete_database_alone, False), (overwrite_with_garbage, True),
                              (empty, False)):
        prepared = Prepared(binary)
        damage(prepared)
        server = prepared.start()
        check_rebuilt(checks, server, prepared, damage.__name__, prepared.states, set_aside)
        server.kill9()
        check_settled(checks, prepared, damage.__name__)


def one_page_damaged(checks, binary):
    """All states uploaded again after the snapshot, then one page is bad: all but those on it come back new."""
    data = harness.new_directory()
    server = Server(binary, data)
    client = server.client()
    names = [f"component-{number}" for number in range(60)]
    for word in ("old", "new"):
        for name in names:
            put_state(client, "alpha", name, {"word": word, "name": name, "pad": "y" * 1500})
        if word == "old":
            take_snapshot(client, "alpha", "full")
    server.kill9()
    path = data / DATABASE[0]
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("pragma wal_checkpoint(truncate)")
    pages = path.read_bytes()
    first = pages.index(b'"word": "new", "name": "component-30"') // 4096 * 4096
    with open(path, "r+b") as file:
        file.seek(first // 16384 * 16384)
        file.write(os.urandom(16384))
    server = Server(binary, data)
    client = server.client()
    found = [client.get_json(f"/v1/systems/alpha/components/{name}/state") for name in names]
    checks.equal("one_page_damaged: every_state_is_whole",
                 [state["name"] for state in found if len(state["pad"]) == 1500], names)
    news = sum(state["word"] == "new" for state in found)
    checks.check("one_page_damaged: what_is_elsewhere_is_new", 60 - 12 <= news < 60, news)
    recovery = client.get_all("/v1/systems/alpha/recoveries", "recoveries")[-1]
    checks.equal("one_page_damaged: the_recovery_says_how_many", recovery["rescued"]["components"], news)
    server.kill9()


def check_settled(checks, prepared, name):
    """The start after a rebuild is a start like any other."""
    set_aside = sorted(prepared.data.glob("holdfast.db.damaged-*"))
    server = prepared.start()
    client = server.client()
    checks.equal(f"{name}: the_next_start_has_the_states", read_states(client, "beta").keys(),
                 prepared.states["beta"].keys())
    checks.equal(f"{name}: the_next_start_does_not_rebuild",
                 (sorted(prepared.data.glob("holdfast.db.damaged-*")),
                  len(client.get_json("/v1/systems/beta/recoveries")["recoveries"])), (set_aside, 1))
    server.kill9()


def database_damaged_in_the_middle(checks, binary):
    for damage in (truncate_in_the_middle, overwrite_the_middle):
        prepared = Prepared(binary, changes_after=False)
        stop_cleanly(prepared)
        damage(prepared)
        server = prepared.start()
        check_rebuilt(checks, server, prepared, damage.__name__, prepared.states, True)
        server.kill9()
        check_settled(checks, prepared, damage.__name__)


def postgres_database_lost(checks, binary):
    """An empty database and the old data directory: rebuilt from the files."""
    prepared = Prepared(binary, database_url=harness.new_database())
    prepared.options = {"database_url": harness.new_database()}
    server = prepared.start()
    check_rebuilt(checks, server, prepared, "postgres_database_lost", prepared.states, False)
    server.kill9()


def newest_file_damaged(checks, binary):
    """Only the newest link: the chain before it counts. Then everything: a fresh start that says so."""
    prepared = Prepared(binary)
    delete_all(prepared)
    for system in SYSTEMS:
        spoil(harness.snapshot_path(prepared.data, prepared.newest[system]))
    server = prepared.start()
    check_rebuilt(checks, server, prepared, "newest_snapshot_damaged", prepared.older_states, False)
    client = server.client()
    recovery = client.get_all("/v1/systems/alpha/recoveries", "recoveries")[-1]
    skipped = [entry["snapshot"] for entry in recovery["skipped"]]
    checks.equal("newest_snapshot_damaged: the_recovery_names_what_was_skipped", skipped,
                 [prepared.newest["alpha"]["id"]])
    server.kill9()

    prepared = Prepared(binary)
    delete_all(prepared)
    files = prepared.snapshot_files()
    for path in files:
        spoil(path)
    server = prepared.start()
    client = server.client()
    checks.equal("all_snapshots_damaged: it_serves", client.request("GET", "/readyz").status, 200)
    checks.equal("all_snapshots_damaged: no_file_was_removed", prepared.snapshot_files(), files)
    receipt = put_state(client, "alpha", "component-0", {"fresh": True})
    checks.check("all_snapshots_damaged: uploads_work", receipt["version"] >= 1, receipt)
    checks.check("all_snapshots_damaged: the_log_tells", "fresh" in server.log(), server.log()[-800:])
    server.kill9()


def spoil(path):
    """A few bytes of every content: found only by reading everything, and, with no outline and no other copy, for good."""
    for outline in path.parent.parent.parent.glob(f"*/{path.parent.name}/{path.stem}.outline"):
        outline.unlink()
    content = bytearray(path.read_bytes())
    at = int.from_bytes(content[12:16], "little")
    while content[at:at + 4] == b"HFB1":
        stored = int.from_bytes(content[at + 16:at + 24], "little")
        content[at + 64] ^= 0x40
        at += 64 + stored
    path.write_bytes(content)


def find_command(log):
    """The command that the log gives the operator: a line that runs curl or the server itself."""
    for line in log.splitlines():
        try:
            texts = [value for value in json.loads(line).values() if isinstance(value, str)]
        except ValueError:
            texts = [line]
        for text in texts:
            found = re.search(r"(curl .*alpha.*)", text)
            if found:
                return found.group(1).rstrip(".")
    return None


def too_old(checks, binary):
    """Older than --recovery-max-age: a fresh start, the files stay, and the command in the log restores them."""
    prepared = Prepared(binary)
    delete_all(prepared)
    files = prepared.snapshot_files()
    server = Server(binary, prepared.data, "--recovery-max-age", "1")
    client = server.client()
    checks.equal("too_old: it_starts_fresh", read_states(client, "alpha") if client.request(
        "GET", "/v1/systems/alpha").status == 200 else {}, {})
    checks.equal("too_old: the_files_stay", prepared.snapshot_files(), files)
    command = find_command(server.log())
    if checks.check("too_old: the_log_has_the_command", command, server.log()[-2500:]):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        checks.equal("too_old: the_command_works", done.returncode, 0)
        checks.equal("too_old: the_command_restores_the_states", read_states(client, "alpha"),
                     prepared.states["alpha"])
        epoch = client.get_json("/v1/systems/alpha")["epoch"]
        checks.check("too_old: the_epoch_is_above_that_of_the_files", epoch > prepared.newest["alpha"]["epoch"], epoch)
    receipt = put_state(client, "alpha", "component-0", {"later": True})
    checks.check("too_old: sequences_go_on_above_those_of_the_files",
                 receipt["sequence"] > prepared.newest["alpha"]["sequence"], receipt)
    server.kill9()
    server = prepared.start()
    checks.check("too_old: it_starts_again", read_states(server.client(), "alpha"))
    server.kill9()


def too_old_with_tokens(checks, binary):
    """The command sends a token, which the operator has in his environment."""
    prepared = Prepared(binary)
    delete_all(prepared)
    tokens = prepared.data / "tokens"
    made = subprocess.run([binary, "token", "create", "--role", "operator", "--tokens-file", str(tokens)],
                          capture_output=True, text=True, timeout=60, check=True)
    server = Server(binary, prepared.data, "--recovery-max-age", "1", "--tokens-file", str(tokens))
    command = find_command(server.log())
    if checks.check("too_old_with_tokens: the_log_has_the_command", command, server.log()[-2500:]):
        done = subprocess.run(["bash", "-c", command + " --silent --fail"], capture_output=True, text=True, timeout=60,
                              check=False, env={**os.environ, "TOKEN": made.stdout.strip()})
        checks.equal("too_old_with_tokens: the_command_works", done.returncode, 0)
        refused = subprocess.run(["bash", "-c", command + " --silent --fail"], capture_output=True, text=True,
                                 timeout=60, check=False, env={**os.environ, "TOKEN": "hft_none"})
        checks.equal("too_old_with_tokens: another_token_is_refused", refused.returncode, 22)
    server.kill9()


def files_of_a_deleted_system(checks, binary):
    """A crash while a system is deleted can leave its files: a new system of the name must not build on them."""
    data = harness.new_directory()
    server = Server(binary, data)
    client = server.client()
    for system in SYSTEMS:
        put_state(client, system, "secret", {"old": True})
        take_snapshot(client, system)
    kept = harness.new_directory("kept") / "copy"
    shutil.copytree(data / "system-state-backups" / "alpha", kept)
    client.want(204, "DELETE", "/v1/systems/alpha?confirm=alpha")
    server.kill9()
    shutil.copytree(kept, data / "system-state-backups" / "alpha", dirs_exist_ok=True)

    server = Server(binary, data)
    client = server.client()
    checks.equal("deleted_system: it_stays_deleted", client.request("GET", "/v1/systems/alpha").status, 404)
    put_state(client, "alpha", "fresh", {"new": True})
    server.kill9()
    server = Server(binary, data)
    client = server.client()
    taken = take_snapshot(client, "alpha", "incremental")
    checks.equal("deleted_system: the_new_one_starts_its_own_generation",
                 (taken["kind"], taken["components"], taken["generation"]), ("full", 1, taken["id"]))
    reply = client.request("GET", "/v1/systems/alpha/components/secret/state?snapshot=latest")
    checks.equal("deleted_system: its_states_do_not_come_back", reply.status, 404)
    checks.check("deleted_system: its_files_are_kept_aside",
                 list(data.glob("system-state-backups/.orphaned-alpha-*/*.snapshot")))
    checks.check("deleted_system: the_log_says_so", "snapshots_set_aside" in "".join(
        one.log() for one in Server.started[-2:]))
    server.kill9()


def killed_during_the_rebuild(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("killed_during_the_rebuild", "built without fault points")
        return
    prepared = Prepared(binary)
    overwrite_with_garbage(prepared)
    for attempt in range(2):
        server = Server(binary, prepared.data, fault="rebuild_midway:exit", wait=False)
        server.wait_until_serving()
        checks.equal(f"killed_during_the_rebuild: the_fault_point_was_reached ({attempt + 1})", server.wait(),
                     harness.KILLED)
    server = prepared.start()
    check_rebuilt(checks, server, prepared, "killed_during_the_rebuild", prepared.states, True)
    server.kill9()


if __name__ == "__main__":
    harness.run(database_lost_or_damaged, database_damaged_in_the_middle, one_page_damaged, postgres_database_lost, newest_file_damaged,
                too_old, too_old_with_tokens, files_of_a_deleted_system, killed_during_the_rebuild)
