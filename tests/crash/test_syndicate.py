#!/usr/bin/python3
"""The collective of examples/syndicate under kill -9: of itself, of the service, of both. It must end in exactly the
states of a run that nothing interrupted, and never come back older than what was acknowledged to it.

    test_syndicate.py SERVER [--seed N]
"""
import argparse
import itertools
import json
import os
import pathlib
import random
import signal
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from collective import LAST, PATH, SYSTEM, Journal, Relay, Syndicate, new_server, states, stored  # noqa: E402
from harness import wait_until  # noqa: E402

STEPS = 264
KILLS = 22
ENDED_DIVIDED = 3
ENDED_UNSAVED = 4
NO_HURRY = ("--stop-seconds", 3600)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("server", nargs="?")
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args()


ARGUMENTS = arguments()
SEED = ARGUMENTS.seed if ARGUMENTS.seed is not None else int.from_bytes(os.urandom(4), "big")


_references = {}


def reference(binary, steps):
    """The states after an uninterrupted run."""
    if steps not in _references:
        server = new_server(binary)
        agent = Syndicate(server, Journal().path, "--steps", steps, "--step-ms", 0)
        if agent.end() != 0:
            raise harness.Failure(f"the reference run failed:\n{agent.log()}")
        _references[steps] = states(server)
        server.stop()
    return _references[steps]


def check_states(checks, name, server, wanted):
    found = states(server)
    different = sorted(component for component in found.keys() | wanted.keys()
                       if found.get(component) != wanted.get(component))
    checks.check(f"{name}: all_states_are_byte_for_byte_those_of_an_uninterrupted_run", not different and found,
                 different)


def kill(what, server, agent):
    if what in ("server", "both"):
        server.kill9()
    if what in ("agent", "both"):
        agent.kill9()


def killed_again_and_again(checks, binary, name, flags, kills, rng):
    """Kills until there were enough, then lets it come to its end. Returns how many steps that took, too."""
    server, journal = new_server(binary), Journal()
    flags = ("--step-ms", 2, "--quiet", *flags)
    agent = Syndicate(server, journal.path, *flags)
    order = itertools.cycle(rng.sample(["agent", "server", "both"], 3))
    wrong = []
    for number in range(kills):
        journal.reaches(journal.step() + 1 + rng.randrange(STEPS // (kills + 2)), agent)
        wait_until(lambda: False, rng.uniform(0, 0.02))
        if not agent.is_running():
            break
        what = next(order)
        kill(what, server, agent)
        if not server.is_running():
            server = new_server(binary, server.data, server.port)
        acknowledged = journal.acknowledged()[-1] if journal.acknowledged() else (-1, 0)
        step, version = stored(server)
        if step < acknowledged[0] or version < acknowledged[1]:
            wrong.append(f"kill {number} of {what}: {acknowledged} was acknowledged, found {step}, version {version}")
        if not agent.is_running():
            agent = Syndicate(server, journal.path, *flags)
    else:
        number += 1
    checks.equal(f"{name}: it_was_killed_as_often_as_planned", number, kills)
    checks.check(f"{name}: nothing_acknowledged_was_lost", not wrong, wrong[:3])
    agent.kill9()
    steps = journal.step() + STEPS // 2
    agent = Syndicate(server, journal.path, "--steps", steps, *flags)
    checks.equal(f"{name}: it_ends_well", agent.end(), 0)
    check_states(checks, name, server, reference(binary, steps))
    return server, journal, steps


def killed_with_every_step_saved(checks, binary):
    server, journal, last = killed_again_and_again(checks, binary, "every step", (), KILLS, random.Random(SEED))
    checks.equal("every step: each_was_stored_exactly_once", stored(server), (last, last + 1))
    steps = [line[0] for line in journal.acknowledged()]
    checks.check("every step: no_step_was_acknowledged_twice", steps == sorted(set(steps)), steps)
    last, wrong = -1, []
    for line in journal.path.read_text(encoding="ascii").splitlines():
        what, step = line.split()[:2]
        if what == "recovered" and int(step) < last:
            wrong.append((line, last))
        last = int(step)
    checks.check("every step: it_never_came_back_older_than_acknowledged", not wrong, wrong)
    checks.check("every step: it_did_come_back", len(journal.lines("recovered")) >= KILLS // 2)
    server.stop()


def killed_between_saves(checks, binary):
    """With several steps between two saves a restart computes the steps again that were not saved."""
    server, journal, last = killed_again_and_again(checks, binary, "every seventh step", ("--save-every", 7), 6,
                                                   random.Random(SEED + 1))
    checks.check("every seventh step: only_some_were_saved", len(journal.acknowledged()) <= last // 7 + 2 + 7,
                 len(journal.acknowledged()))
    server.stop()


def told_to_stop(checks, binary):
    for number in (signal.SIGTERM, signal.SIGINT):
        server, journal = new_server(binary), Journal()
        agent = Syndicate(server, journal.path, "--step-ms", 5, "--save-every", 4, *NO_HURRY)
        journal.reaches(16, agent)
        checks.equal(f"{number.name}: it_ends_well", agent.end(number), 0)
        client = server.client()
        snapshot = client.get_json(f"{PATH}/snapshots/latest")
        checks.equal(f"{number.name}: a_full_snapshot_is_its_last_deed",
                     (snapshot["kind"], snapshot["label"], snapshot["components"], snapshot["sequence"]),
                     ("full", "shutdown", 17, client.get_json(PATH)["sequence"]))
        checks.equal(f"{number.name}: the_last_step_is_saved", stored(server)[0], journal.step())
        said = f"Stopped after step {journal.step()}; all of it is saved."
        checks.check(f"{number.name}: it_says_so", said in agent.log(), agent.log()[-300:])
        server.stop()


def prints_what_is(checks, binary):
    server, journal = new_server(binary), Journal()
    first = Syndicate(server, journal.path, "--steps", 5, "--step-ms", 0)
    first.end()
    second = Syndicate(server, journal.path, "--steps", 40, "--step-ms", 50, "--status-seconds", 1, "--seed", 9)
    second.end()
    log = second.log()
    for line in ("Step 8: Initializing State Persistence System...", "Attempting system state recovery...",
                 "[x] System state recovered successfully!", "Data loss: 0 seconds", "Components restored: 17",
                 "[x] State Persistence System operational with hourly backups", " SYSTEM STATUS:",
                 "    Active Agents: 5", "    Central Nervous System: [x] OPERATIONAL", "    Next Backup: ",
                 "    System Health: 100.0%", "The recovered collective has seed 1 and 5 agents, and keeps them."):
        checks.check(f"it_prints: {line.strip()}", line in log, log)
    checks.check("a_new_collective_says_that_it_is_new", "No earlier state was found: starting fresh." in first.log())
    totals = server.client().get_json(f"{PATH}/status")
    state = json.loads(states(server)[LAST])
    checks.equal("the_status_of_the_service_shows_its_figures",
                 (totals["activeAgents"], totals["metricTotals"].get("judgments"),
                  totals["metricTotals"].get("learningEvents"), totals["metricTotals"].get("steps")),
                 (5, state["judgments"], state["learningEvents"], 40))

    def told():
        return {event["text"] for event in harness.list_events(server.client(), SYSTEM, "state.event")}

    checks.check("what_is_of_weight_becomes_an_event", wait_until(lambda: "alphagnome: new-best-genome" in told()), told())
    server.stop()


def restored_by_an_operator(checks, binary):
    server, journal = new_server(binary), Journal()
    client = server.client()
    agent = Syndicate(server, journal.path, "--step-ms", 20, *NO_HURRY)
    journal.reaches(15, agent)
    snapshot = harness.take_snapshot(client, SYSTEM)
    cut = json.loads(client.want(200, "GET", f"{PATH}/components/{LAST}/state?snapshot={snapshot['id']}").body)
    journal.reaches(journal.step() + 15, agent)
    client.want(201, "POST", f"{PATH}/recoveries", {"source": "snapshot", "snapshot": snapshot["id"]})
    # Twenty steps after the restore: lines are (step, version, sequence, epoch).
    wait_until(lambda: [line for line in journal.acknowledged() if line[3] == 2 and line[0] >= cut["steps"] + 20] or
               not agent.is_running())
    checks.equal("restored: it_goes_on_until_it_is_stopped", agent.end(signal.SIGTERM), 0)
    last = journal.step()
    said = f"The system was restored (epoch 2): going on after step {cut['steps']}, was at "
    checks.check("restored: it_says_so", said in agent.log(), agent.log()[-600:])
    checks.equal("restored: it_went_on_where_the_operator_put_it", [line[0] for line in journal.lines("recovered")],
                 [cut["steps"]])
    steps = [line[0] for line in journal.acknowledged() if line[3] == 2]
    checks.equal("restored: every_step_was_done_again", steps, list(range(cut["steps"] + 1, last + 1)))
    check_states(checks, "restored", server, reference(binary, last))
    server.stop()


def restored_in_part(checks, binary):
    """Only one component is put back: the collective must not go on with states of two moments."""
    server, journal = new_server(binary), Journal()
    client = server.client()
    Syndicate(server, journal.path, "--steps", 10, "--step-ms", 0).end()
    snapshot = client.get_json(f"{PATH}/snapshots/latest")["id"]
    agent = Syndicate(server, journal.path, "--step-ms", 20)
    journal.reaches(20, agent)
    part = {"source": "snapshot", "snapshot": snapshot, "components": ["agent-2"]}
    client.want(201, "POST", f"{PATH}/recoveries", part)
    for name, process in (("the one that runs", agent), ("one that starts", Syndicate(server, journal.path))):
        checks.equal(f"restored in part: {name} ends", process.end(), ENDED_DIVIDED)
        log = process.log()
        checks.check(f"restored in part: {name} says why", "not of one moment" in log and
                     "agent-2 was of step" in log and "Restore all of it" in log, log[-600:])
    client.want(201, "POST", f"{PATH}/recoveries", {"source": "snapshot", "snapshot": snapshot})
    agent = Syndicate(server, journal.path, "--steps", 70, "--step-ms", 0)
    checks.equal("restored in part: after_a_whole_restore_it_goes_on", agent.end(), 0)
    check_states(checks, "restored in part", server, reference(binary, 70))
    server.stop()


def damaged_and_missing(checks, binary):
    server, journal = new_server(binary), Journal()
    client = server.client()
    damages = (("agent-2", lambda path: client.want(200, "PUT", path + "/state", {"step": 1}), "specialisation is missing"),
               ("neural-network", lambda path: client.want(204, "DELETE", path), "it has no state"))
    Syndicate(server, journal.path, "--steps", 20, "--step-ms", 0).end()
    for component, damage, problem in damages:
        damage(f"{PATH}/components/{component}")
        agent = Syndicate(server, journal.path, "--steps", 70, "--step-ms", 0)
        checks.equal(f"{component}: it_goes_on", agent.end(), 0)
        said = f"System state recovery failed: {component}: {problem}. Starting fresh."
        checks.check(f"{component}: it_says_so", said in agent.log(), agent.log()[-600:])
        labels = [snapshot["label"] for snapshot in harness.list_snapshots(client, SYSTEM)]
        checks.equal(f"{component}: what_was_found_is_in_a_snapshot", labels[:2], ["the end", "before a fresh start"])
        check_states(checks, component, server, reference(binary, 70))
    server.stop()


def deleted_under_it(checks, binary):
    """A component and then the whole system are deleted while the collective runs: it has all of it in memory."""
    server, journal = new_server(binary), Journal()
    client = server.client()
    agent = Syndicate(server, journal.path, "--step-ms", 20, *NO_HURRY)
    for number, path in enumerate((f"{PATH}/components/agent-3", f"{PATH}?confirm={SYSTEM}"), 1):
        journal.reaches(journal.step() + 10, agent)
        client.want(204, "DELETE", path)
        wait_until(lambda: agent.log().count("States are gone from the service") >= number or not agent.is_running())
    journal.reaches(journal.step() + 10, agent)
    checks.equal("deleted: it_goes_on_until_it_is_stopped", agent.end(signal.SIGTERM), 0)
    checks.check("deleted: it_says_so", "(agent-3: it has no state): saving all of step" in agent.log() and
                 "(it has none): saving all of step" in agent.log(), agent.log()[-800:])
    check_states(checks, "deleted", server, reference(binary, journal.step()))
    server.stop()


def two_at_once(checks, binary):
    """Started twice by mistake: neither can mix its steps into those of the other."""
    server = new_server(binary)
    agents = [Syndicate(server, Journal().path, "--steps", 70, "--step-ms", pause) for pause in (3, 4)]
    checks.equal("two at once: both_end_well", [agent.end() for agent in agents], [0, 0])
    checks.equal("two at once: each_step_was_stored_once", stored(server), (70, 71))
    check_states(checks, "two at once", server, reference(binary, 70))
    server.stop()


def service_away(checks, binary):
    """Away before the start, and told to stop while it is away."""
    server, journal = new_server(binary), Journal()
    server.stop()
    agent = Syndicate(server, journal.path, "--step-ms", 5)
    wait_until(lambda: "The service is away" in agent.log())
    server = new_server(binary, server.data, server.port)
    checks.check("away: it_waits_and_begins", journal.reaches(5, agent) and agent.is_running())
    server.kill9()
    wait_until(lambda: agent.log().count("The service is away") == 2)
    checks.equal("away: each_absence_is_said_once", (agent.log().count("The service is away"),
                                                     agent.log().count("The service is back")), (2, 1))
    checks.equal("away: a_signal_ends_it_with_its_last_step_unsaved", agent.end(signal.SIGTERM), ENDED_UNSAVED)
    server = new_server(binary, server.data, server.port)
    checks.check("away: what_was_acknowledged_is_there", stored(server)[0] >= journal.step())
    server.stop()


def check_unfinished(checks, name, server, journal, agent, saying=""):
    step, log = journal.step(), agent.log()
    said = f"Stopped: the last backup could not be taken. Every step is saved up to step {step}.\n"
    checks.check(f"{name}: it_says_what_is_saved", said in log and saying.format(next=step + 1) in log and
                 "all of it is saved" not in log, log[-600:])
    checks.equal(f"{name}: that_is_saved", stored(server)[0], step)


def silent_at_a_save(checks, binary):
    """Told to stop while the service has a request and never answers it: it ends all the same."""
    server, journal = new_server(binary), Journal()
    relay = Relay(server)
    agent = Syndicate(relay, journal.path, "--step-ms", 5, "--stop-seconds", 1)
    journal.reaches(5, agent)
    relay.held_text = b"/states HTTP/"
    checks.check("silent at a save: it_was_held", relay.held.wait(harness.PATIENCE_SECONDS))
    checks.equal("silent at a save: it_ends", agent.end(signal.SIGTERM), ENDED_UNSAVED)
    check_unfinished(checks, "silent at a save", server, journal, agent, "Step {next} was not acknowledged")
    relay.close()
    server.stop()


def silent_from_the_start(checks, binary):
    class Silent:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    Silent.binary = binary
    agent = Syndicate(Silent, Journal().path, "--stop-seconds", 1)
    Silent.listener.settimeout(harness.PATIENCE_SECONDS)
    with Silent.listener, Silent.listener.accept()[0]:
        checks.equal("silent from the start: it_ends_as_failed", agent.end(signal.SIGTERM), 1)
    checks.check("silent from the start: it_says_so", "what is stored is as it was" in agent.log(), agent.log()[-600:])


def told_twice(checks, binary):
    """A second signal does not wait for the backup that the first one left time to."""
    server, journal = new_server(binary), Journal()
    relay = Relay(server)
    agent = Syndicate(relay, journal.path, "--step-ms", 5, *NO_HURRY)
    journal.reaches(5, agent)
    relay.held_text = b"/snapshots HTTP/"
    agent.process.send_signal(signal.SIGINT)
    relay.held.wait(harness.PATIENCE_SECONDS)
    checks.check("told twice: it_waits_for_its_backup", relay.held.is_set() and agent.is_running())
    checks.equal("told twice: the_second_ends_it", agent.end(signal.SIGINT), 1)
    check_unfinished(checks, "told twice", server, journal, agent)
    relay.close()
    server.stop()


def nothing_was_caught(checks, _binary):
    bad = [agent.log()[-3000:] for agent in Syndicate.started if any(report in agent.log() for report in
                                                                     harness.REPORTS)]
    checks.check("no_sanitizer_caught_the_collective", not bad, bad[:1])
    for agent in Syndicate.started:
        if agent.is_running():
            agent.kill9()


if __name__ == "__main__":
    print(f"seed {SEED}: repeat with --seed {SEED}", flush=True)
    harness.run(killed_with_every_step_saved, killed_between_saves, told_to_stop, prints_what_is,
                restored_by_an_operator, restored_in_part, damaged_and_missing, deleted_under_it, two_at_once,
                service_away, silent_at_a_save, silent_from_the_start, told_twice, nothing_was_caught,
                arguments=ARGUMENTS)
