#!/usr/bin/python3
"""Power is cut under load: what was not flushed is gone, and nothing acknowledged was among it.

A file system of our own in a file is shut down in the middle of writing (without flushing its journal), which drops
every byte and every name that was not synced; then it is mounted again. On SQLite, with snapshots all the time.
"""
import argparse
import contextlib
import fcntl
import os
import pathlib
import random
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, wait_until  # noqa: E402
from load import Journal, Load, verify_snapshots  # noqa: E402

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSHING = 2
BUSY = ("--backup-interval", "1200", "--incremental-interval", "250", "--anchor-interval", "3000")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("server", nargs="?")
    parser.add_argument("--rounds", type=int, default=max(3, int(os.environ.get("HOLDFAST_TEST_CRASH_ROUNDS", "0")) // 2))
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args()


ARGUMENTS = arguments()
SEED = ARGUMENTS.seed if ARGUMENTS.seed is not None else int.from_bytes(os.urandom(4), "big")


class Disk:
    """A small ext4 in a file."""

    def __init__(self):
        self.image = harness.new_directory("disk") / "image"
        self.place = harness.new_directory("mounted")
        with open(self.image, "wb") as file:
            file.truncate(512 * 1024 * 1024)
        self.ready = self.run("mkfs.ext4", "-q", "-F", str(self.image)) and self.mount()

    @staticmethod
    def run(*command):
        try:
            return subprocess.run(command, check=False, capture_output=True).returncode == 0
        except FileNotFoundError:
            return False

    def mount(self):
        # Its journal is written every second, not every five: more names and sizes are cut half-way.
        return self.run("mount", "-o", "loop,commit=1", str(self.image), str(self.place))

    def cut_power(self):
        fd = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING))
        finally:
            os.close(fd)

    def unmount(self):
        return wait_until(lambda: self.run("umount", str(self.place)))


def power_is_cut(checks, binary):
    if not harness.enter_own_mounts():
        checks.skip("power_is_cut", "needs root and mounts")
        return
    disk = Disk()
    if not disk.ready:
        checks.skip("power_is_cut", "needs ext4 on a loop device")
        return
    rng = random.Random(SEED)
    data = disk.place / "data"
    journal = Journal()
    try:
        for number in range(ARGUMENTS.rounds):
            if not one_cut(checks, binary, disk, data, journal, number, rng):
                return
    finally:
        harness.end_servers()
        with contextlib.suppress(Exception):
            disk.unmount()


def one_cut(checks, binary, disk, data, journal, number, rng):
    name = f"cut {number + 1}"
    server = Server(binary, data, *BUSY)
    load = Load(server.port, f"{SEED}/{number}").start()
    if number == 0:
        wait_until(lambda: load.acknowledged() > 60)
    time.sleep(rng.uniform(0.2, 1.0))
    cut_at = time.monotonic()
    disk.cut_power()
    seen = load.acknowledged()
    time.sleep(0.5)  # what is answered now has nothing under it; but refusing must stay true
    client = server.client()
    with contextlib.suppress(harness.Lost):
        checks.equal(f"{name}: livez_answers_without_a_disk", client.request("GET", "/livez").status, 200)
    server.kill9()
    load.stop()
    # A flush that is under way while the file system is shut down may report success for what is dropped.
    load.forget_answers_since(cut_at)
    print(f"       {name}: {seen} acknowledged before, answers {load.answers}", flush=True)
    if not checks.check(f"{name}: the_disk_comes_back", disk.unmount() and disk.mount()):
        return False
    server = Server(binary, data)
    client = server.client()
    load.repeat_keyed(client)
    journal.add(load)
    good = journal.verify(checks, client, name, 300, rng)
    good = verify_snapshots(checks, client, name, data, journal.names()) and good
    checks.equal(f"{name}: the_database_was_not_set_aside", list(data.glob("*damaged*")), [])
    checks.equal(f"{name}: no_temporary_file_is_left", harness.find_left(data), [])
    server.kill9()
    return good


if __name__ == "__main__":
    harness.enter_own_mounts()
    print(f"seed {SEED}: repeat with --seed {SEED} --rounds {ARGUMENTS.rounds}", flush=True)
    harness.run(power_is_cut, arguments=ARGUMENTS)
