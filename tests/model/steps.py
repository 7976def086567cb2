"""What may happen to systems: each step draws from its own generator, does one thing, and checks the answer."""
import base64
import json
import time

from driver import SHORT_HISTORY_MS, Mismatch, digest_header, expect, pick, to_ms
from model import Item, Registration, System, merge_patch, present_in
from recovering import Recovering

NAMES = [f"c{number}" for number in range(8)]
TYPES = ("application/json", "application/json", "application/vnd.agent+json", "application/octet-stream", "text/plain")
SYSTEMS_MAX = 4
FAULTS = ("commit_before", "commit_after", "commit_before", "commit_after", "recovery_before_commit",
          "recovery_after_commit", "snapshot_write", "snapshot_before_rename", "snapshot_after_rename",
          "snapshot_before_row", "system_delete_begun", "system_delete_after_commit", "copy_before_rename",
          "patch_before_save", "shutdown_before_snapshot", "hydration_before_commit", "fork_midway", "fork_midway")
LINGER_S = 2.3  # longer than a turn of the scheduler, which then trims what the short history has no room for


class Steps(Recovering):

    # ---- states ----

    def content(self, rng, system, component):
        """(bytes, content type): mostly new, sometimes what is there or was."""
        dice, size, kind = rng.random(), rng.random(), pick(rng, TYPES)
        old = pick(rng, system.versions.get(component, [])) if system else None
        head = system.present(component) if system else None
        if dice < 0.08 and head:
            return head.content, head.content_type
        if dice < 0.14 and old and not old.deleted:
            return old.content, old.content_type
        length = rng.randrange(400) if size < 0.85 else rng.randrange(9000) if size < 0.96 else \
            rng.randrange(60000, 150000)
        if "json" not in kind:
            return f"{self.step}:".encode() + rng.randbytes(length), kind
        return json.dumps({"step": self.step, "n": {"a": rng.randrange(9), "b": list(range(rng.randrange(4)))},
                           "pad": f"{rng.getrandbits(32):x}" * (length // 8)}, separators=(",", ":")).encode(), kind

    def conditions(self, rng, system, component, content):
        """(headers, the status and code that they lead to; None: none of theirs)."""
        head = system.present(component) if system else None
        epoch = system.epoch if system else 1
        dice = rng.random()
        if dice < 0.10:
            return {"If-Match": head.etag(epoch) if head else '"1-0000000000000000"'}, \
                None if head else (412, "precondition_failed")
        if dice < 0.14:
            wrong = head.etag(epoch + 1) if head else '"1-0123456789abcdef"'
            return {"If-Match": head.etag(epoch - 1) if head and epoch > 1 else wrong}, (412, "precondition_failed")
        if dice < 0.19:
            return {"If-None-Match": "*"}, (412, "precondition_failed") if head else None
        if dice < 0.24:
            return {"State-Epoch": str(epoch)}, None
        if dice < 0.27:
            return {"State-Epoch": str(epoch - 1)}, (409, "stale_epoch")
        if dice < 0.29:
            return {"State-Epoch": str(epoch + 1)}, (409, "conflict")
        if dice < 0.33:
            return {"Content-Digest": digest_header(content)}, None
        if dice < 0.35:
            return {"Content-Digest": digest_header(content + b".")}, (400, "digest_mismatch")
        return {}, None

    def upload(self, rng):
        name = pick(rng, sorted(set(self.systems) | {"main"}))
        component = pick(rng, NAMES)
        system = self.systems.get(name)
        content, kind = self.content(rng, system, component)
        headers, refusal = self.conditions(rng, system, component, content)
        event = "large-reward" if rng.random() < 0.06 else None
        if event:
            headers["State-Event"] = event
            if rng.random() < 0.3:
                headers["State-Event-Snapshot"] = "true"
        headers["Content-Type"] = kind
        path = f"/v1/systems/{name}/components/{component}/state"
        self.note(f"upload {path} {len(content)} bytes {headers} -> {refusal or 'good'}")
        if refusal:
            self.refused(("PUT", path, content, headers), *refusal)
            return
        head = system.present(component) if system else None
        same = head and (head.content, head.content_type) == (content, kind)
        items = [] if same else [Item(component, content, kind, event)]
        reply = self.change(name, items, (pick(rng, ("PUT", "PUT", "POST")), path, content, headers),
                            (200,) if head else (201,))
        if reply is not None:
            self.check_receipt(self.systems[name], component, reply.json(), bool(same))
            expect("ETag", reply.headers["ETag"], self.systems[name].head(component).etag(self.systems[name].epoch))
            if event and items:
                self.hope_for(name, "state.event", component=component,
                              sequence=self.systems[name].head(component).sequence)
        if name in self.systems:
            self.check_present(self.systems[name], component)

    def check_receipt(self, system, component, receipt, unchanged):
        head = system.head(component)
        expect(f"receipt of {component}",
               tuple(receipt[field] for field in ("system", "component", "version", "sequence", "epoch", "hash",
                                                  "bytes", "unchanged", "durability")) +
               (to_ms(receipt["committedAt"]),),
               (system.name, component, head.version, head.sequence, system.epoch, head.hash, len(head.content),
                unchanged, "database", head.committed_ms))
        self.counts["unchanged" if unchanged else "uploads"] += 1

    def delete(self, rng):
        system, component, stale = self.system(rng), pick(rng, NAMES), rng.random() < 0.1
        if not system:
            return
        path = f"/v1/systems/{system.name}/components/{component}"
        self.note(f"delete {path}, stale {stale}")
        if stale and system.present(component):
            self.refused(("DELETE", path, None, {"State-Epoch": str(system.epoch - 1)}), 409, "stale_epoch")
        elif system.present(component):
            if self.change(system.name, [Item(component, None)], ("DELETE", path), (204,)):
                self.counts["deletions"] += 1
            self.check_present(system, component)
        elif system.head(component) or not system.registrations.get(component, Registration()).registered:
            self.refused(("DELETE", path), 404, "not_found")
        elif self.send("DELETE", path) is not None:
            system.forget(component, int(time.time() * 1000))
            self.counts["forgotten"] += 1
            self.get(path, 404)
        elif self.get(path, 200, 404).status == 404:
            system.forget(component, int(time.time() * 1000))

    def register(self, rng):
        name = pick(rng, sorted(set(self.systems) | {"main"}))
        component = pick(rng, NAMES)
        others = sorted({pick(rng, NAMES + ["nowhere"]) for _ in range(rng.randrange(3))} - {component})
        if rng.random() < 0.4:
            others = [other for other in others if other < component]
        arrows = sorted((one, other) for one, known in (self.systems[name].registrations if name in self.systems else
                                                        {}).items() for other in known.depends_on)
        arrow, turn = pick(rng, arrows), rng.random() < 0.15
        if arrow and turn:
            component, others = arrow[1], [arrow[0]]
        known = Registration(f"kind-{rng.randrange(3)}", tuple(others), True)
        path = f"/v1/systems/{name}/components/{component}"
        body = {"kind": known.kind, "dependsOn": others}
        self.note(f"register {path} {body}")
        system = self.systems.get(name) or System(name)
        if any(system.depends(other, component) for other in others):
            self.refused(("PUT", path, body), 409, "dependency_cycle")
            return
        reply = self.send("PUT", path, body)
        if reply is None:
            found = self.get(path, 200, 404)
            if found.status == 404 or (found.json()["kind"], found.json()["dependsOn"]) != (known.kind, others):
                return
            reply = found
        elif reply.status not in (200, 201):
            raise Mismatch(f"registration: {reply!r}")
        self.systems[name] = system
        system.register(component, known, to_ms(reply.json()["registeredAt"]))
        self.counts["registrations"] += 1

    def heartbeat(self, rng):
        system, component, health = self.system(rng), pick(rng, NAMES), round(rng.random(), 2)
        if system and system.present(component):
            self.note(f"heartbeat of {system.name} {component}")
            self.send("POST", f"/v1/systems/{system.name}/components/{component}/heartbeat", {"health": health})

    def set_intervals(self, rng):
        system = self.system(rng)
        body = {"backupIntervalMs": rng.randrange(2000, 9000), "incrementalIntervalMs": rng.randrange(300, 4000)}
        if system:
            self.note(f"settings of {system.name} {body}")
            self.send("PUT", f"/v1/systems/{system.name}", body)

    def batch(self, rng):
        name = pick(rng, sorted(set(self.systems) | {"main"}))
        system = self.systems.get(name)
        components = rng.sample(NAMES, rng.randrange(1, 6))
        failing = pick(rng, components) if rng.random() < 0.15 else None
        key = f"key-{self.step}" if rng.random() < 0.5 else None
        lines, items = [], []
        for component in components:
            content, kind = self.content(rng, system, component)
            entry = {"component": component, "contentType": kind, "stateBase64": base64.b64encode(content).decode()}
            head = system.present(component) if system else None
            if component == failing:
                entry["ifMatch"] = '"77-0123456789abcdef"'
            elif head and rng.random() < 0.2:
                entry["ifMatch"] = head.etag(system.epoch)
            lines.append(json.dumps(entry))
            if not head or (head.content, head.content_type) != (content, kind):
                items.append(Item(component, content, kind))
        body = "\n".join(lines).encode()
        headers = {"Content-Type": "application/x-ndjson", **({"Idempotency-Key": key} if key else {})}
        if rng.random() < 0.2:
            headers["State-Epoch"] = str(system.epoch if system else 1)
        request = ("POST", f"/v1/systems/{name}/states", body, headers)
        self.note(f"batch to {name} of {components}, key {key}, failing {failing}")
        if failing:
            self.refused(request, 412, "precondition_failed")
            return
        reply = self.change(name, items, request, (200,))
        if reply is None:
            return
        self.counts["batches"] += 1
        system = self.systems[name]
        changed = {item.component for item in items}
        for component, receipt in zip(components, reply.json()["results"]):
            self.check_receipt(system, component, receipt, component not in changed)
        if key:
            system.keys.append((request, reply.body))

    def repeat_batch(self, rng):
        """The same key and body get the same answer and write nothing; another body is refused."""
        system = self.system(rng)
        known = pick(rng, system.keys) if system else None
        other = rng.random() < 0.3
        if not known:
            return
        (method, path, body, headers), answer = known
        self.note(f"batch with {headers['Idempotency-Key']} to {system.name} again, another body: {other}")
        if other:
            self.refused((method, path, body + b"\n" + body.split(b"\n", maxsplit=1)[0].replace(
                b'"component": "c', b'"component": "d'), headers), 422, "idempotency_key_reused")
            return
        reply = self.send(method, path, body, headers)
        if reply is not None:
            expect("the answer to a repeated batch", (reply.status, reply.body), (200, answer))
            self.counts["repeated batches"] += 1

    def patch(self, rng):
        system, component = self.system(rng), pick(rng, NAMES)
        merge, fits, number = rng.random() < 0.5, rng.random() < 0.85, rng.randrange(1000)
        head = system.present(component) if system else None
        if not head or "json" not in head.content_type:
            return
        document = json.loads(head.content)
        kind = "application/merge-patch+json" if merge else "application/json-patch+json"
        if merge:
            patch = {"n": {"a": number}, "pad": None if number % 3 else "short"}
            result = merge_patch(document, patch)
        else:
            patch = [{"op": "test", "path": "/step", "value": document["step"] if fits else -1},
                     {"op": "add", "path": "/n/b/-", "value": number},
                     {"op": "replace", "path": "/step", "value": number}]
            result = json.loads(head.content)
            result["n"]["b"].append(number)
            result["step"] = number
        path = f"/v1/systems/{system.name}/components/{component}/state"
        request = ("PATCH", path, json.dumps(patch).encode(), {"Content-Type": kind})
        self.note(f"{kind} of {path}: {patch}")
        if not merge and not fits:
            self.refused(request, 412, "precondition_failed")
            return
        content = json.dumps(result, separators=(",", ":")).encode()
        items = [] if content == head.content else [Item(component, content, head.content_type)]
        reply = self.change(system.name, items, request, (200,))
        if reply is not None:
            self.check_receipt(system, component, reply.json(), not items)
            self.counts["patches"] += 1

    # ---- snapshots ----

    def take_snapshot(self, rng):
        system, kind = self.system(rng), pick(rng, ("full", "incremental", "incremental"))
        if not system:
            return
        self.note(f"{kind} snapshot of {system.name} at {system.sequence}")
        reply = self.send("POST", f"/v1/systems/{system.name}/snapshots", {"kind": kind, "label": f"step {self.step}"})
        if reply is None:
            self.refresh_snapshots(system)
            return
        if reply.status not in (200, 201):
            raise Mismatch(f"snapshot of {system.name}: {reply!r}")
        entry = reply.json()
        expect("sequence and epoch of a snapshot", (entry["sequence"], entry["epoch"]),
               (system.sequence, system.epoch))
        if kind == "full":
            expect("kind of a full snapshot", (entry["kind"], reply.status), ("full", 201))
        self.refresh_snapshots(system)
        snapshot = system.snapshots[entry["id"]]
        present = present_in(system.at(snapshot.sequence))
        expect(f"dependencies in {snapshot.id}",
               {name: names for name, names in snapshot.depends_on.items() if name in present},
               {name: system.registrations[name].depends_on for name in present})
        self.counts["snapshots taken" if reply.status == 201 else "snapshots unchanged"] += 1

    def keep_snapshot(self, rng):
        """Pins, unpins or deletes one."""
        system, dice, newest = self.system(rng), rng.random(), rng.random() < 0.5
        snapshots = sorted(system.snapshots.values(), key=lambda one: (one.cut_ms, one.id)) if system else []
        snapshot = pick(rng, snapshots[-1:] if newest else snapshots)
        if not snapshot:
            return
        path = f"/v1/systems/{system.name}/snapshots/{snapshot.id}"
        if dice < 0.5:
            self.note(f"pin {path}: {not snapshot.pinned}")
            reply = self.send("PATCH", path, {"pinned": not snapshot.pinned})
            entry = self.get_json(path) if reply is None else reply.json()
            if reply is not None:
                expect(f"pinned of {path}", (reply.status, entry["pinned"]), (200, not snapshot.pinned))
            snapshot.pinned = entry["pinned"]
            return
        self.note(f"delete {path}, pinned {snapshot.pinned}")
        reply = self.send("DELETE", path)
        if reply is None:
            if self.get(path, 200, 404).status == 404:
                self.forget_snapshot(system, snapshot)
        elif reply.status == 204 and not snapshot.pinned:
            self.forget_snapshot(system, snapshot)
            self.get(path, 404)
            self.counts["snapshots deleted"] += 1
        elif (reply.status, reply.code) != (409, "snapshot_in_use"):
            raise Mismatch(f"deletion of {path}, pinned {snapshot.pinned}: {reply!r}")

    @staticmethod
    def forget_snapshot(system, snapshot):
        del system.snapshots[snapshot.id]
        system.plans = [plan for plan in system.plans if plan["moment"].value != snapshot.id]

    # ---- systems ----

    def fork(self, rng):
        origin = self.system(rng)
        if not origin:
            return
        moment = self.random_moment(rng, origin, "snapshot", "sequence", "at", "now")
        if len(self.systems) >= SYSTEMS_MAX:
            return
        name = f"fork-{self.step}"
        body = {"name": name, "from": {"system": origin.name}}
        if moment.kind != "now":
            body["from"][moment.kind] = moment.value if moment.kind == "sequence" else moment.text()
        self.note(f"fork {body}")
        reply = self.send("POST", "/v1/systems", body)
        told = None
        if reply is None:
            self.counts["lost answers"] += 1
            found = self.get(f"/v1/systems/{name}", 200, 404)
            if found.status == 404:
                return
            answer = found.json()
        elif reply.status == 404 and moment.kind in ("at", "sequence"):
            self.expect_nothing(f"fork {body}", origin, moment, moment.sequence(origin))
            return
        elif reply.status != 201:
            raise Mismatch(f"fork {body}: {reply!r}")
        else:
            answer = reply.json()
            told = answer["forkedFrom"]
        cut = self.used_cut(f"fork {name}", origin, moment, told)[0] if told else origin.at(moment.sequence(origin))
        snapshot = told["snapshot"] if told else moment.value if moment.kind == "snapshot" else None
        then = origin.registrations_at(origin.snapshots[snapshot].cut_ms) if snapshot else None
        registrations = origin.registrations if then is None else then
        self.systems[name] = fork = origin.fork(name, cut, to_ms(answer["committedAt"]) if cut else 0, registrations)
        self.learn_registered(origin, fork)
        expect(f"sequence and epoch of fork {name}", (answer["sequence"], answer["epoch"]), (fork.sequence, 1))
        self.check_system(fork)
        self.check_components(fork)
        for component in fork.present_names():
            self.check_present(fork, component)
        if told:
            self.hope_for(name, "system.created", **{"from": origin.name, "cut": told["sequence"]})
        self.counts["forks"] += 1

    def learn_registered(self, origin, fork):
        """Components that were registered by then and had no state are part of a past as well."""
        for entry in self.get_all(f"/v1/systems/{fork.name}/components", "components"):
            found = Registration(entry["kind"], tuple(entry["dependsOn"]), True)
            if not entry["version"]:
                if found not in [known for _, name, known in origin.registered if name == entry["name"]]:
                    raise Mismatch(f"{entry['name']} of {fork.name} was never registered so: {entry}")
                fork.register(entry["name"], found, 0)

    def delete_system(self, rng):
        system, dice = self.system(rng), rng.random()
        if not system or (len(self.systems) < 3 and dice < 0.8):
            return
        name = system.name
        self.note(f"delete system {name}")
        reply = self.send("DELETE", f"/v1/systems/{name}?confirm={name}")
        if reply is None and self.get(f"/v1/systems/{name}", 200, 404).status == 200:
            return
        if reply is not None and reply.status == 409:  # a snapshot of it is being read in the background
            return
        if reply is not None and reply.status != 204:
            raise Mismatch(f"deletion of system {name}: {reply!r}")
        del self.systems[name]
        self.gone_systems.append(name)
        self.events.pop(name, None)
        self.hoped_events = [hope for hope in self.hoped_events if hope[0] != name]
        self.get(f"/v1/systems/{name}", 404)
        self.counts["systems deleted"] += 1

    # ---- looking, and ends ----

    def look_back(self, rng):
        system = self.system(rng)
        if system:
            self.note(f"states of {system.name} in the past")
            self.sample(rng, system, 3)

    def compare_moments(self, rng):
        system = self.system(rng)
        if system and system.commits:
            self.note(f"difference in {system.name}")
            self.check_difference(rng, system)

    def together(self, rng):
        system = self.system(rng)
        if system:
            self.note(f"uploads of several threads to {system.name}")
            self.upload_together(system.name)

    def crash(self, rng):
        """kill -9: at rest, under load, or at a fault point that comes sooner or later; or an ordered stop."""
        system, dice, after_s = self.system(rng), rng.random(), rng.uniform(0.02, 0.2)
        fault, nth = pick(rng, FAULTS), rng.randrange(1, 12)
        self.choose_history(rng)
        if dice < 0.25:
            self.note("kill -9")
            self.kill()
            self.start()
        elif dice < 0.5 and system:
            self.note(f"kill -9 while threads upload to {system.name}")
            self.upload_together(system.name, kill_after_s=after_s)
        elif dice < 0.7:
            self.note(f"ordered restart, history of {self.next_history_ms} ms")
            self.stop()
            self.start()
            if self.history_ms == SHORT_HISTORY_MS:
                time.sleep(LINGER_S)
        else:
            self.note(f"restart, to die at {fault}:{nth}")
            self.stop()
            self.start(f"{fault}:exit:{nth if fault.startswith('commit') else 1 + nth % 2}")
        self.counts["starts"] += 1
        for system in self.systems.values():
            self.check_system(system)
            self.check_components(system)
