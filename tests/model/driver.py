"""One run of the model against one server: starting, killing and asking it, and what to believe after a crash."""
import base64
import collections
import contextlib
import datetime
import hashlib
import random
import threading
import time

import harness
from harness import Failure, Lost, Server
from model import Item, System

LONG_HISTORY_MS = 86400000
SHORT_HISTORY_MS = 500
TRACE_STEPS = 30
FLAGS = ("--backup-interval", "4000", "--incremental-interval", "900", "--anchor-interval", "9000",
         "--scrub-interval", "4000", "--request-timeout", "600000")
THREADS = 4


class Mismatch(Failure):
    """Server and model do not agree."""


def expect(what, found, wanted):
    if found != wanted:
        if isinstance(found, dict) and isinstance(wanted, dict):
            keys = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
            found, wanted = {key: found.get(key) for key in keys}, {key: wanted.get(key) for key in keys}
        raise Mismatch(f"{what}: found {harness.shorten(found)}, wanted {harness.shorten(wanted)}")


def to_ms(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def to_time(at_ms):
    seconds, ms = divmod(at_ms, 1000)
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + \
        f".{ms:03d}Z"


def pick(rng, things):
    """From a list whose length may differ between two runs with the same seed: takes one number from rng either way."""
    dice = rng.random()
    return things[int(dice * len(things))] if things else None


class Driver:
    def __init__(self, binary, engine, seed):
        self.binary = binary
        self.engine = engine
        self.seed = seed
        self.data = harness.new_directory()
        self.mirror = harness.new_directory("mirror")
        self.options = {"database_url": harness.new_database()} if engine == "postgres" else {}
        self.systems = {}
        self.gone_systems = []      # names of deleted ones
        self.history_ms = LONG_HISTORY_MS      # of the server that runs
        self.next_history_ms = LONG_HISTORY_MS  # of the next one
        self.horizon_ms = 0         # what was superseded at or before may have been trimmed
        self.fault = None
        self.restoring = None       # the system that a restore is under way in
        self.step = 0
        self.trace = collections.deque(maxlen=TRACE_STEPS)
        self.counts = collections.Counter()
        self.events = collections.defaultdict(dict)   # system: {id: event} that were seen
        self.hoped_events = []      # (system, type, data): must come unless the server is killed before
        self.server = self.client = None
        self.told_by = None         # the server that answered the last change
        self.start()

    def rng(self, *more):
        """All randomness of a step comes from seed and step number, so that a run can be repeated."""
        return random.Random("/".join(map(str, (self.seed, self.engine, self.step, *more))))

    def note(self, text):
        self.trace.append(f"step {self.step}: {text}")

    def system(self, rng):
        """A system that exists; None when there is none."""
        name = pick(rng, sorted(self.systems))
        return self.systems.get(name)

    # ---- the process ----

    def start(self, fault=None):
        self.history_ms = self.next_history_ms
        flags = (*FLAGS, "--history", str(self.history_ms), "--mirror-directory", str(self.mirror))
        self.fault = fault
        self.server = Server(self.binary, self.data, *flags, fault=fault, wait=False, **self.options)
        if not self.server.wait_until_serving():
            status = self.server.wait()
            if not fault or status != harness.KILLED:
                raise Mismatch(f"the server did not start ({status}): {self.server.log()[-2000:]}")
            self.counts["died while starting"] += 1
            self.start()
            return
        self.client = self.server.client()

    def note_horizon(self):
        """What may have been trimmed until now. Its own clock is this machine's."""
        self.horizon_ms = max(self.horizon_ms, int(time.time() * 1000) + 1 - self.history_ms)

    def ended(self):
        """The server is no longer there: what it had not told yet, nobody needs to know."""
        self.note_horizon()
        self.hoped_events = []
        self.client.close()

    def kill(self):
        self.server.kill9()
        self.ended()

    def stop(self):
        if not self.fault:
            self.flush_events()
        status = self.server.stop()
        if status != 0 and not (self.fault and status == harness.KILLED):
            raise Mismatch(f"an ordered stop ended with {status}: {self.server.log()[-2000:]}")
        self.ended()

    def choose_history(self, rng):
        self.next_history_ms = LONG_HISTORY_MS if rng.random() < 0.5 else SHORT_HISTORY_MS

    def came_back(self):
        """After an answer was lost: it died where it was told to, and is started again."""
        if not self.fault or self.server.wait() != harness.KILLED:
            raise Mismatch(f"an answer was lost and no fault point explains it (status {self.server.process.poll()}): "
                           f"{self.server.log()[-2500:]}")
        self.counts[f"died at {self.fault.split(':')[0]}"] += 1
        self.note(f"died at {self.fault}")
        self.ended()
        self.start()

    # ---- requests ----

    def send(self, method, path, body=None, headers=None):
        """A request that may change something: None when its answer was lost (and the server is there again)."""
        try:
            reply = self.client.request(method, path, body, headers)
        except Lost:
            self.came_back()
            return None
        self.told_by = self.server
        return reply

    def get(self, path, *statuses, headers=None):
        for _ in range(3):
            with contextlib.suppress(Lost):
                reply = self.client.request("GET", path, headers=headers)
                if reply.status not in (statuses or (200,)):
                    raise Mismatch(f"GET {path}: {reply!r}")
                return reply
            self.came_back()
        raise Mismatch(f"GET {path}: no answer")

    def get_json(self, path):
        return self.get(path).json()

    def get_all(self, path, member, limit=1000):
        found, cursor, mark = [], "", "&" if "?" in path else "?"
        while cursor is not None:
            page = self.get_json(f"{path}{mark}limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
            found += page[member]
            cursor = page["nextCursor"]
        return found

    def newest_version(self, system, component):
        """As listed; None: none."""
        reply = self.get(f"/v1/systems/{system}/components/{component}/versions?limit=1", 200, 404)
        listed = reply.json()["versions"] if reply.status == 200 else []
        return listed[0] if listed else None

    # ---- changes ----

    def change(self, name, items, request, statuses, raise_epoch=False):
        """Sends a request that commits the items, all or none. Returns the reply; None: its answer was lost, and the
        model is what the server turned out to be."""
        reply = self.send(*request)
        system = self.systems.get(name)
        if reply is None:
            self.look(name, items, raise_epoch)
            return None
        if reply.status not in statuses:
            raise Mismatch(f"{request[0]} {request[1]}: wanted {statuses}, got {reply!r}")
        if system is None:
            system = self.systems[name] = System(name)
        committed_ms = self.committed_ms(system, items, reply)
        system.apply(items, committed_ms, raise_epoch)
        return reply

    def committed_ms(self, system, items, reply):
        """When the items were committed: from the receipts, or where there are none from the list of versions."""
        if not items:
            return 0
        answer = reply.json() if reply.body else {}
        receipts = answer["results"] if "results" in answer else [answer]
        fresh = [receipt for receipt in receipts if receipt.get("unchanged") is False]
        text = fresh[0]["committedAt"] if fresh else self.newest_version(system.name, items[0].component)["committedAt"]
        return self.check_committed(system, to_ms(text))

    @staticmethod
    def check_committed(system, committed_ms):
        now_ms = int(time.time() * 1000)
        if (system.commits and committed_ms < system.commits[-1][0]) or committed_ms > now_ms + 1:
            raise Mismatch(f"committed at {committed_ms}, after {system.commits[-1:]}, now {now_ms}")
        return committed_ms

    def look(self, name, items, raise_epoch):
        """Is a change whose answer was lost in? Wholly, or not at all."""
        reply = self.get(f"/v1/systems/{name}", 200, 404)
        system = self.systems.get(name)
        before = (system.sequence, system.epoch) if system else (0, 0)
        if reply.status == 404:
            expect("system after a crash", before, (0, 0))
            return False
        now = (reply.json()["sequence"], reply.json()["epoch"])
        self.counts["lost answers"] += 1
        if now == before:
            return False
        system = system or self.systems.setdefault(name, System(name))
        expect(f"sequence and epoch of {name} after a crash", now,
               (system.sequence + len(items), system.epoch + raise_epoch))
        committed_ms = 0
        if items:
            found = self.newest_version(name, items[0].component)
            committed_ms = self.check_committed(system, to_ms(found["committedAt"]))
        system.apply(items, committed_ms, raise_epoch)
        self.counts["in although the answer was lost"] += 1
        return True

    def refused(self, request, status, code):
        reply = self.send(*request)
        if reply is not None:
            expect(f"{request[0]} {request[1]}", (reply.status, reply.code), (status, code))
            self.counts[f"refused {code}"] += 1

    # ---- many at a time ----

    def upload_together(self, name, kill_after_s=None):
        """Threads upload to components of their own until they have done their share, or the server is gone. What they
        were told is merged by sequence; what they were not told is in or not."""
        results = [[] for _ in range(THREADS)]    # (sequence, Item, receipt)
        open_items = [None] * THREADS
        broken = []

        def run(index):
            client = self.server.client()
            try:
                for number in range(6 if kill_after_s is None else 400):
                    rng = self.rng("thread", index, number)
                    item = Item(f"own-{index}-{rng.randrange(2)}", f"{self.step}/{index}/{number}".encode() +
                                b"x" * rng.randrange(2000), "text/plain")
                    open_items[index] = item
                    reply = client.request("PUT", f"/v1/systems/{name}/components/{item.component}/state",
                                           item.content, {"Content-Type": item.content_type})
                    if reply.status not in (200, 201):
                        broken.append(repr(reply))
                        return
                    results[index].append((reply.json()["sequence"], item, reply.json()))
                    open_items[index] = None
            except Lost as error:
                if kill_after_s is None and not self.fault:
                    broken.append(str(error))
            finally:
                client.close()

        threads = [threading.Thread(target=run, args=(index,)) for index in range(THREADS)]
        for thread in threads:
            thread.start()
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            self.server.kill9()
        for thread in threads:
            thread.join()
        if broken:
            raise Mismatch(f"uploads of several threads: {broken[:2]}")
        if kill_after_s is not None:
            self.ended()
            self.start()
        elif any(open_items):
            self.came_back()
        self.merge(self.systems[name], [entry for part in results for entry in part],
                   [item for item in open_items if item])

    def merge(self, system, told, open_items):
        newest_told = {item.component: sequence for sequence, item, _ in sorted(told, key=lambda entry: entry[0])}
        for item in open_items:
            found = self.newest_version(system.name, item.component)
            head = system.head(item.component)
            last = newest_told.get(item.component, head.sequence if head else 0)
            if found and found["sequence"] != last:
                expect(f"the hash of what came in unheard of {item.component}", found["hash"],
                       harness.label(item.content))
                told.append((found["sequence"], item, found))
                self.counts["in although the answer was lost"] += 1
        told.sort(key=lambda entry: entry[0])
        expect("sequences of uploads of several threads", [sequence for sequence, _, _ in told],
               list(range(system.sequence + 1, system.sequence + 1 + len(told))))
        for _, item, receipt in told:
            system.apply([item], self.check_committed(system, to_ms(receipt["committedAt"])))
            expect(f"version of {item.component}", receipt["version"], system.head(item.component).version)
        self.counts["uploads together"] += len(told)

    # ---- events ----

    def hope_for(self, system, event_type, **data):
        """Of the last change. The server may have died since, when it was asked what came of it."""
        if self.told_by is self.server:
            self.hoped_events.append((system, event_type, data))

    def read_events(self, name):
        known = self.events[name]
        while True:
            after = max(known, default=0)
            page = self.get_json(f"/v1/systems/{name}/events?limit=1000&after={after}")["events"]
            if not page:
                return
            for event in page:
                known[event["id"]] = event
                if event["severity"] == "error":
                    raise Mismatch(f"an event that should not be: {event}")

    def flush_events(self):
        """Events are written soon after what they tell of."""
        open_ones = [hope for hope in self.hoped_events if hope[0] in self.systems]

        def all_there():
            for name in {name for name, _, _ in open_ones}:
                self.read_events(name)
            open_ones[:] = [hope for hope in open_ones if not self.has_event(*hope)]
            return not open_ones

        if not harness.wait_until(all_there) and self.hoped_events:
            raise Mismatch(f"events are missing: {open_ones[:3]}")
        self.counts["events"] += len(self.hoped_events)
        self.hoped_events = []

    def has_event(self, name, event_type, data):
        return any(event["type"] == event_type and data.items() <= event["data"].items()
                   for event in self.events[name].values())

    def check_kept_events(self, name):
        """Each that was seen once is there still."""
        listed, after = {}, 0
        while True:
            page = self.get_json(f"/v1/systems/{name}/events?limit=1000&after={after}")["events"]
            if not page:
                break
            listed.update({event["id"]: event for event in page})
            after = page[-1]["id"]
        gone = [event for key, event in self.events[name].items() if listed.get(key) != event]
        expect(f"events of {name} that are gone or changed", gone, [])


def digest_header(content):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
