"""Clients that upload without pause, and a journal of what they were told: the independent witness of every crash.

Every content is unique, so a hash names one upload. Verifying asks the server for all histories and compares: what was
acknowledged is there, what was refused is not, what was never answered is there once or not at all.
"""
import base64
import contextlib
import json
import random
import threading
import time

from harness import PATIENCE_SECONDS, Client, Failure, Lost, etag_of, label, list_snapshots, read_versions, snapshot_path

SYSTEMS = ("alpha", "beta")
OWN_COMPONENTS = 5  # of each thread in each system
ACKNOWLEDGED, REFUSED, UNKNOWN = "acknowledged", "refused", "unknown"


class Upload:
    """One request that writes: the components it names with the hashes of their new contents (None: a deletion)."""

    def __init__(self, system, items, outcome, receipts=None):
        self.system = system
        self.items = items        # {component: hash or None}
        self.outcome = outcome
        self.receipts = receipts  # {component: (version, sequence)} when acknowledged, but for deletions
        self.asked_at = None  # when it was sent, once there is an answer
        self.answered_at = time.monotonic()


class Load:
    """Threads that upload to the systems, until stop. Each thread has components of its own, and all share some."""

    def __init__(self, port, seed, threads=5, pause_seconds=0.008, timeout=PATIENCE_SECONDS, systems=SYSTEMS, big=True, deletes=True):
        self.port = port
        self.seed = seed
        self.pause_seconds = pause_seconds
        self.timeout = timeout
        self.systems = systems
        self.big = big
        self.deletes = deletes
        self.stopping = threading.Event()
        self.lock = threading.Lock()  # protects the lists and counters below
        self.uploads = []
        self.keyed = []               # (system, key, body, content type) of batches without an answer
        self.answers = {}             # (status, code): how many
        self.broken = []              # threads that died of something unexpected
        self.slowest_seconds = 0.0
        self.number = 0
        self.threads = [threading.Thread(target=self.run, args=(index,), daemon=True) for index in range(threads)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self, timeout=2 * PATIENCE_SECONDS):
        self.stopping.set()
        deadline = time.monotonic() + timeout
        for thread in self.threads:
            thread.join(max(0.1, deadline - time.monotonic()))
        stuck = [thread for thread in self.threads if thread.is_alive()]
        if stuck:
            raise Failure(f"{len(stuck)} clients still wait for an answer")
        if self.broken:
            raise Failure("a client met something unexpected: " + "; ".join(self.broken[:3]))

    def acknowledged(self):
        with self.lock:
            return sum(1 for upload in self.uploads if upload.outcome == ACKNOWLEDGED)

    def run(self, index):
        rng = random.Random(f"{self.seed}/{index}")
        client = Client(self.port, self.timeout)
        try:
            while not self.stopping.is_set():
                self.one(client, rng, index)
                time.sleep(rng.random() * 2 * self.pause_seconds)
        except Exception as error:  # pylint: disable=broad-except
            with self.lock:
                self.broken.append(repr(error))
        finally:
            client.close()

    def one(self, client, rng, index):
        system = rng.choice(self.systems)
        dice = rng.random()
        if dice < 0.60:
            self.put(client, rng, system, self.pick(rng, index))
        elif dice < 0.80:
            self.batch(client, rng, system, index)
        elif dice < 0.86 and self.deletes:
            self.delete(client, rng, system, f"own-{index}-{rng.randrange(OWN_COMPONENTS)}")
        else:
            self.heartbeat(client, rng, system, self.pick(rng, index))

    @staticmethod
    def pick(rng, index):
        return f"own-{index}-{rng.randrange(OWN_COMPONENTS)}" if rng.random() < 0.8 else f"shared-{rng.randrange(2)}"

    def content(self, rng):
        """Unique, JSON, mostly small."""
        with self.lock:
            self.number += 1
            number = self.number
        dice = rng.random()
        size = rng.randrange(1, 2000) if dice < 0.9 or not self.big else \
            rng.randrange(2000, 9000) if dice < 0.96 else rng.randrange(66000, 160000)
        return json.dumps({"seed": str(self.seed), "number": number, "pad": "x" * size}).encode()

    def put(self, client, rng, system, component):
        body = self.content(rng)
        headers = {"Content-Type": "application/json"}
        if rng.random() < 0.1:
            body = b"\x00\xff" + body
            headers = {"Content-Type": "application/octet-stream"}
        if rng.random() < 0.05:
            headers["State-Event"] = "large-reward"
        reply = self.send(client, "PUT", f"/v1/systems/{system}/components/{component}/state", body, headers)
        self.note(system, {component: label(body)}, reply, lambda receipt: [receipt])

    def delete(self, client, rng, system, component):
        reply = self.send(client, "DELETE", f"/v1/systems/{system}/components/{component}")
        self.note(system, {component: None}, reply, lambda _: [])

    def heartbeat(self, client, rng, system, component):
        """Refreshes activity only: nothing for the journal."""
        self.send(client, "POST", f"/v1/systems/{system}/components/{component}/heartbeat",
                  json.dumps({"health": round(rng.random(), 3), "status": "busy"}).encode(),
                  {"Content-Type": "application/json"})

    def batch(self, client, rng, system, index):
        components = rng.sample([f"own-{index}-{i}" for i in range(OWN_COMPONENTS)] + ["shared-0", "shared-1"],
                                rng.randrange(2, 6))
        bodies = {component: self.content(rng) for component in components}
        items = []
        for component, body in bodies.items():
            if rng.random() < 0.2:
                items.append(json.dumps({"component": component, "stateBase64": base64.b64encode(body).decode()}))
            else:
                items.append(f'{{"component":"{component}","state":{body.decode()}}}')
        if rng.random() < 0.5:
            content, kind = "\n".join(items) + "\n", "application/x-ndjson"
        else:
            content, kind = '{"states":[' + ",".join(items) + "]}", "application/json"
        headers = {"Content-Type": kind}
        key = f"key-{index}-{rng.getrandbits(96):x}" if rng.random() < 0.4 else None
        if key:
            headers["Idempotency-Key"] = key
        reply = self.send(client, "POST", f"/v1/systems/{system}/states", content.encode(), headers)
        upload = self.note(system, {component: label(body) for component, body in bodies.items()}, reply,
                           lambda answer: answer["results"])
        if key and upload.outcome == UNKNOWN:
            with self.lock:
                self.keyed.append((upload, key, content.encode(), kind))

    def send(self, client, method, path, body=None, headers=None):
        began = time.monotonic()
        reply = None
        with contextlib.suppress(Lost):
            reply = client.request(method, path, body, headers)
            reply.asked_at = began
        seconds = time.monotonic() - began
        if not reply:
            time.sleep(0.02)
        elif reply.status in (503, 507):
            time.sleep(0.05)
        elif reply.status == 400:
            raise Failure(f"the client itself made a mistake: {reply!r}")
        code = (reply.status, reply.code) if reply else (0, "lost")
        with self.lock:
            self.answers[code] = self.answers.get(code, 0) + 1
            self.slowest_seconds = max(self.slowest_seconds, seconds)
        return reply

    def note(self, system, items, reply, receipts_of):
        if reply is None or reply.status == 500 or (reply.status == 503 and reply.code == "outcome_unknown"):
            upload = Upload(system, items, UNKNOWN)
        elif reply.status in (200, 201, 204):
            receipts = receipts_of(reply.json() if reply.body else {})
            for receipt in receipts:
                if receipt["hash"] != items[receipt["component"]] or receipt["system"] != system:
                    raise Failure(f"the receipt {receipt} is not for what was sent")
            upload = Upload(system, items, ACKNOWLEDGED,
                            {receipt["component"]: (receipt["version"], receipt["sequence"]) for receipt in receipts})
        else:
            upload = Upload(system, items, REFUSED)
        if reply is not None:
            upload.asked_at = reply.asked_at
        with self.lock:
            self.uploads.append(upload)
        return upload

    def forget_answers_since(self, moment):
        """What was acknowledged later was heard by nobody: the machine was gone."""
        for upload in self.uploads:
            if upload.outcome == ACKNOWLEDGED and upload.answered_at >= moment:
                upload.outcome, upload.receipts = UNKNOWN, None

    def repeat_keyed(self, client):
        """Sends the batches that had a key and no answer once more: each must be in exactly once then."""
        repeated = 0
        for upload, key, body, kind in self.keyed:
            reply = client.request("POST", f"/v1/systems/{upload.system}/states", body,
                                   {"Content-Type": kind, "Idempotency-Key": key})
            if reply.status != 200:
                raise Failure(f"the batch with key {key} sent again: {reply!r}")
            upload.outcome = ACKNOWLEDGED
            upload.receipts = {receipt["component"]: (receipt["version"], receipt["sequence"])
                               for receipt in reply.json()["results"]}
            repeated += 1
        self.keyed = []
        return repeated


class Journal:
    """The uploads of one load after the other on the same database."""

    def __init__(self):
        self.uploads = []
        self.bytes_checked = 0

    def add(self, load):
        self.uploads += load.uploads

    def names(self):
        return {component for upload in self.uploads for component in upload.items}

    def verify(self, checks, client, name, sample=None, rng=None):
        """All that must hold, after any crash. sample: how many acknowledged contents are read back (None: all)."""
        problems = {"acknowledged_is_there": [], "refused_is_not_there": [], "nothing_is_there_twice": [],
                    "batches_are_whole_or_absent": [], "nothing_unknown_is_there": [],
                    "versions_and_sequences_are_gapless": [], "contents_and_etags_match": []}
        for system in sorted({upload.system for upload in self.uploads}):
            self.verify_system(client, system, problems, sample, rng or random.Random(1))
        for what, found in problems.items():
            checks.check(f"{name}: {what}", not found, f"{len(found)}, such as {found[:3]}")
        return not any(problems.values())

    def verify_system(self, client, system, problems, sample, rng):
        uploads = [upload for upload in self.uploads if upload.system == system]
        components = sorted({component for upload in uploads for component in upload.items})
        histories = {component: read_versions(client, system, component) for component in components}
        places = {}
        for component, history in histories.items():
            for entry in history:
                if not entry["deleted"]:
                    places.setdefault((component, entry["hash"]), []).append(entry)
        known = set()
        for upload in uploads:
            known |= {(component, content) for component, content in upload.items.items() if content}
            self.verify_upload(upload, places, problems)
        problems["nothing_is_there_twice"] += [place for place, entries in places.items() if len(entries) > 1]
        problems["nothing_unknown_is_there"] += [place for place in places if place not in known]
        self.verify_deletions(uploads, histories, problems)
        self.verify_order(client, system, histories, problems)
        self.verify_contents(client, system, uploads, histories, problems, sample, rng)

    @staticmethod
    def verify_upload(upload, places, problems):
        contents = {component: content for component, content in upload.items.items() if content}
        found = {component: places[component, content][0] for component, content in contents.items()
                 if (component, content) in places}
        if upload.outcome == REFUSED and found:
            problems["refused_is_not_there"].append((upload.system, upload.items))
        if upload.outcome == UNKNOWN and found and len(found) != len(contents):
            problems["batches_are_whole_or_absent"].append((upload.system, upload.items))
        if upload.outcome != ACKNOWLEDGED:
            return
        for component in contents:
            entry = found.get(component)
            if not entry or (entry["version"], entry["sequence"]) != upload.receipts.get(component):
                problems["acknowledged_is_there"].append((upload.system, component, upload.receipts.get(component),
                                                          entry))

    @staticmethod
    def verify_deletions(uploads, histories, problems):
        for component, history in histories.items():
            deletions = [upload.outcome for upload in uploads if upload.items.get(component, "") is None]
            found = sum(1 for entry in history if entry["deleted"])
            if found < deletions.count(ACKNOWLEDGED):
                problems["acknowledged_is_there"].append((component, "deletions", found, deletions))
            if found > deletions.count(ACKNOWLEDGED) + deletions.count(UNKNOWN):
                problems["nothing_is_there_twice"].append((component, "deletions", found, deletions))

    @staticmethod
    def verify_order(client, system, histories, problems):
        bad = problems["versions_and_sequences_are_gapless"]
        sequences = []
        for component, history in histories.items():
            versions = [entry["version"] for entry in history]
            own = [entry["sequence"] for entry in history]
            if versions != list(range(1, len(history) + 1)):
                bad.append((system, component, "versions", versions[:5], len(versions)))
            if own != sorted(own):
                bad.append((system, component, "sequences", own))
            sequences += own
        if not sequences:
            return
        sequences.sort()
        if sequences != list(range(1, len(sequences) + 1)):
            bad.append((system, "sequences", sequences[0], sequences[-1], len(sequences)))
        told = client.get_json(f"/v1/systems/{system}")["sequence"]
        if told != len(sequences):
            bad.append((system, "the system says", told, "but there are", len(sequences)))

    def verify_contents(self, client, system, uploads, histories, problems, sample, rng):
        bad = problems["contents_and_etags_match"]
        wanted = [(component, receipt[0], upload.items[component]) for upload in uploads
                  if upload.outcome == ACKNOWLEDGED for component, receipt in upload.receipts.items()]
        if sample is not None and len(wanted) > sample:
            wanted = rng.sample(wanted, sample)
        for component, version, content in wanted:
            reply = client.request("GET", f"/v1/systems/{system}/components/{component}/state?version={version}")
            self.bytes_checked += len(reply.body)
            if reply.status != 200 or label(reply.body) != content or \
                    reply.headers["ETag"] != f'"{version}-{content[7:23]}"':
                bad.append((system, component, version, content, reply))
        for component, history in histories.items():
            reply = client.request("GET", f"/v1/systems/{system}/components/{component}/state")
            last = history[-1] if history else None
            if not last or last["deleted"]:
                good = reply.status == 404
            else:
                good = reply.status == 200 and label(reply.body) == last["hash"] and \
                    reply.headers["ETag"] == etag_of(last["version"], last["hash"], int(reply.headers["State-Epoch"])) and \
                    reply.headers["State-Sequence"] == str(last["sequence"])
            if not good:
                bad.append((system, component, "latest", last, reply))


def verify_snapshots(checks, client, name, data, names, systems=SYSTEMS):
    """Complete snapshots have files; the newest one holds exactly what the histories say of its sequence, and a restore
    of it would succeed. names: of all components there ever were."""
    missing, wrong = [], []
    for system in systems:
        snapshots = list_snapshots(client, system)
        missing += [snapshot["id"] for snapshot in snapshots if snapshot["state"] == "complete"
                    and not snapshot_path(data, snapshot).is_file()]
        missing += [f"{snapshot['id']} is {snapshot['state']}" for snapshot in snapshots
                    if snapshot["state"] != "complete" or snapshot["validation"]["status"] == "damaged"]
        if not snapshots:
            continue
        latest = client.get_json(f"/v1/systems/{system}/snapshots/latest")
        wrong += compare_snapshot(client, system, latest, names)
        plan = client.request("POST", f"/v1/systems/{system}/recoveries",
                              {"source": "snapshot", "snapshot": latest["id"], "dryRun": True})
        if plan.status != 201:
            wrong.append((latest["id"], plan))
    checks.check(f"{name}: snapshots_have_their_files", not missing, missing[:5])
    checks.check(f"{name}: the_newest_snapshot_equals_the_histories_and_can_be_restored", not wrong, wrong[:3])
    return not missing and not wrong


def compare_snapshot(client, system, snapshot, names):
    """Differences between a snapshot's list and the state of the system as of its sequence."""
    path = f"/v1/systems/{system}/snapshots/{snapshot['id']}/components"
    listed = {entry["name"]: (entry["version"], entry["hash"]) for entry in client.get_all(path, "components")}
    wanted = {}
    for component in set(names) | set(listed):
        before = [entry for entry in read_versions(client, system, component)
                  if entry["sequence"] <= snapshot["sequence"]]
        if before and not before[-1]["deleted"]:
            wanted[component] = (before[-1]["version"], before[-1]["hash"])
    return [] if listed == wanted else [(snapshot["id"], snapshot["sequence"], sorted(
        set(listed.items()) ^ set(wanted.items()))[:4])]
