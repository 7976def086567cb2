#!/usr/bin/env python3
"""The published test suite of JSON Patch (json-patch-test-suite of the npm registry), the examples of RFC 7396, and
thousands of random values: each through the code of the product, each compared here.

    tests/unit/test_json_patch_suite.py SERVER_BINARY

The suite is fetched with npm into the directory of the build once, and kept there."""
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from harness import Checks, shorten  # noqa: E402

SUITE, VERSION = "json-patch-test-suite", "1.1.0"
SEED, RANDOM_PAIRS = 20261123, 4000
NPM_SECONDS = 300

# RFC 7396, appendix A.
MERGES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}), ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}), ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}), ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}), ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}), (["a", "b"], ["c", "d"], ["c", "d"]), ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None), ({"a": "foo"}, "bar", "bar"), ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}), ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


def same(one, other):
    """Python takes 1, 1.0 and True for equal; JSON does not."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other))
    return repr(one) == repr(other)


def fetch(build):
    """The directory with the suite's files."""
    kept = build / "npm" / f"{SUITE}-{VERSION}"
    if (kept / "tests.json").exists():
        return kept
    if not shutil.which("npm"):
        raise SystemExit(f"FAILED: npm is not installed; {SUITE} {VERSION} comes from its registry "
                         "(scripts/install-deps --test)\n0 passed, 1 failed")
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        command = ["npm", "install", "--prefix", scratch, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund",
                   f"{SUITE}@{VERSION}"]
        npm = subprocess.run(command, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
        if npm.returncode != 0:
            raise SystemExit(f"FAILED: npm could not fetch {SUITE} {VERSION}; is its registry reachable?\n"
                             f"{npm.stdout}{npm.stderr}\n0 passed, 1 failed")
        shutil.rmtree(kept, ignore_errors=True)
        (pathlib.Path(scratch) / "node_modules" / SUITE).rename(kept)
    return kept


class Patcher:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        encoding="utf-8")

    def ask(self, **line):
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


def run_case(checks, patcher, name, case):
    answer = patcher.ask(doc=case["doc"], patch=case["patch"])
    if "error" in case:
        good = answer.get("error") in ("invalid_request", "conflict", "precondition_failed")
    else:
        good = same(answer.get("doc", "an error"), case.get("expected", case["doc"]))
    checks.check(name, good and answer["untouched"] is True, shorten(answer))


def run_suite(checks, patcher, directory):
    documents = []
    for file in ("tests.json", "spec_tests.json"):
        cases = json.loads((directory / file).read_text(encoding="utf-8"))
        enabled = [case for case in cases if not case.get("disabled") and "patch" in case]
        checks.check(f"{file} has cases", len(enabled) >= 15, len(enabled))
        for number, case in enumerate(enabled):
            run_case(checks, patcher, f"{file} {number}: {case.get('comment', case.get('error', ''))}", case)
            documents += [case["doc"], case.get("expected", case["doc"])]
    return documents


def random_value(rng, depth):
    kind = rng.randrange(12 if depth else 8)
    if kind < 8:
        return rng.choice([None, True, False, rng.randrange(-3, 4), rng.randrange(-2**63, 2**63), rng.random() * 10,
                           float(rng.randrange(-3, 4)), rng.choice(["", "a", "é/~\u0000\"", "-", "x" * 40])])
    if kind < 10:
        return [random_value(rng, depth - 1) for _ in range(rng.randrange(6))]
    return {rng.choice(NAMES): random_value(rng, depth - 1) for _ in range(rng.randrange(6))}


NAMES = ["a", "b", "", "/", "~", "~1", "0", "-", "a/b", "é", "m~n", "long" * 10]


def changed(rng, value, depth):
    """The value with a few changes, as states have them."""
    if isinstance(value, list) and rng.random() < 0.9:
        items = [changed(rng, item, depth - 1) if rng.random() < 0.3 else item for item in value]
        cut = rng.randrange(len(items) + 1)
        added = [random_value(rng, 2) for _ in range(rng.randrange(3))]
        return [items[cut:] + added, items[:cut] + added + items[cut:], items[:cut] + items[cut + 1:], items][
            rng.randrange(4)]
    if isinstance(value, dict) and rng.random() < 0.9:
        members = {name: changed(rng, item, depth - 1) if rng.random() < 0.4 else item for name, item in value.items()
                   if rng.random() < 0.9}
        if rng.random() < 0.3:
            members[rng.choice(NAMES)] = random_value(rng, 2)
        return members
    return random_value(rng, depth)


def check_diffs(checks, patcher, name, pairs):
    wrong = []
    for one, other in pairs:
        answer = patcher.ask(**{"from": one, "to": other})
        again = patcher.ask(doc=one, patch=answer["patch"])
        if not (answer["same"] and same(answer["doc"], other) and same(again.get("doc", "an error"), other)
                and (answer["patch"] == []) == same(one, other)):
            wrong.append((one, other, answer))
    checks.check(f"{name}: {len(pairs)} patches lead exactly where they should", pairs and not wrong,
                 shorten(wrong[:1]))


def main():
    build = pathlib.Path(sys.argv[1]).resolve().parent
    checks = Checks()
    directory = fetch(build)
    patcher = Patcher(build / "tests" / "json_patch_lines")
    documents = run_suite(checks, patcher, directory)
    for number, (document, patch, expected) in enumerate(MERGES):
        answer = patcher.ask(doc=document, merge=patch)
        checks.check(f"RFC 7396 appendix A, {number}", same(answer["doc"], expected), shorten(answer))
    check_diffs(checks, patcher, "the suite's documents", list(zip(documents[::2], documents[1::2])) +
                list(zip(documents, documents[1:])))
    rng = random.Random(SEED)
    pairs = []
    for _ in range(RANDOM_PAIRS):
        value = random_value(rng, 5)
        pairs.append((value, changed(rng, value, 4) if rng.random() < 0.8 else random_value(rng, 4)))
    check_diffs(checks, patcher, f"random documents (seed {SEED})", pairs)
    checks.check("the program ends well", patcher.end() == 0)
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
