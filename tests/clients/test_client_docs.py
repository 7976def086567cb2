#!/usr/bin/env python3
"""What docs/clients.md shows is run as it stands there, against a real server: the Node listing, the Python client,
also while the server is away, busy and restored, and the recipes for curl.

    tests/clients/test_client_docs.py SERVER_BINARY"""
import hashlib
import http.server
import json
import os
import pathlib
import re
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
from email.utils import formatdate

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests/support"))
from harness import Failure, Server, new_directory, put_state, run, take_snapshot, wait_until  # noqa: E402

LINES_MAX = 40
LISTING = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def listings(section, language):
    """The listings of a section that are in that language, in order."""
    text = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
    parts = [part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(section + "\n")]
    found = [body for name, body in LISTING.findall(parts[0])] if parts else []
    if not found or any(name != language for name, _ in LISTING.findall(parts[0])):
        raise Failure(f"docs/clients.md has no section {section}, or its listings are not all in {language}")
    return found


def node_listing_prints_what_the_page_says(checks, binary):
    server = Server(binary, new_directory())
    directory = new_directory("node")
    (directory / "node_modules").mkdir()
    (directory / "node_modules/holdfast-client").symlink_to(ROOT / "clients/node")
    (directory / "guide.mjs").write_text(listings("Node", "js")[0], encoding="utf-8")
    done = subprocess.run(["node", "guide.mjs"], cwd=directory, capture_output=True, text=True, check=False,
                          env={**os.environ, "HOLDFAST_URL": f"http://127.0.0.1:{server.port}"})
    checks.equal("node: the listing prints what the page says", (done.returncode, done.stdout, done.stderr),
                 (0, 'model [0.5]\nagent {"step":2}\n', ""))
    server.stop()


def python_client(url, **options):
    """The client of the page, and its namespace."""
    client, _, hydrate = listings("Python", "python")
    names = {}
    exec(compile(client, "docs/clients.md", "exec"), names)  # noqa: S102
    exec(compile(hydrate, "docs/clients.md", "exec"), names)  # noqa: S102
    return names["Holdfast"](url, **options), names


def python_client_saves_and_loads(checks, binary):
    lines = listings("Python", "python")[0].splitlines()
    checks.check(f"python: the client has at most {LINES_MAX} lines", len(lines) <= LINES_MAX, len(lines))
    server = Server(binary, new_directory())
    client, names = python_client(f"http://127.0.0.1:{server.port}", system="guide")
    first = client.save("agent", {"step": 1}, event="begin")
    checks.equal("python: the first save is version 1", (first["version"], first["unchanged"]), (1, False))
    checks.equal("python: the same state is no new version", client.save("agent", {"step": 1})["unchanged"], True)
    checks.equal("python: what was saved is loaded", client.load("agent"), {"step": 1})
    try:
        client.load("nobody")
        checks.check("python: what is not there is an HTTPError", False)
    except urllib.error.HTTPError as error:
        checks.equal("python: what is not there is an HTTPError", (error.code, json.load(error)["code"]), (404, "not_found"))
    server.client().want(201, "PUT", "/v1/systems/guide/components/helper", {"dependsOn": ["agent"]})
    client.save("helper", 7)
    seen = []
    names["hydrate"](client, lambda component, state: seen.append((component, state)))
    checks.equal("python: hydrate brings up dependencies first", seen, [("agent", {"step": 1}), ("helper", 7)])
    recovery = server.client().get_json("/v1/systems/guide/recoveries")["recoveries"][0]
    checks.equal("python: hydrate reports", recovery["status"], "completed")
    usage = listings("Python", "python")[1].replace('Holdfast(', f'Holdfast("http://127.0.0.1:{server.port}", ')
    exec(compile(usage, "docs/clients.md", "exec"), names)  # noqa: S102
    checks.equal("python: the usage runs", client.load("agent"), {"step": 3})
    server.stop()


def python_client_does_not_overwrite_a_restore(checks, binary):
    server = Server(binary, new_directory())
    client, _ = python_client(f"http://127.0.0.1:{server.port}", system="guide")
    client.save("agent", {"step": 1})
    snapshot = take_snapshot(server.client(), "guide")
    client.save("agent", {"step": 2})
    server.client().want(201, "POST", f"/v1/systems/guide/snapshots/{snapshot['id']}/restore", {})
    try:
        client.save("agent", {"step": 3})
        checks.check("python: a save from before a restore is refused", False)
    except urllib.error.HTTPError as error:
        checks.equal("python: a save from before a restore is refused", json.load(error)["code"], "stale_epoch")
    checks.equal("python: the restored state is there", client.load("agent"), {"step": 1})
    checks.equal("python: after a load it goes on", client.save("agent", {"step": 4})["epoch"], 2)
    server.stop()


def python_client_waits_for_a_server_that_is_away(checks, binary):
    data = new_directory()
    server = Server(binary, data)
    client, _ = python_client(f"http://127.0.0.1:{server.port}", system="guide", patience=60)
    client.save("agent", {"step": 1})
    server.kill9()
    answers = []
    saving = threading.Thread(target=lambda: answers.append(client.save("agent", {"step": 2})))
    saving.start()
    again = Server(binary, data, port=server.port)
    saving.join()
    checks.equal("python: a save waits for a killed server to come back", [answer["version"] for answer in answers], [2])
    again.stop()


class Busy(http.server.BaseHTTPRequestHandler):
    """Answers 503 twice, then breaks off, then as the service would, or with what is set."""
    asked = 0
    after = ("0", "Wed, 21 Oct 2015 07:28:00 GMT")
    receipt = {"epoch": 1, "version": 1}
    orders = []

    def do_PUT(self):
        Busy.asked += 1
        state = self.rfile.read(int(self.headers["Content-Length"]))
        Busy.orders.append(self.headers["State-Order"])
        if Busy.asked == 3:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            self.close_connection = True
            return
        receipt = {"hash": "sha256:" + hashlib.sha256(state).hexdigest(), **Busy.receipt}
        body = json.dumps(receipt if Busy.asked > 3 else {}).encode()
        self.send_response(200 if Busy.asked > 3 else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", Busy.after[Busy.asked % 2])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def python_client_tries_again_after_503(checks, _binary):
    with http.server.HTTPServer(("127.0.0.1", 0), Busy) as busy:
        threading.Thread(target=busy.serve_forever, daemon=True).start()
        client, _ = python_client(f"http://127.0.0.1:{busy.server_port}")
        checks.equal("python: 503 and half an answer are tried again", (client.save("agent", 1)["version"], Busy.asked), (1, 4))
        client.save("agent", 2)
        writer = Busy.orders[0].split("/")[0]
        checks.equal("python: all attempts of a write have its place", Busy.orders, [f"{writer}/1"] * 4 + [f"{writer}/2"])
        Busy.receipt = {"hash": "sha256:" + "0" * 64, "epoch": 9}
        try:
            client.save("agent", 3)
            checks.check("python: a receipt for another state is none", False)
        except AssertionError:
            checks.equal("python: a receipt for another state is none", client.epoch, 1)
        Busy.asked = -1000
        Busy.after = (formatdate(time.time() + 3600, usegmt=True),) * 2
        try:
            client.save("agent", 1)
            checks.check("python: a date beyond its patience ends the matter", False)
        except urllib.error.HTTPError as error:
            checks.equal("python: a date beyond its patience ends the matter", (error.code, Busy.asked), (503, -999))
        Busy.after = ("0", "0")
        client.patience = 8
        try:
            client.save("agent", 1)
            checks.check("python: its patience ends", False)
        except urllib.error.HTTPError as error:
            checks.equal("python: its patience ends", error.code, 503)
        busy.shutdown()


def run_recipe(recipe, port):
    """As the shell that every system has runs it."""
    return subprocess.run(["sh", "-eu", "-c", recipe], capture_output=True, text=True, check=False,
                          env={**os.environ, "HOLDFAST_URL": f"http://127.0.0.1:{port}"})


class Closing(socketserver.StreamRequestHandler):
    """Takes a request and closes without an answer; the second one it answers."""
    asked = 0

    def handle(self):
        Closing.asked += 1
        line = b""
        while line != b"\r\n":
            line = self.rfile.readline()
        if Closing.asked > 1:
            self.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")


def curl_recipe_survives_a_lost_connection(checks, _binary):
    recipe = next(recipe for recipe in listings("curl", "sh") if "--retry" in recipe)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Closing) as closing:
        threading.Thread(target=closing.serve_forever, daemon=True).start()
        done = run_recipe(recipe, closing.server_address[1])
        checks.equal("curl: a connection closed without an answer is tried again", (done.returncode, done.stdout, Closing.asked),
                     (0, "{}", 2))
        closing.shutdown()


def curl_recipes_run(checks, binary):
    server = Server(binary, new_directory())
    recipes = listings("curl", "sh")
    outputs = []
    for number, recipe in enumerate(recipes):
        done = run_recipe(recipe, server.port)
        checks.check(f"curl: recipe {number + 1} runs", done.returncode == 0, done.stdout + done.stderr + recipe)
        outputs.append(done.stdout)
    checks.check("curl: there are recipes", len(recipes) >= 7, len(recipes))
    client = server.client()
    checks.equal("curl: they did what they say", client.get_json("/v1/systems/guide/components/agent/state"), {"step": 4})
    checks.check("curl: a plan tells its loss", any('"versions": 1' in output for output in outputs), outputs)
    # The last recipe looks for a second alone, and events are written soon after what they tell of.
    came = wait_until(lambda: "event: recovery.applied" in run_recipe(recipes[-1], server.port).stdout)
    checks.check("curl: events came", came, outputs[-1])
    put_state(client, "guide", "agent", {"step": 6})
    server.stop()


if __name__ == "__main__":
    run(node_listing_prints_what_the_page_says, python_client_saves_and_loads, python_client_does_not_overwrite_a_restore,
        python_client_waits_for_a_server_that_is_away, python_client_tries_again_after_503, curl_recipes_run,
        curl_recipe_survives_a_lost_connection)
