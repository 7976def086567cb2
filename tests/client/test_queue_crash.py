#!/usr/bin/python3
"""kill -9 of programs that save through a queue with an outbox, and of the server, at random moments: the last state of
each component that was queued is stored in the end, no older one follows a newer one, and none is stored twice.

    test_queue_crash.py SERVER [--rounds N] [--seed N]
"""
import argparse
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import KILLED, Server  # noqa: E402

SYSTEM = "default"
FAULTS = ("outbox_midway", "outbox_before_rename", "outbox_after_rename", "outbox_directory_sync",
          "outbox_before_remove")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("server", nargs="?")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args()


ARGUMENTS = arguments()
SEED = ARGUMENTS.seed if ARGUMENTS.seed is not None else int.from_bytes(os.urandom(4), "big")


class Agent:
    """One queue_agent, and what it said that it may rely on: {component: last number}."""

    def __init__(self, binary, port, outbox, *command, fault=None):
        environment = {name: value for name, value in os.environ.items() if name != "HOLDFAST_FAULT"}
        environment["no_proxy"] = "127.0.0.1"
        if fault:
            environment["HOLDFAST_FAULT"] = fault
        self.process = subprocess.Popen(
            [pathlib.Path(binary).parent / "tests" / "queue_agent", f"http://127.0.0.1:{port}", str(outbox),
             *[str(part) for part in command]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        self.queued, self.errors = {}, ""
        self.awaited = ("full",) if "fill" in command else ("Counter0", "Counter3")
        self.spoken = threading.Event()
        self.readers = [threading.Thread(target=self.read), threading.Thread(target=self.read_errors)]
        for reader in self.readers:
            reader.start()

    def read(self):
        for line in self.process.stdout:
            if line.endswith("\n"):
                component, number = line.split()
                self.queued[component] = int(number)
                if component in self.awaited:
                    self.spoken.set()
        self.spoken.set()

    def read_errors(self):
        self.errors = self.process.stderr.read()

    def wait(self):
        """Its exit status; None when it hung (and was killed)."""
        try:
            status = self.process.wait(harness.PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = None
        for reader in self.readers:
            reader.join()
        return status

    def kill9(self):
        self.process.kill()
        return self.wait()


class Machine:
    """The server, which goes and comes back on the same port."""

    def __init__(self, binary):
        self.binary, self.data = binary, harness.new_directory()
        self.server = Server(binary, self.data)
        self.port = self.server.port

    def down(self):
        if self.server:
            self.server.kill9()
        self.server = None

    def up(self):
        if not self.server:
            self.server = Server(self.binary, self.data, port=self.port)


def check_drained(checks, name, machine, outbox):
    machine.up()
    agent = Agent(machine.binary, machine.port, outbox, "drain")
    checks.check(f"{name}: what_was_left_is_sent_by_the_next_process", agent.wait() == 0, agent.errors)
    left = [path.name for path in pathlib.Path(outbox).iterdir() if path.name != "lock"]
    checks.equal(f"{name}: the_outbox_is_empty", left, [])


def check_history(checks, name, client, queued):
    """queued: the last number that was promised; the next one may have been on its way."""
    numbers = {harness.label(str(number).encode()): number for number in range(max(queued.values()) + 2)}
    wrong = []
    for component, last in queued.items():
        stored = [numbers.get(version["hash"]) for version in harness.read_versions(client, SYSTEM, component)]
        if None in stored or stored != sorted(set(stored)):
            at = next(i for i, number in enumerate(stored) if number is None or i > 0 and number <= (stored[i - 1] or 0))
            wrong.append(f"{component}: not in order, or twice: {stored[max(0, at - 10):at + 10]}")
        elif not stored or not last <= stored[-1] <= last + 1:
            wrong.append(f"{component}: {last} was queued, {stored[-1:]} is there")
    checks.check(f"{name}: the_last_queued_state_of_each_component_is_stored_in_order_and_once", not wrong, wrong)


def killed_at_random_moments(checks, binary):
    rng = random.Random(SEED)
    machine, outbox = Machine(binary), harness.new_directory("outbox")
    queued, first, died = {}, 0, 0
    for number in range(ARGUMENTS.rounds):
        fault = None
        if number % 4 == 3 and harness.has_fault_points(binary):
            fault = f"{FAULTS[number // 4 % len(FAULTS)]}:exit:{rng.randrange(40)}"
        if fault and "remove" in fault or not machine.server and rng.random() < 0.3:
            machine.up()
        # While a newer state waits, as it always may, the file stays: who is to die when it is removed has to settle.
        command = "settle" if fault and "remove" in fault else "run"
        agent = Agent(binary, machine.port, outbox, command, first, fault=fault)
        agent.spoken.wait(harness.PATIENCE_SECONDS)
        time.sleep(rng.uniform(0, 0.2))
        if rng.random() < 0.2 and not fault:
            machine.down()
            time.sleep(rng.uniform(0, 0.1))
        status = agent.wait() if fault else agent.kill9()
        checks.check(f"round {number + 1}: the_agent_was_ended_by_us", status in (-9, KILLED), (status, agent.errors))
        died += status == KILLED
        for component, last in agent.queued.items():
            queued[component] = max(queued.get(component, -1), last)
        first = max(queued.values()) + 2
    if harness.has_fault_points(binary):
        checks.equal("each_fault_point_ended_its_agent", died, ARGUMENTS.rounds // 4)
    check_drained(checks, "at the end", machine, outbox)
    checks.equal("all components were queued", len(queued), 4)
    check_history(checks, "at the end", machine.server.client(), queued)
    print(f"       {first} numbers over {ARGUMENTS.rounds} rounds", flush=True)
    machine.down()


def a_full_outbox_survives_both(checks, binary):
    machine, outbox, count = Machine(binary), harness.new_directory("outbox"), 300
    machine.down()
    agent = Agent(binary, machine.port, outbox, "fill", count)
    agent.spoken.wait(harness.PATIENCE_SECONDS)
    agent.kill9()
    checks.equal("everything_is_queued_while_the_server_is_away", agent.queued.get("full"), count)
    check_drained(checks, "killed with a full outbox", machine, outbox)
    client = machine.server.client()
    stored = {one["name"]: (one["version"], one["hash"])
              for one in client.get_all(f"/v1/systems/{SYSTEM}/components", "components")}
    wanted = {f"one-of-many-{i}": (1, harness.label(str(i).encode())) for i in range(count)}
    checks.check("everything_queued_is_there_once", stored == wanted, len(stored))
    machine.down()


if __name__ == "__main__":
    print(f"seed {SEED}: repeat with --seed {SEED} --rounds {ARGUMENTS.rounds}", flush=True)
    harness.run(a_full_outbox_survives_both, killed_at_random_moments, arguments=ARGUMENTS)
