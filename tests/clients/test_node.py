#!/usr/bin/env python3
"""The Node client against a real server: its own tests with Node's own runner, and its types with the compiler.

    tests/clients/test_node.py SERVER_BINARY

The compiler is fetched with npm into the directory of the build once, and kept there; where that cannot be done the
types are not checked, and that is said."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "clients/node"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests/support"))
from harness import Checks, find_binary  # noqa: E402

COMPILER = ["typescript@5.4.5", "@types/node@18.19.31"]
NPM_SECONDS = 120
OLDEST_NODE = 18
FILES_AT_A_TIME = 2  # each has a service of its own, and mostly waits
LINE = re.compile(r"^\s*(not ok|ok) \d+ - (.*)$", re.MULTILINE)
TOTAL = re.compile(r"^# (pass|fail|cancelled) (\d+)$", re.MULTILINE)


def node_version():
    if not shutil.which("node"):
        raise SystemExit("FAILED: node is not installed (scripts/install-deps --test)\n0 passed, 1 failed")
    return int(subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0])


def run_own_tests(checks, binary):
    files = sorted((PACKAGE / "tests").glob("*.test.js"), key=lambda path: -path.stat().st_size)
    known = subprocess.run(["node", "--help"], capture_output=True, text=True, check=True).stdout
    reporter = ["--test-reporter=tap"] if "--test-reporter" in known else []  # the first ones knew no other
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("HOLDFAST_URL", "HOLDFAST_TOKEN", "HOLDFAST_SYSTEM", "NODE_OPTIONS")}

    def run_file(path):
        return subprocess.run(["node", "--test", *reporter, str(path.relative_to(PACKAGE))], cwd=PACKAGE, capture_output=True,
                              text=True, env={**environment, "HOLDFAST_TEST_SERVER": binary}, check=False)

    with ThreadPoolExecutor(FILES_AT_A_TIME) as pool:
        for path, done in zip(files, pool.map(run_file, files)):
            count_results(checks, path.name, done)


def count_results(checks, file, done):
    totals = dict(TOTAL.findall(done.stdout))
    passed, failed = int(totals.get("pass", 0)), int(totals.get("fail", 0)) + int(totals.get("cancelled", 0))
    for verdict, name in LINE.findall(done.stdout):
        print(f"{'ok' if verdict == 'ok' else 'FAILED':<6} {name}")
    if failed or done.returncode != 0 or not passed:
        print(done.stdout[-30000:], done.stderr[-10000:], sep="\n")
    checks.passed += passed
    checks.failed += failed
    checks.check(f"node's runner ran {file} and ended well", passed > 0 and (done.returncode == 0) == (not failed),
                 f"status {done.returncode}, {totals}")


def fetch_compiler(build):
    """The directory with node_modules; None when it cannot be had."""
    kept = build / "npm" / "-".join(re.sub(r"\W+", "-", name) for name in COMPILER)
    if (kept / "node_modules/typescript").exists():
        return kept
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        try:
            npm = subprocess.run(["npm", "install", "--prefix", scratch, "--no-save", "--ignore-scripts", "--no-audit",
                                  "--no-fund", *COMPILER], capture_output=True, timeout=NPM_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if npm.returncode != 0:
            return None
        kept.mkdir(exist_ok=True)
        (pathlib.Path(scratch) / "node_modules").rename(kept / "node_modules")
    return kept


def check_types(checks, build):
    name = "the compiler agrees with the types, and refuses what it should"
    compiler = fetch_compiler(build)
    if not compiler:
        checks.skip(name, "npm could not fetch " + " ".join(COMPILER))
        return
    options = {"strict": True, "noEmit": True, "module": "nodenext", "target": "es2022", "lib": ["es2022"],
               "types": ["node"], "typeRoots": [str(compiler / "node_modules/@types")]}
    with tempfile.TemporaryDirectory(dir=compiler) as scratch:
        shutil.copy(PACKAGE / "tests/types.ts", f"{scratch}/types.mts")
        (pathlib.Path(scratch) / "node_modules").mkdir()
        (pathlib.Path(scratch) / "node_modules/holdfast-client").symlink_to(PACKAGE)
        (pathlib.Path(scratch) / "node_modules/@types").symlink_to(compiler / "node_modules/@types")
        (pathlib.Path(scratch) / "tsconfig.json").write_text(json.dumps(
            {"compilerOptions": {**options, "preserveSymlinks": True}, "files": ["types.mts"]}), encoding="utf-8")
        done = subprocess.run(["node", str(compiler / "node_modules/typescript/bin/tsc"), "-p", scratch],
                              capture_output=True, text=True, check=False)
    checks.check(name, done.returncode == 0, done.stdout + done.stderr)


def main():
    binary = find_binary(sys.argv[1] if len(sys.argv) > 1 else None)
    checks = Checks()
    if not checks.check(f"node is {OLDEST_NODE} or later", node_version() >= OLDEST_NODE, node_version()):
        raise SystemExit(f"{checks.passed} passed, {checks.failed} failed")
    run_own_tests(checks, binary)
    check_types(checks, pathlib.Path(binary).parent)
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
