#!/usr/bin/python3
"""Deltas in the hands of another program: the commands of docs/api.md, as they stand there, change a large state by
what rdiff makes, and are refused when another wrote in between."""
import pathlib
import random
import re
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
import harness  # noqa: E402
from harness import Server, put_state  # noqa: E402

SYSTEM, COMPONENT = "default", "agent-7"
PATH = f"/v1/systems/{SYSTEM}/components/{COMPONENT}/state"
BINARY = {"Content-Type": "application/octet-stream"}
BYTES = 8 << 20


def recipe():
    """The commands under the heading, one script."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    section = text.partition("## Change a large state\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"^    (.*)$", section, re.MULTILINE))


def run(server, directory, script):
    return subprocess.run(["sh", "-euc", script], cwd=directory, check=False, capture_output=True, timeout=120,
                          env={"PATH": "/usr/bin:/bin", "U": f"http://127.0.0.1:{server.port}"})


def deltas(checks, binary):
    server = Server(binary, harness.new_directory())
    client = server.client()
    before = random.Random(7).randbytes(BYTES)
    after = b"x" + before[:BYTES // 3] + before[BYTES // 3 + 100:] + b"the end"
    put_state(client, SYSTEM, COMPONENT, before, **BINARY)
    directory = harness.new_directory("recipe")
    (directory / "state.new").write_bytes(after)
    script = recipe()
    checks.check("the_recipe_is_whole", "rdiff -f delta" in script and script.count("curl") == 2, script)
    told = run(server, directory, script)
    checks.check("the_recipe_stores_the_new_state", told.returncode == 0 and b'"version":2' in told.stdout, told)
    reply = client.want(200, "GET", PATH)
    checks.check("to_the_byte", reply.body == after)
    checks.equal("with_its_content_type", reply.headers["Content-Type"], BINARY["Content-Type"])
    sent = sum((directory / f"state.{part}").stat().st_size for part in ("signature", "delta"))
    checks.check("with_little_on_the_wire", sent < BYTES // 50, sent)
    signature = (directory / "state.signature").read_bytes()
    subprocess.run(["rdiff", "signature", "-", "own"], cwd=directory, input=before, check=True, timeout=60)
    checks.equal("the_signature_is_of_the_kind_that_rdiff_makes", signature[:4],
                 (directory / "own").read_bytes()[:4])
    again = script.replace("rdiff -f delta", f"curl -sf -X PUT -d 1 $U{PATH} && rdiff -f delta")
    told = run(server, directory, again)
    checks.check("a_delta_that_comes_too_late_is_refused", told.returncode == 22, told)
    checks.equal("and_what_another_wrote_stays", client.want(200, "GET", PATH).body, b"1")
    server.stop()


if __name__ == "__main__":
    sys.exit(harness.run(deltas))
