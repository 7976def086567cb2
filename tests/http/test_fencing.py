#!/usr/bin/python3
"""Writers go on while the system is restored: nothing that comes from before a restore is written after it, and nothing
that was acknowledged disappears."""
import json
import pathlib
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, label, put_state, read_versions, take_snapshot  # noqa: E402

SYSTEM = "/v1/systems/alpha"
RESTORES = 6
WRITES_BETWEEN = 40  # accepted ones, of all writers, before each restore
REFUSED = {409: "stale_epoch", 412: "precondition_failed"}


class Writer:
    """Writes its own component again and again. It knows an epoch and an ETag, both from the same answer."""

    def __init__(self, number, kind, client):
        self.name = f"writer-{number}"
        self.kind = kind
        self.client = client
        self.path = f"{SYSTEM}/components/{self.name}/state"
        self.count = 0
        self.accepted = []  # (carried epoch, receipt, hash)
        self.refused = 0
        self.problems = []
        self.epoch = self.etag = None

    def read(self):
        reply = self.client.request("GET", self.path)
        if reply.status != 200:
            self.problems.append(("read", reply))
            return
        self.epoch = int(reply.headers["State-Epoch"])
        self.etag = reply.headers["ETag"]

    def body(self):
        self.count += 1
        return json.dumps({"by": self.name, "count": self.count}).encode()

    def write(self):
        body = self.body()
        fence = {"State-Epoch": str(self.epoch)} if "epoch" in self.kind else {"If-Match": self.etag}
        if self.kind.startswith("batch"):
            state = {"component": self.name, "state": json.loads(body)}
            if "match" in self.kind:
                state["ifMatch"] = self.etag
                fence = {}
            body = json.dumps(state["state"]).encode()
            return body, self.client.request("POST", f"{SYSTEM}/states", {"states": [state]}, fence)
        return body, self.client.request("PUT", self.path, body, {"Content-Type": "application/json", **fence})

    def step(self):
        body, reply = self.write()
        if reply.status in (200, 201):
            receipt = reply.json()
            receipt = receipt["results"][0] if "results" in receipt else receipt
            self.accepted.append((self.epoch, receipt, label(body)))
            if "batch" in self.kind:
                self.read()  # its answer has no ETag
            else:
                self.epoch, self.etag = receipt["epoch"], reply.headers["ETag"]
        elif reply.code == REFUSED.get(reply.status):
            self.refused += 1
            self.read()
        else:
            self.problems.append(("write", reply))

    def run(self, stop):
        try:
            self.read()
            while not stop.is_set() and not self.problems:
                self.step()
        except Exception as error:  # pylint: disable=broad-except
            self.problems.append(("ended", repr(error)))


def send_heartbeats(client, stop, problems):
    while not stop.is_set():
        reply = client.request("POST", f"{SYSTEM}/components/writer-0/heartbeat", {"health": 1})
        if reply.status != 204:
            problems.append(("heartbeat", reply))


def stale_attempts(client, name, epoch, etag):
    """Every way to write, as somebody from before the restore would."""
    path = f"{SYSTEM}/components/{name}/state"
    content = {"Content-Type": "application/json"}
    state = {"component": name, "state": {"stale": True}}
    yield "put with the epoch", 409, client.request("PUT", path, b'{"stale":true}', {"State-Epoch": epoch, **content})
    yield "put with the tag", 412, client.request("PUT", path, b'{"stale":true}', {"If-Match": etag, **content})
    yield "post with the tag", 412, client.request("POST", path, b'{"stale":true}', {"If-Match": etag, **content})
    yield "batch with the epoch", 409, client.request("POST", f"{SYSTEM}/states", {"states": [state]},
                                                      {"State-Epoch": epoch})
    yield "batch with the tag", 412, client.request("POST", f"{SYSTEM}/states",
                                                    {"states": [{**state, "ifMatch": etag}]})
    yield "delete with the epoch", 409, client.request("DELETE", f"{SYSTEM}/components/{name}", None,
                                                       {"State-Epoch": epoch})
    yield "delete with the tag", 412, client.request("DELETE", f"{SYSTEM}/components/{name}", None, {"If-Match": etag})
    merge = {"Content-Type": "application/merge-patch+json"}
    yield "patch with the epoch", 409, client.request("PATCH", path, b'{"stale":true}', {"State-Epoch": epoch, **merge})
    yield "patch with the tag", 412, client.request("PATCH", path, b'{"stale":true}', {"If-Match": etag, **merge})


def restore_once(checks, client, name, snapshot, components):
    before = {}
    for component in components:
        reply = client.want(200, "GET", f"{SYSTEM}/components/{component}/state")
        before[component] = (reply.headers["State-Epoch"], reply.headers["ETag"])
    row = client.want(201, "POST", f"{SYSTEM}/snapshots/{snapshot['id']}/restore", {"reason": "a test"}).json()
    wrong = [(component, what, reply) for component, (epoch, etag) in before.items()
             for what, status, reply in stale_attempts(client, component, epoch, etag)
             if reply.status != status or reply.code != REFUSED[status]]
    checks.check(f"{name}: what_is_from_before_the_restore_is_refused", not wrong, wrong[:3])
    return row["epoch"]


def check_history(checks, client, name, writers):
    """Versions and sequences are gapless, each has one content, and every receipt is among them."""
    sequences, gaps, missing = [], [], []
    for component in [writer.name for writer in writers] + ["still", "moved"]:
        versions = read_versions(client, "alpha", component)
        sequences += [version["sequence"] for version in versions]
        if [version["version"] for version in versions] != list(range(1, len(versions) + 1)):
            gaps.append(component)
        stored = {version["version"]: version for version in versions}
        for writer in writers:
            if writer.name != component:
                continue
            missing += [receipt for _, receipt, content in writer.accepted
                        if stored.get(receipt["version"], {}).get("hash") != content]
    system = client.get_json(SYSTEM)
    checks.check(f"{name}: versions_are_gapless", not gaps, gaps)
    checks.equal(f"{name}: every_sequence_is_one_version", sorted(sequences), list(range(1, system["sequence"] + 1)))
    checks.check(f"{name}: no_receipt_is_missing_and_each_version_has_one_content", not missing, missing[:3])


def fence(checks, binary, engine):
    options = {"database_url": harness.new_database()} if engine == "postgres" else {}
    server = Server(binary, harness.new_directory(), **options)
    client = server.client()
    kinds = ["epoch", "match", "epoch", "match", "batch epoch", "batch match", "epoch", "match"]
    writers = [Writer(number, kind, server.client()) for number, kind in enumerate(kinds)]
    for writer in writers:
        put_state(client, "alpha", writer.name, {"by": writer.name, "count": 0})
    put_state(client, "alpha", "still", {"n": 1})
    snapshot = take_snapshot(client, "alpha")
    put_state(client, "alpha", "moved", {"n": 1})
    stop, problems = threading.Event(), []
    threads = [threading.Thread(target=writer.run, args=(stop,)) for writer in writers]
    threads.append(threading.Thread(target=send_heartbeats, args=(server.client(), stop, problems)))
    for thread in threads:
        thread.start()
    try:
        epochs = []
        for restore in range(1, RESTORES + 1):
            done = sum(len(writer.accepted) for writer in writers) + WRITES_BETWEEN
            harness.wait_until(lambda: sum(len(writer.accepted) for writer in writers) >= done
                               or any(writer.problems for writer in writers))
            # One that no restore changes: its version and its content stay as they are.
            epochs.append(restore_once(checks, client, f"{engine} restore {restore}", snapshot, ["still", "writer-1"]))
    finally:
        stop.set()
        for thread in threads:
            thread.join(harness.PATIENCE_SECONDS)
    problems += [problem for writer in writers for problem in writer.problems]
    checks.check(f"{engine}: writers_see_nothing_but_receipts_and_refusals", not problems, problems[:3])
    checks.equal(f"{engine}: every_restore_raised_the_epoch", epochs, list(range(2, RESTORES + 2)))
    crossed = [(writer.kind, epoch, receipt) for writer in writers for epoch, receipt, _ in writer.accepted
               if receipt["epoch"] != epoch]
    checks.check(f"{engine}: what_was_accepted_is_of_the_epoch_it_was_made_in", not crossed, crossed[:3])
    checks.check(f"{engine}: writers_were_refused_by_the_restores", sum(writer.refused for writer in writers) > 0)
    reply = client.want(200, "PUT", f"{SYSTEM}/components/writer-0/state", {"last": True})
    fresh = client.want(200, "GET", f"{SYSTEM}/components/writer-0/state")
    checks.equal(f"{engine}: a_receipt_has_the_tag_of_the_state", reply.headers["ETag"], fresh.headers["ETag"])
    reply = client.request("PUT", f"{SYSTEM}/components/writer-0/state", {"last": 2}, {"If-Match": reply.headers["ETag"]})
    checks.equal(f"{engine}: one_may_go_on_from_a_receipt", reply.status, 200)
    check_history(checks, client, engine, writers)
    server.kill9()


def restores_fence_writers(checks, binary):
    for engine in ("sqlite", "postgres"):
        fence(checks, binary, engine)


if __name__ == "__main__":
    harness.run(restores_fence_writers)
