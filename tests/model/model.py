"""The model: what a system has to be after what was done to it, in plain dictionaries.

Nothing here speaks HTTP, and nothing comes from the server's code. A version keeps its bytes, so every past can be told
exactly: as of a sequence, as of an instant, as a root hash, as a plan of a recovery, as a difference.
"""
import bisect
import dataclasses
import hashlib

from harness import etag_of, label


@dataclasses.dataclass(frozen=True)
class Version:
    version: int
    sequence: int
    content: bytes      # None: a tombstone
    content_type: str
    committed_ms: int
    event: str = None

    @property
    def deleted(self):
        return self.content is None

    @property
    def hash(self):
        return None if self.deleted else label(self.content)

    def etag(self, epoch=1):
        """Of the present state with the epoch; what is past has none."""
        return etag_of(self.version, self.hash, epoch)


@dataclasses.dataclass(frozen=True)
class Item:
    """One commit to come: a new content, or a deletion (content None). version: None means the next one."""
    component: str
    content: bytes
    content_type: str = ""
    event: str = None


@dataclasses.dataclass
class Snapshot:
    id: str
    kind: str
    sequence: int
    cut_ms: int
    pinned: bool = False
    depends_on: dict = None  # of the components it holds, as it lists them; None: not read yet


@dataclasses.dataclass
class Registration:
    kind: str = ""
    depends_on: tuple = ()
    registered: bool = False  # by a request; else it came with a state


class System:
    def __init__(self, name):
        self.name = name
        self.sequence = 0
        self.first_sequence = 1    # the first that can be gone back to: a fork comes as a whole
        self.epoch = 1
        self.epochs = [(0, 1)]     # (the sequence at which it began, the epoch)
        self.versions = {}         # component: [Version, …], oldest first
        self.commits = []          # (committed_ms, sequence), in order
        self.registrations = {}    # component: Registration, also of deleted ones
        self.registered = []       # (when, component, Registration), in order
        self.snapshots = {}        # id: Snapshot, those that are there
        self.plans = []            # dry runs that were not applied
        self.keys = []             # (Idempotency-Key, body, answer)
        self.recovery_keys = []    # (path, body, headers, status, id)
        self.recoveries = {}       # id: status

    # ---- what is ----

    def head(self, component):
        versions = self.versions.get(component)
        return versions[-1] if versions else None

    def present(self, component):
        """The head, unless it is a tombstone."""
        head = self.head(component)
        return head if head and not head.deleted else None

    def present_names(self):
        return sorted(name for name in self.versions if self.present(name))

    def find(self, component, version):
        versions = self.versions.get(component, [])
        index = version - versions[0].version if versions else -1
        return versions[index] if 0 <= index < len(versions) else None

    def successor(self, component, version):
        return self.find(component, version.version + 1)

    # ---- what was ----

    def at(self, sequence):
        """{component: Version}, tombstones too, after that sequence."""
        cut = {}
        for component, versions in self.versions.items():
            for version in reversed(versions):
                if version.sequence <= sequence:
                    cut[component] = version
                    break
        return cut

    def sequence_at(self, at_ms):
        """The last one committed at or before that instant; 0: none was."""
        index = bisect.bisect_right(self.commits, (at_ms, self.sequence + 1))
        return self.commits[index - 1][1] if index else 0

    def register(self, component, known, at_ms):
        self.registrations[component] = known
        self.registered.append((at_ms, component, known))

    def forget(self, component, at_ms):
        """One that never had a state. When it comes again, it is a new one."""
        del self.registrations[component]
        self.registered.append((at_ms, component, Registration()))

    def registrations_at(self, at_ms):
        """Those of that instant, which count as of its end; None: one came in the same millisecond."""
        if any(when == at_ms for when, _, _ in self.registered):
            return None
        return {component: known for when, component, known in self.registered if when < at_ms}

    def epochs_of(self, sequence):
        """A restore that changed no state raised the epoch at the same sequence."""
        return {epoch for index, (start, epoch) in enumerate(self.epochs)
                if start <= sequence and (index + 1 == len(self.epochs) or sequence <= self.epochs[index + 1][0])}

    # ---- what becomes ----

    def apply(self, items, committed_ms, raise_epoch=False):
        if raise_epoch:
            self.epochs.append((self.sequence, self.epoch + 1))
            self.epoch += 1
        for item in items:
            head = self.head(item.component)
            self.sequence += 1
            version = Version(head.version + 1 if head else 1, self.sequence, item.content, item.content_type,
                              committed_ms, item.event)
            self.versions.setdefault(item.component, []).append(version)
            self.commits.append((committed_ms, self.sequence))
            self.registrations.setdefault(item.component, Registration())

    def fork(self, name, cut, committed_ms, registrations):
        """Another system with that past as its present, in one commit."""
        other = System(name)
        for component in sorted(cut):
            other.sequence += 1
            other.versions[component] = [dataclasses.replace(
                cut[component], sequence=other.sequence, committed_ms=committed_ms, event=None)]
            other.commits.append((committed_ms, other.sequence))
            other.register(component, registrations.get(component, Registration()), 0)
        other.first_sequence = max(1, other.sequence)
        return other

    def depends(self, component, on):
        """Is there a way from component to on?"""
        seen, open_ones = set(), [component]
        while open_ones:
            name = open_ones.pop()
            if name == on:
                return True
            if name not in seen:
                seen.add(name)
                open_ones += self.registrations.get(name, Registration()).depends_on
        return False


def present_in(cut):
    return {name: version for name, version in cut.items() if not version.deleted}


def root_hash(cut):
    hasher = hashlib.sha256()
    for name, version in sorted(present_in(cut).items()):
        hasher.update(name.encode() + b"\0" + hashlib.sha256(version.content).digest())
    return "sha256:" + hasher.hexdigest()


# ---- recoveries ----

@dataclasses.dataclass
class Part:
    component: str
    source: Version
    head: Version
    kept: bool
    removed: bool
    versions_lost: int = 0
    loss_ms: int = 0
    bytes_lost: int = 0


class Plan:
    """What a recovery of a system from a cut does. selected: None means all."""

    def __init__(self, system, cut, cut_ms, selected=None, head_only=False):
        self.system = system
        self.parts = []
        for name in sorted(set(cut) | set(system.versions)):
            if selected is None or name in selected:
                self.add(name, cut.get(name), system.head(name), cut_ms, head_only)

    def add(self, name, source, head, cut_ms, head_only):
        now, then = head and not head.deleted, source and not source.deleted
        if not now and not then:
            return
        same = now and then and (head.content, head.content_type) == (source.content, source.content_type)
        part = Part(name, source, head, bool(head_only or same), not then)
        if not part.kept and head:
            part.versions_lost = max(0, head.version - (source.version if source else 0))
            part.loss_ms = max(0, head.committed_ms - cut_ms) if part.versions_lost else 0
            part.bytes_lost = len(head.content or b"") if part.versions_lost else 0
        self.parts.append(part)

    def items(self):
        return [Item(part.component, None if part.removed else part.source.content,
                     "" if part.removed else part.source.content_type) for part in self.parts if not part.kept]

    def removed(self):
        return [part.component for part in self.parts if part.removed]

    def data_loss(self):
        lost = [part for part in self.parts if part.versions_lost]
        return {"ms": max((part.loss_ms for part in lost), default=0),
                "versions": sum(part.versions_lost for part in lost),
                "bytes": sum(part.bytes_lost for part in lost), "components": len(lost)}

    def depends_on(self, component):
        return self.system.registrations.get(component, Registration()).depends_on

    def waves(self):
        """Lists of names: each as early as its dependencies allow, those too that lead through what is in none."""
        there = {part.component for part in self.parts if not part.removed}
        depth = {}

        def depth_of(name):
            if name not in depth:
                depth[name] = max((depth_of(other) + (other in there) for other in self.depends_on(name)), default=0)
            return depth[name]

        waves = [[] for _ in range(max((depth_of(name) + 1 for name in there), default=0))]
        for name in sorted(there):
            waves[depth[name]].append(name)
        return waves

    def warnings(self):
        there = {part.component for part in self.parts if not part.removed}
        gone = {part.component for part in self.parts if part.removed}
        after = there | {name for name in self.system.present_names() if name not in gone}
        return sorted((name, other) for name in there for other in self.depends_on(name) if other not in after)


def with_dependencies(names, cut, depends_on, system):
    """The names and, as far as the cut holds them, what they depend on, also through what never had a state."""
    seen, selected, open_ones = set(names), set(names), sorted(names)
    while open_ones:
        for other in depends_on(open_ones.pop()):
            there = other in cut and not cut[other].deleted
            if other in seen or not (there or (other in system.registrations and not system.head(other))):
                continue
            seen.add(other)
            open_ones.append(other)
            if there:
                selected.add(other)
    return selected


# ---- differences ----

def difference(before, after):
    """{component: "added" | "removed" | "changed"} and how many are unchanged."""
    before, after = present_in(before), present_in(after)
    changes = {name: "removed" for name in before if name not in after}
    changes.update({name: "added" for name in after if name not in before})
    both = [name for name in before if name in after]
    changes.update({name: "changed" for name in both if before[name].content != after[name].content})
    return changes, len(both) - sum(1 for change in changes.values() if change == "changed")


def merge_patch(document, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def json_patch(document, patch):
    """RFC 6902, as far as what is sent and answered here uses it."""
    holder = {"": document}
    for operation in patch:
        path = operation["path"]
        if operation["op"] in ("move", "copy"):
            value = get_pointer(holder, operation["from"])
            if operation["op"] == "move":
                change_pointer(holder, operation["from"], "remove", None)
        else:
            value = operation.get("value")
        if operation["op"] == "test":
            if get_pointer(holder, path) != value:
                raise ValueError(f"test of {path} failed")
        else:
            change_pointer(holder, path, "add" if operation["op"] in ("move", "copy") else operation["op"], value)
    return holder[""]


def steps_of(pointer):
    return [""] + [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def get_pointer(holder, pointer):
    place = holder
    for step in steps_of(pointer):
        place = place[int(step)] if isinstance(place, list) else place[step]
    return place


def change_pointer(holder, pointer, operation, value):
    *steps, last = steps_of(pointer)
    place = holder
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if isinstance(place, list):
        index = len(place) if last == "-" else int(last)
        if operation == "add":
            place.insert(index, value)
        elif operation == "remove":
            del place[index]
        else:
            place[index] = value
    elif operation == "remove":
        del place[last]
    else:
        place[last] = value
