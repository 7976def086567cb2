"""Comparing every readable past with the model: states, lists, snapshots, moments, recoveries, differences."""
import json

import harness
from driver import Driver, Mismatch, expect, pick, to_ms, to_time
from model import Snapshot, difference, json_patch, present_in, root_hash


class Moment:
    """What is asked for: now, a snapshot, an instant or a sequence."""

    def __init__(self, kind, value=None):
        self.kind = kind
        self.value = value

    def text(self):
        return {"now": "now", "at": to_time(self.value) if self.kind == "at" else ""}.get(self.kind, str(self.value))

    def query(self):
        return f"?{self.kind}={self.text()}"

    def sequence(self, system):
        if self.kind == "snapshot":
            return system.snapshots[self.value].sequence
        return {"now": system.sequence, "sequence": self.value}.get(self.kind) if self.kind != "at" else \
            system.sequence_at(self.value)

    def __repr__(self):
        return f"{self.kind} {self.text()}"


class Comparing(Driver):

    # ---- single states ----

    def expect_state(self, what, reply, version, system=None):
        """system: the answer comes from the database, where the present state has the tag that holds for uploads."""
        epoch = system.epoch if system and version is system.head(self.component_of(what)) else 1
        found = (reply.status, harness.label(reply.body), reply.headers["Content-Type"], reply.headers["ETag"],
                 reply.headers["State-Version"], reply.headers["State-Sequence"])
        expect(what, found, (200, version.hash, version.content_type, version.etag(epoch), str(version.version),
                             str(version.sequence)))
        self.counts["states read"] += 1

    @staticmethod
    def component_of(path):
        return path.split("/")[5]

    def check_present(self, system, component):
        path = f"/v1/systems/{system.name}/components/{component}/state"
        reply = self.get(path, 200, 404)
        present = system.present(component)
        if not present:
            expect(f"status of {path}", reply.status, 404)
            return
        self.expect_state(path, reply, present, system)
        expect(f"epoch of {path}", reply.headers["State-Epoch"], str(system.epoch))

    def may_be_trimmed(self, system, component, version):
        successor = system.successor(component, version)
        self.note_horizon()
        return bool(successor) and successor.committed_ms <= self.horizon_ms

    def check_version(self, system, component, version):
        path = f"/v1/systems/{system.name}/components/{component}/state?version={version.version}"
        reply = self.get(path, 200, 404)
        if reply.status == 200:
            self.expect_state(path, reply, version, system)
        elif not version.deleted:
            if not self.may_be_trimmed(system, component, version):
                raise Mismatch(f"{path}: {reply!r}, but it is {version.etag()} and cannot have been trimmed")
            self.counts["trimmed versions"] += 1

    def check_moment(self, system, component, moment):
        """One component as of a moment."""
        path = f"/v1/systems/{system.name}/components/{component}/state{moment.query()}"
        sequence = moment.sequence(system)
        wanted = system.at(sequence).get(component)
        reply = self.get(path, 200, 404)
        told = reply.headers.get("Snapshot-Id")
        if moment.kind == "snapshot":
            told = None
        if reply.status == 200 and not told:
            if not wanted or wanted.deleted:
                raise Mismatch(f"{path}: {reply!r}, but there was no state at sequence {sequence}")
            self.expect_state(path, reply, wanted, None if moment.kind == "snapshot" else system)
        elif reply.status == 200:
            snapshot = self.expect_nearest(path, system, moment, sequence, told)
            then = system.at(snapshot.sequence).get(component)
            if not then or then.deleted:
                raise Mismatch(f"{path}: {reply!r}, but snapshot {told} has no state of it")
            self.expect_state(path, reply, then)
        elif wanted and not wanted.deleted and \
                not self.expect_nothing(path, system, moment, sequence, lambda cut: component not in present_in(cut)):
            self.check_moment(system, component, moment)

    # ---- where a moment may come from ----

    def may_have_left_history(self, system, moment, sequence):
        """Nothing newer than the horizon was trimmed."""
        self.note_horizon()
        if moment.kind == "at" and moment.value <= self.horizon_ms:
            return True
        later = [committed_ms for committed_ms, number in system.commits if number > sequence]
        return moment.kind != "snapshot" and bool(later) and later[0] <= self.horizon_ms

    def candidates(self, system, moment, sequence):
        """Snapshots that may stand for a moment, newest last."""
        self.refresh_snapshots(system)
        return sorted((snapshot for snapshot in system.snapshots.values() if snapshot.sequence <= sequence and
                       (moment.kind != "at" or snapshot.cut_ms <= moment.value)),
                      key=lambda snapshot: (snapshot.cut_ms, snapshot.sequence))

    def expect_nearest(self, what, system, moment, sequence, told):
        if not self.may_have_left_history(system, moment, sequence):
            raise Mismatch(f"{what}: answered from {told}, but history must hold sequence {sequence}")
        known = {*system.snapshots, told}  # what came since was perhaps under way when it was asked for
        found = [snapshot for snapshot in self.candidates(system, moment, sequence) if snapshot.id in known]
        if told not in [snapshot.id for snapshot in found] or system.snapshots[told].sequence < found[-1].sequence:
            raise Mismatch(f"{what}: answered from {told}, nearest are {[snapshot.id for snapshot in found][-3:]}")
        self.counts["moments from snapshots"] += 1
        return system.snapshots[told]

    def expect_nothing(self, what, system, moment, sequence, lacks=lambda cut: False):
        """Neither history nor a snapshot has it: allowed only where history was trimmed. lacks: whether a cut has not
        got what was asked for. False: a snapshot has it that may have been under way when it was asked for; history may
        go before that is there."""
        known = set(system.snapshots)
        if sequence and not self.may_have_left_history(system, moment, sequence):
            raise Mismatch(f"{what}: not found, but history must hold sequence {sequence}")
        found = self.candidates(system, moment, sequence)
        if found and not lacks(system.at(found[-1].sequence)):
            if found[-1].id not in known:
                return False
            raise Mismatch(f"{what}: not found, but snapshot {found[-1].id} has it")
        self.counts["moments nowhere"] += 1
        return True

    def used_cut(self, what, system, moment, told):
        """(the cut that an answer says it used, its instant): told is {sequence, snapshot, exact}."""
        sequence = moment.sequence(system)
        if moment.kind == "now":
            expect(f"{what}: cut", (told["sequence"], told["snapshot"], told["exact"]), (sequence, None, True))
            return system.at(sequence), None
        if moment.kind == "snapshot":
            expect(f"{what}: cut", (told["sequence"], told["snapshot"], told["exact"]), (sequence, moment.value, True))
            return system.at(sequence), system.snapshots[moment.value].cut_ms
        if told["snapshot"] is None:
            expect(f"{what}: cut", (told["sequence"], told["exact"]), (sequence, True))
            return system.at(sequence), moment.value if moment.kind == "at" else None
        snapshot = self.expect_nearest(what, system, moment, sequence, told["snapshot"])
        expect(f"{what}: cut", told["sequence"], snapshot.sequence)
        if told["exact"] and snapshot.sequence != sequence:
            raise Mismatch(f"{what}: snapshot {snapshot.id} is not sequence {sequence}")
        return system.at(snapshot.sequence), snapshot.cut_ms

    def random_moment(self, rng, system, *kinds):
        """Snapshots that the model took itself, instants at, before and after commits."""
        kind = pick(rng, kinds)
        commit = pick(rng, system.commits[system.first_sequence - 1:])
        offset = pick(rng, (0, 0, 1, -1, 7))
        own = sorted(name for name, snapshot in system.snapshots.items() if snapshot.depends_on is not None)
        snapshot = pick(rng, own)
        if kind == "snapshot" and snapshot:
            return Moment("snapshot", snapshot)
        if kind == "sequence" and commit:
            return Moment("sequence", commit[1])
        if kind == "at" and commit and commit[0] + offset < system.commits[-1][0]:
            return Moment("at", commit[0] + offset)
        return Moment("sequence", system.sequence) if system.sequence and "now" not in kinds else Moment("now")

    # ---- lists ----

    def check_system(self, system):
        found = self.get_json(f"/v1/systems/{system.name}")
        expect(f"sequence and epoch of {system.name}", (found["sequence"], found["epoch"]),
               (system.sequence, system.epoch))
        expect(f"size of {system.name}", found["stateBytes"],
               sum(len(system.present(name).content) for name in system.present_names()))

    def check_components(self, system):
        listed = self.get_all(f"/v1/systems/{system.name}/components", "components", 5)
        names = [entry["name"] for entry in listed]
        wanted = sorted(set(system.present_names()) | {name for name, known in system.registrations.items()
                                                       if known.registered and not system.head(name)})
        expect(f"components of {system.name}", names, wanted)
        for entry in listed:
            known, head = system.registrations[entry["name"]], system.present(entry["name"])
            what = f"component {entry['name']} of {system.name}"
            expect(what, (entry["kind"], entry["dependsOn"]), (known.kind, list(known.depends_on)))
            expect(what, entry["damaged"], False)
            if not head:
                expect(what, entry["version"], 0)
                continue
            expect(what, (entry["version"], entry["sequence"], entry["hash"], entry["bytes"], entry["contentType"],
                          to_ms(entry["committedAt"])),
                   (head.version, head.sequence, head.hash, len(head.content), head.content_type, head.committed_ms))

    def check_versions(self, system, component):
        """All that are listed are right, and those that are missing may be."""
        path = f"/v1/systems/{system.name}/components/{component}/versions"
        listed = {entry["version"]: entry for entry in self.get_all(path, "versions", 200)}
        wanted = {version.version: version for version in system.versions[component]}
        expect(f"{path}: versions that never were", sorted(set(listed) - set(wanted)), [])
        for number, version in wanted.items():
            entry = listed.get(number)
            if not entry:
                if not self.may_be_trimmed(system, component, version):
                    raise Mismatch(f"{path}: version {number} is missing, and cannot have been trimmed")
                continue
            expect(f"{path}: version {number}",
                   (entry["sequence"], entry["hash"], entry["bytes"], entry["deleted"], to_ms(entry["committedAt"]),
                    entry["event"]),
                   (version.sequence, version.hash, len(version.content or b""), version.deleted,
                    version.committed_ms, version.event))

    # ---- snapshots ----

    def refresh_snapshots(self, system):
        """Those that the background took are learned and compared; those that were known must be there."""
        listed = self.get_all(f"/v1/systems/{system.name}/snapshots", "snapshots", 100)
        for entry in listed:
            if entry["state"] != "complete" or entry["validation"]["status"] in ("damaged", "healed"):
                raise Mismatch(f"snapshot {entry['id']} of {system.name}: {entry}")
            # A restore is followed by a snapshot, which may be there before the model has made the same restore.
            early = system is self.restoring and entry["epoch"] == system.epoch + 1
            if entry["id"] not in system.snapshots and not early:
                self.learn_snapshot(system, entry)
        gone = set(system.snapshots) - {entry["id"] for entry in listed}
        expect(f"snapshots of {system.name} that are gone", sorted(gone), [])

    def learn_snapshot(self, system, entry):
        what = f"snapshot {entry['id']} of {system.name}"
        if entry["sequence"] > system.sequence or entry["epoch"] not in system.epochs_of(entry["sequence"]):
            raise Mismatch(f"{what}: sequence {entry['sequence']}, epoch {entry['epoch']}; the system is at "
                           f"{system.sequence}, epochs {system.epochs[-3:]}")
        cut = system.at(entry["sequence"])
        expect(f"{what}: root hash", entry["rootHash"], root_hash(cut))
        expect(f"{what}: components and bytes", (entry["components"], entry["stateBytes"]),
               (len(present_in(cut)), sum(len(version.content) for version in present_in(cut).values())))
        snapshot = Snapshot(entry["id"], entry["kind"], entry["sequence"], to_ms(entry["cutAt"]), entry["pinned"])
        system.snapshots[entry["id"]] = snapshot
        self.counts[f"snapshots {entry['kind']}"] += 1
        self.check_snapshot(system, snapshot)

    def check_snapshot(self, system, snapshot):
        path = f"/v1/systems/{system.name}/snapshots/{snapshot.id}/components"
        listed = self.get_all(path, "components")
        found = {entry["name"]: (entry["version"], entry["sequence"], entry["hash"], entry["bytes"],
                                 entry["contentType"], to_ms(entry["committedAt"]))
                 for entry in listed if entry["version"]}
        wanted = {name: (version.version, version.sequence, version.hash, len(version.content), version.content_type,
                         version.committed_ms) for name, version in present_in(system.at(snapshot.sequence)).items()}
        expect(path, found, wanted)
        depends_on = {entry["name"]: tuple(entry["dependsOn"]) for entry in listed}
        if snapshot.depends_on is not None:
            expect(f"{path}: dependencies", depends_on, snapshot.depends_on)
        snapshot.depends_on = depends_on

    # ---- differences ----

    def check_difference(self, rng, system):
        before = self.random_moment(rng, system, "snapshot", "sequence", "at", "now")
        after = self.random_moment(rng, system, "snapshot", "sequence", "at", "now")
        path = f"/v1/systems/{system.name}/diff?from={before.text()}&to={after.text()}"
        answer, listed = self.read_difference(path)
        if answer is None:
            self.expect_one_nowhere(path, system, before, after)
            return
        one = self.used_cut(path, system, before, answer["from"])[0]
        other = self.used_cut(path, system, after, answer["to"])[0]
        changes, unchanged = difference(one, other)
        expect(f"{path}: changes", {entry["component"]: entry["change"] for entry in listed}, changes)
        expect(f"{path}: counts", answer["counts"], {
            **{kind: list(changes.values()).count(kind) for kind in ("added", "removed", "changed")},
            "unchanged": unchanged})
        one, other = present_in(one), present_in(other)
        for entry in listed:
            self.expect_change(path, entry, one.get(entry["component"]), other.get(entry["component"]))
        self.counts["differences"] += 1
        component = pick(rng, sorted(changes))
        if component:
            reply = self.get(f"{path}&component={component}", 200, 404)
            if reply.status == 404:
                if not any(self.may_have_left_history(system, moment, moment.sequence(system))
                           for moment in (before, after)):
                    raise Mismatch(f"{path}: {component} was there and is not found: {reply!r}")
            elif self.cuts_of(reply.json()) == self.cuts_of(answer):  # else history was trimmed meanwhile
                self.check_patch(path, component, reply.json(), one.get(component), other.get(component))

    @staticmethod
    def cuts_of(answer):
        return [(cut["sequence"], cut["snapshot"], cut["exact"]) for cut in (answer["from"], answer["to"])]

    def read_difference(self, path):
        """The first page and the changes of all of them, which are between the same two cuts; None: not found. Where
        history is trimmed between two pages, a later one may be of others: then from the start."""
        for _ in range(10):
            reply, pages = self.get(f"{path}&limit=3", 200, 404), []
            while reply.status == 200:
                pages.append(reply.json())
                cursor = pages[-1]["nextCursor"]
                if not cursor and all(self.cuts_of(page) == self.cuts_of(pages[0]) for page in pages):
                    return pages[0], [entry for page in pages for entry in page["changes"]]
                if not cursor:
                    break
                reply = self.get(f"{path}&limit=3&cursor={cursor}", 200, 404)
            if not pages:
                return None, None
        raise Mismatch(f"{path}: the pages are not of the same cuts, however often it is asked for")

    def expect_one_nowhere(self, path, system, *moments):
        for moment in moments:
            sequence = moment.sequence(system)
            if moment.kind in ("at", "sequence") and (
                    not sequence or self.may_have_left_history(system, moment, sequence)) and \
                    not self.candidates(system, moment, sequence):
                return
        raise Mismatch(f"{path}: not found, but both are there")

    @staticmethod
    def expect_change(path, entry, one, other):
        expect(f"{path}: {entry['component']}",
               (entry["fromVersion"], entry["fromHash"], entry["fromBytes"], entry["toVersion"], entry["toHash"],
                entry["toBytes"]),
               tuple(value for side in (one, other)
                     for value in ((side.version, side.hash, len(side.content)) if side else (None, None, None))))

    def check_patch(self, path, component, answer, one, other):
        """The patch, applied to the one side, gives the other."""
        both_json = one and other and "json" in one.content_type and "json" in other.content_type
        if not both_json:
            expect(f"{path}: patch of {component}", answer["patch"], None)
            return
        if answer["patch"] is None:
            raise Mismatch(f"{path}: no patch of {component}: {answer}")
        expect(f"{path}: what the patch of {component} gives", json_patch(json.loads(one.content), answer["patch"]),
               json.loads(other.content))
        self.counts["patches of differences"] += 1

    # ---- all of it ----

    def compare(self, rng, everything=False):
        """Lists of everything; of states and snapshots a sample, or all."""
        expect("systems", [entry["name"] for entry in self.get_json("/v1/systems")["systems"]], sorted(self.systems))
        for name in self.gone_systems[-3:]:
            if name not in self.systems:
                self.get(f"/v1/systems/{name}", 404)
        for name, system in sorted(self.systems.items()):
            self.check_system(system)
            self.check_components(system)
            for component in sorted(system.versions):
                self.check_versions(system, component)
                if everything:
                    for version in system.versions[component]:
                        self.check_version(system, component, version)
                    self.check_present(system, component)
            self.refresh_snapshots(system)
            self.sample(rng, system, 60 if everything else 6)
            self.read_events(name)
            for snapshot in sorted(system.snapshots.values(), key=lambda one: one.id) if everything else ():
                self.check_snapshot(system, snapshot)
            if everything:
                self.check_kept_events(name)
        self.flush_events()
        self.counts["comparisons"] += 1

    def sample(self, rng, system, count):
        for _ in range(count):
            component = pick(rng, sorted(system.versions))
            if component:
                self.check_moment(system, component, self.random_moment(rng, system, "snapshot", "sequence", "at"))
                self.check_version(system, component, pick(rng, system.versions[component]))
        snapshot = pick(rng, sorted(system.snapshots))
        if snapshot:
            self.check_snapshot(system, system.snapshots[snapshot])
