#!/usr/bin/python3
"""The server dies in the middle of mending a snapshot file: what is left is the old file or the new one, never a mixture,
and the next validation ends the work."""
import pathlib
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, put_state, read_states, snapshot_path, take_snapshot, wait_until  # noqa: E402

SYSTEM = "alpha"
POINTS = ("repair_before_write", "repair_before_exchange", "repair_after_exchange")
SETTINGS = ("--anchor-interval", "0", "--scrub-interval", "0")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x20
    path.write_bytes(content)
    return bytes(content)


def validate(client, snapshot):
    return client.want(200, "POST", f"/v1/systems/{SYSTEM}/snapshots/{snapshot['id']}/validate", {}).json()


def is_validated(client, snapshot):
    status = client.get_json(f"/v1/systems/{SYSTEM}/snapshots/{snapshot['id']}")["validation"]["status"]
    return status != "pending"


def dies_while_healing(checks, binary):
    if not harness.has_fault_points(binary):
        checks.skip("dies_while_healing", "built without fault points")
        return
    for point in POINTS:
        data = harness.new_directory()
        server = Server(binary, data, *SETTINGS, fault=f"{point}:exit")
        client = server.client()
        for number in range(10):
            put_state(client, SYSTEM, f"component-{number}", {"number": number, "pad": random.Random(number).randbytes(2000).hex()})
        first = take_snapshot(client, SYSTEM, "full")
        put_state(client, SYSTEM, "component-0", {"number": 0, "later": True})
        second = take_snapshot(client, SYSTEM, "full")
        for snapshot in (first, second):
            checks.check(f"{point}: they_were_looked_at", wait_until(lambda s=snapshot: is_validated(client, s)))
        states = read_states(client, SYSTEM)
        path = snapshot_path(data, first)
        whole = path.read_bytes()
        damaged = flip(path)
        try:
            validate(client, first)
        except (Lost, harness.Failure):
            pass
        checks.equal(f"{point}: the_fault_point_was_reached", server.wait(), harness.KILLED)
        checks.check(f"{point}: the_file_is_the_old_one_or_the_new_one",
                     path.read_bytes() == (whole if point == "repair_after_exchange" else damaged))

        server = Server(binary, data, *SETTINGS)
        client = server.client()
        checks.equal(f"{point}: nothing_of_the_present_is_lost", read_states(client, SYSTEM), states)
        result = validate(client, first)
        checks.check(f"{point}: the_next_validation_ends_the_work", result["status"] in ("healed", "valid"), result)
        checks.check(f"{point}: every_byte_is_right_again", path.read_bytes() == whole)
        checks.equal(f"{point}: the_other_is_valid", validate(client, second)["status"], "valid")
        checks.equal(f"{point}: no_temporary_file_stays", harness.find_left(data), [])
        restored = client.want(201, "POST", f"/v1/systems/{SYSTEM}/snapshots/{first['id']}/restore", {}).json()
        checks.equal(f"{point}: it_can_be_restored", restored["status"], "applied")
        checks.equal(f"{point}: it_stops_in_order", server.stop(), 0)


if __name__ == "__main__":
    harness.run(dies_while_healing)
