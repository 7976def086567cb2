#!/usr/bin/python3
"""Flushing fails under load, for a while: nothing is acknowledged meanwhile, and what is refused is not there later.

strace makes fsync and fdatasync of the running server fail with EIO. With the disk well again the server goes on by
itself; killed in the middle it starts again. On SQLite.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, wait_until  # noqa: E402
from load import ACKNOWLEDGED, Journal, Load  # noqa: E402

SEED = int.from_bytes(os.urandom(4), "big")
FLUSHES = "fsync,fdatasync"


class FailingFlushes:
    """As long as it is entered, no flush of the process succeeds."""

    def __init__(self, pid):
        self.pid = pid
        self.ready = False

    def __enter__(self):
        self.output = harness.new_directory("strace") / "output"
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                ["strace", "-f", "-p", str(self.pid), "-o", "/dev/null", "-e", f"trace={FLUSHES}", "-e",
                 f"inject={FLUSHES}:error=EIO"], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.ready = wait_until(self.is_attached) and self.process.poll() is None
        return self

    def is_attached(self):
        return b"attached" in self.output.read_bytes() or self.process.poll() is not None

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # it lets go of the process and ends
        self.process.wait()


def can_trace():
    if not shutil.which("strace"):
        return False
    with subprocess.Popen(["sleep", "30"]) as sleeper:
        with FailingFlushes(sleeper.pid) as failing:
            ready = failing.ready
        sleeper.kill()
    return ready


def flushes_fail(checks, binary):
    if not can_trace():
        checks.skip("flushes_fail", "needs strace and the right to trace")
        return
    data = harness.new_directory()
    journal = Journal()
    server = Server(binary, data, "--request-timeout", "3000", "--incremental-interval", "500")
    load = Load(server.port, f"{SEED}/wait").start()
    wait_until(lambda: load.acknowledged() > 60)
    with FailingFlushes(server.process.pid) as failing:
        checks.check("flushes_fail: strace_is_attached", failing.ready, failing.output.read_text())
        check_failing(checks, server, load, time.monotonic())
    before = load.acknowledged()
    checks.check("flushes_fail: uploads_work_again_by_themselves", wait_until(
        lambda: load.acknowledged() > before + 30), load.answers)
    load.stop()
    client = server.client()
    checks.check("flushes_fail: readyz_says_200_again", wait_until(lambda: client.request("GET", "/readyz").status == 200))
    load.repeat_keyed(client)
    journal.add(load)
    journal.verify(checks, client, "flushes_fail")

    load = Load(server.port, f"{SEED}/kill").start()
    wait_until(lambda: load.acknowledged() > 60)
    with FailingFlushes(server.process.pid):
        time.sleep(1.5)
        server.kill9()
    load.stop()
    server = Server(binary, data)
    client = server.client()
    load.repeat_keyed(client)
    journal.add(load)
    journal.verify(checks, client, "killed while flushes fail")
    checks.equal("killed while flushes fail: the_database_was_not_set_aside", list(data.glob("*damaged*")), [])
    checks.equal("killed while flushes fail: it_stops_in_order", server.stop(), 0)


def sent_since(load, moment):
    """Outcomes of the uploads that were sent later, deletions among them. Of those sent before, some had been flushed."""
    with load.lock:
        return [upload.outcome for upload in load.uploads if upload.asked_at and upload.asked_at > moment]


def check_failing(checks, server, load, began):
    time.sleep(4)
    wait_until(lambda: len(sent_since(load, began)) >= 10)
    outcomes = sent_since(load, began)
    checks.check("flushes_fail: uploads_are_answered", len(outcomes) >= 10, load.answers)
    checks.equal("flushes_fail: nothing_is_acknowledged_meanwhile", outcomes.count(ACKNOWLEDGED), 0)
    client = server.client()
    checks.equal("flushes_fail: livez_says_200", client.request("GET", "/livez").status, 200)
    checks.check("flushes_fail: uploads_get_503", any(code[0] == 503 for code in load.answers), load.answers)
    reply = client.request("GET", "/v1/systems/alpha/components/shared-0/state")
    checks.check("flushes_fail: reads_go_on", reply.status in (200, 404), reply)
    lines = len(server.log().splitlines())
    time.sleep(1)
    requests = sum('"event":"request"' in line for line in server.log().splitlines()[lines:])
    checks.check("flushes_fail: the_log_is_not_flooded", len(server.log().splitlines()) - lines - requests < 100,
                 server.log()[-1500:])


if __name__ == "__main__":
    print(f"seed {SEED}", flush=True)
    harness.run(flushes_fail)
