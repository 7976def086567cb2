#!/usr/bin/python3
"""Random steps on a server and on a simple model of it: they must agree, now and about every past.

    test_model.py SERVER [--engine sqlite|postgres] [--steps N] [--seed N]

Uploads, conditions, batches, patches, deletions, registrations, snapshots, restores, plans, forks, time travel,
differences, kill -9 and restarts, on both databases. model.py is the model, driver.py runs the server, steps.py and
recovering.py are what happens, comparing.py what is compared. The same seed gives the same steps.
HOLDFAST_TEST_MODEL_STEPS and HOLDFAST_TEST_MODEL_SEED are for longer runs.
"""
import argparse
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from driver import LONG_HISTORY_MS, Mismatch  # noqa: E402
from harness import Failure  # noqa: E402
from steps import Steps  # noqa: E402

COMPARE_EVERY = 50
TOGETHER_EVERY = 200
MIX = ((30, Steps.upload), (7, Steps.batch), (2, Steps.repeat_batch), (6, Steps.patch), (5, Steps.delete),
       (4, Steps.register), (1, Steps.heartbeat), (1, Steps.set_intervals), (6, Steps.take_snapshot),
       (3, Steps.keep_snapshot), (7, Steps.recover), (4, Steps.apply_plan), (2, Steps.repeat_recovery),
       (2, Steps.report), (2, Steps.fork), (1, Steps.delete_system), (8, Steps.look_back), (4, Steps.compare_moments),
       (2, Steps.crash))
# What must have happened in a run that is worth its name: once in so many steps at least.
WORTH = {"uploads": 8, "batches": 60, "patches": 150, "deletions": 100, "registrations": 100, "snapshots taken": 80,
         "snapshots full": 100, "snapshots incremental": 100, "snapshots deleted": 1000, "recoveries planned": 200,
         "recoveries applied": 120, "recoveries reported": 400, "plans refused": 1000, "plans applied": 1000,
         "states restored": 50, "forks": 500, "systems deleted": 500, "differences": 100,
         "patches of differences": 1000, "refused precondition_failed": 120, "refused stale_epoch": 300,
         "refused dependency_cycle": 1500, "unchanged": 100, "repeated batches": 500, "starts": 150,
         "repeated recoveries": 250, "uploads together": 20, "states read": 3, "events": 100, "trimmed versions": 1000,
         "moments from snapshots": 1000, "in although the answer was lost": 2000}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("server", nargs="?")
    parser.add_argument("--engine", choices=("sqlite", "postgres"), action="append")
    parser.add_argument("--steps", type=int, default=int(os.environ.get("HOLDFAST_TEST_MODEL_STEPS") or 2000))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("HOLDFAST_TEST_MODEL_SEED") or 1))
    return parser.parse_args()


ARGUMENTS = arguments()


def choose(rng):
    dice = rng.random() * sum(weight for weight, _ in MIX)
    for weight, step in MIX:
        dice -= weight
        if dice < 0:
            return step
    return MIX[0][1]


def walk(run, steps):
    for run.step in range(1, steps + 1):
        run.restoring = None
        rng = run.rng()
        if run.step % TOGETHER_EVERY == TOGETHER_EVERY // 2:
            run.together(rng)
        else:
            choose(rng)(run, rng)
        if run.step % COMPARE_EVERY == 0:
            run.note("comparison")
            run.compare(run.rng("comparison"))
    run.note("the end")
    run.next_history_ms = LONG_HISTORY_MS
    run.stop()
    run.start()
    run.compare(run.rng("the end"), everything=True)
    run.kill()


def agrees(checks, binary, engine):
    name = f"{engine}: {ARGUMENTS.steps} steps with seed {ARGUMENTS.seed}"
    run = Steps(binary, engine, ARGUMENTS.seed)
    try:
        walk(run, ARGUMENTS.steps)
        checks.check(f"{name}: server_and_model_agree", True)
    except Failure as error:
        kind = "" if isinstance(error, Mismatch) else f"{type(error).__name__}: "
        checks.check(f"{name}: server_and_model_agree", False, f"at step {run.step}: {kind}{error}")
        print(f"    again: tests/model/test_model.py SERVER --engine {engine} --seed {ARGUMENTS.seed} "
              f"--steps {ARGUMENTS.steps}")
        print("\n".join(f"    {harness.shorten(line, 400)}" for line in run.trace), flush=True)
        run.server.kill9()
        return
    missed = {what: run.counts[what] for what, every in WORTH.items() if run.counts[what] < ARGUMENTS.steps // every}
    checks.check(f"{name}: the_run_was_worth_its_name", not missed, missed)
    print("       " + ", ".join(f"{what} {count}" for what, count in sorted(run.counts.items())), flush=True)


def agrees_on_sqlite(checks, binary):
    agrees(checks, binary, "sqlite")


def agrees_on_postgres(checks, binary):
    agrees(checks, binary, "postgres")


if __name__ == "__main__":
    TESTS = {"sqlite": agrees_on_sqlite, "postgres": agrees_on_postgres}
    harness.run(*(TESTS[engine] for engine in ARGUMENTS.engine or TESTS), arguments=ARGUMENTS)
