"""Recoveries: from snapshots, instants and the present, planned and applied, and what components report to them."""
from comparing import Comparing, Moment
from driver import Mismatch, expect, pick, to_ms
from model import Plan, present_in, with_dependencies


class Recovering(Comparing):

    def recover(self, rng):
        system = self.system(rng)
        if not system or not system.versions:
            return
        moment = self.random_moment(rng, system, "snapshot", "snapshot", "latest", "at", "at", "now")
        dry, partial, along = rng.random() < 0.35, rng.random() < 0.4, rng.random() < 0.5
        latest = rng.random() < 0.15
        body = {"source": {"now": "head", "sequence": "head"}.get(moment.kind, moment.kind), "dryRun": dry,
                "reason": f"step {self.step}"}
        if moment.kind in ("snapshot", "at"):
            body[moment.kind] = moment.text()
        if latest and system.snapshots:
            moment = Moment("latest")
            body = {"source": "snapshot", "snapshot": "latest", "dryRun": dry, "reason": f"step {self.step}"}
        if body["source"] == "head":
            moment = Moment("now")
        names = sorted(present_in(system.at(moment.sequence(system)))) if moment.kind != "latest" else []
        chosen = sorted({pick(rng, names) for _ in range(rng.randrange(1, 4))}) if partial and names else None
        if chosen:
            body.update(components=chosen, includeDependencies=along)
        self.note(f"recovery of {system.name}: {body}")
        self.restoring = system
        reply, heard = self.make(system, f"/v1/systems/{system.name}/recoveries", body, 201)
        if reply.status == 201:
            self.check_recovery(system, reply.json(), moment, chosen, bool(chosen) and along, body, heard)
        else:
            self.recovery_refused(system, moment, chosen, reply)

    def recovery_refused(self, system, moment, chosen, reply):
        """Only where history was trimmed, and the nearest snapshot does not hold what was asked for."""
        if reply.status != 404 or moment.kind != "at":
            raise Mismatch(f"recovery of {system.name} from {moment}: {reply!r}")
        self.expect_nothing(f"recovery of {system.name} from {moment}", system, moment, moment.sequence(system),
                            lambda cut: not set(chosen or ()) <= set(cut))

    def make(self, system, path, body, status):
        """The reply, and whether it came at once. Lost, it is asked for again with its key: then it is what the first
        request made, where that is in."""
        headers = {"Idempotency-Key": f"recovery-{self.step}"}
        reply = self.send("POST", path, body, headers)
        if reply is not None:
            if reply.status == status:
                system.recovery_keys.append((path, body, headers, status, reply.json()["id"]))
            return reply, True
        self.counts["lost answers"] += 1
        before = self.get_all(f"/v1/systems/{system.name}/recoveries", "recoveries")
        epoch = self.get_json(f"/v1/systems/{system.name}")["epoch"]
        reply = self.client.request("POST", path, body, headers)
        if reply.status != status:
            expect(f"epoch where {path} was refused", epoch, system.epoch)
            return reply, False
        answer = reply.json()
        system.recovery_keys.append((path, body, headers, status, answer["id"]))
        made = [recovery for recovery in before if recovery["reason"] == body["reason"]]
        if epoch > system.epoch or (made and made[0]["status"] != "planned"):
            expect(f"the recovery that {path} made", (answer["id"], answer["status"]),
                   (made[0]["id"], made[0]["status"]))
            self.counts["in although the answer was lost"] += 1
        elif made:
            expect(f"the plan that {path} made or applied", answer["id"], made[0]["id"])
        return reply, False

    def repeat_recovery(self, rng):
        """The same key and body get the same recovery and change nothing; another body is refused."""
        system = self.system(rng)
        known = pick(rng, system.recovery_keys) if system else None
        other = rng.random() < 0.3
        if not known:
            return
        path, body, headers, status, made = known
        self.note(f"{path} with {headers['Idempotency-Key']} again, another body: {other}")
        if other:
            self.refused(("POST", path, {**body, "reason": "another"}, headers), 422, "idempotency_key_reused")
            return
        reply = self.send("POST", path, body, headers)
        if reply is not None:
            expect(f"{path} again", (reply.status, reply.json()["id"]), (status, made))
            self.counts["repeated recoveries"] += 1
        self.check_system(system)
        self.check_components(system)

    def check_recovery(self, system, answer, moment, chosen, along, body, heard):
        what = f"recovery {answer['id']} of {system.name}"
        if moment.kind == "latest":
            newest = max(snapshot.sequence for snapshot in system.snapshots.values())
            self.refresh_snapshots(system)
            moment = Moment("snapshot", answer["snapshot"])
            if system.snapshots[moment.value].sequence < newest:
                raise Mismatch(f"{what}: latest is {moment.value}, but there is one of sequence {newest}")
        cut, cut_ms = self.used_cut(what, system, moment, answer["cut"])
        selected = set(chosen) if chosen else None
        if along:
            told = answer["cut"]["snapshot"]
            # Of what a snapshot does not hold, what is registered now counts.
            known = {name: registration.depends_on for name, registration in system.registrations.items()}
            if told:
                known.update(system.snapshots[told].depends_on)
            selected = with_dependencies(chosen, cut, lambda name: known.get(name, ()), system)
        head_only = body["source"] == "head"
        plan = Plan(system, cut, cut_ms, selected, head_only)
        self.compare_plan(what, system, answer, plan)
        if head_only or body["dryRun"]:
            wanted = "planned" if body["dryRun"] else "pending" if plan.parts else "completed"
            expect(f"{what}: status", (answer["status"], answer["epoch"], answer["sequenceAfter"]),
                   (wanted, system.epoch, system.sequence))
            if wanted == "planned" and not head_only:
                system.plans.append({"id": answer["id"], "moment": moment, "at": (system.sequence, system.epoch),
                                     "selected": selected})
            self.counts[f"recoveries {answer['status']}"] += 1
            if wanted == "pending":
                system.recoveries[answer["id"]] = {part.component for part in plan.parts}
            return
        self.applied(what, system, answer, plan, heard)

    def compare_plan(self, what, system, answer, plan):
        expect(f"{what}: sequence before", answer["sequenceBefore"], system.sequence)
        waves = [[part["component"] for part in wave] for wave in answer["waves"]]
        expect(f"{what}: waves", waves, plan.waves())
        expect(f"{what}: removed", answer["removed"], plan.removed())
        expect(f"{what}: data loss", answer["dataLoss"], plan.data_loss())
        expect(f"{what}: warnings",
               sorted((warning["component"], warning["dependency"]) for warning in answer["warnings"]),
               plan.warnings())
        expect(f"{what}: skipped and lost", (answer["skipped"], answer["lost"], answer["salvage"]), ([], [], None))
        parts = {part.component: part for part in plan.parts}
        for told in (entry for wave in answer["waves"] for entry in wave):
            part = parts[told["component"]]
            before = part.head.version if part.head else 0
            source = part.head if part.source is None else part.source
            expect(f"{what}: source of {part.component}", told["sourceVersion"], source.version)
            expect(f"{what}: {part.component}",
                   (told["version"], told["restoredVersion"], told["hash"], told["bytes"], told["versionsLost"],
                    told["dataLossMs"], told["bytesLost"]),
                   (before, before + (not part.kept), source.hash, len(source.content), part.versions_lost,
                    part.loss_ms, part.bytes_lost))

    def applied(self, what, system, answer, plan, heard):
        items = plan.items()
        expect(f"{what}: status", (answer["status"], answer["epoch"], answer["sequenceAfter"]),
               ("applied", system.epoch + 1, system.sequence + len(items)))
        committed_ms = 0
        if items:
            listed = self.newest_version(system.name, items[0].component)
            committed_ms = self.check_committed(system, to_ms(listed["committedAt"]))
        system.apply(items, committed_ms, raise_epoch=True)
        self.check_system(system)
        self.check_components(system)
        if heard:
            self.hope_for(system.name, "recovery.applied", recovery=answer["id"], epoch=system.epoch)
        system.recoveries[answer["id"]] = {part.component for part in plan.parts if not part.removed}
        self.counts["recoveries applied"] += 1
        self.counts["states restored"] += len(items)

    def apply_plan(self, rng):
        system, force = self.system(rng), rng.random() < 0.5
        plan = pick(rng, system.plans) if system else None
        if not plan:
            return
        moved = plan["at"] != (system.sequence, system.epoch)
        path = f"/v1/systems/{system.name}/recoveries/{plan['id']}"
        self.note(f"apply {path}, moved {moved}, force {force}, {plan['moment']}")
        self.restoring = system
        reply, heard = self.make(system, f"{path}/apply", {"force": force, "reason": f"step {self.step}"}, 200)
        if moved and not force:
            expect(f"apply of {path}", (reply.status, reply.code), (409, "plan_changed"))
            self.counts["plans refused"] += 1
            return
        if reply.status != 200:
            self.plan_refused(system, plan, reply)
            return
        answer = reply.json()
        expect(f"apply of {path}", answer["id"], plan["id"])
        cut, cut_ms = self.used_cut(f"plan {plan['id']}", system, plan["moment"], answer["cut"])
        system.plans.remove(plan)
        self.applied(f"plan {plan['id']} of {system.name}", system, answer,
                     Plan(system, cut, cut_ms, plan["selected"]), heard)
        self.counts["plans applied"] += 1
        if heard:
            self.refused(("POST", f"{path}/apply", {"force": force}), 409, "conflict")

    def plan_refused(self, system, plan, reply):
        """Its history may have been trimmed since."""
        moment = plan["moment"]
        sequence = moment.sequence(system)
        if moment.kind == "at" and self.may_have_left_history(system, moment, sequence) and \
                (reply.code == "plan_changed" or reply.status == 404):
            self.counts["plans whose history went"] += 1
            return
        raise Mismatch(f"plan {plan['id']} of {system.name} ({moment}): {reply!r}")

    def report(self, rng):
        """Components tell that they came up; with the last one the recovery is completed."""
        system, dice = self.system(rng), rng.random()
        recovery = pick(rng, sorted(system.recoveries)) if system else None
        if not recovery:
            return
        waiting = system.recoveries[recovery]
        path = f"/v1/systems/{system.name}/recoveries/{recovery}"
        self.note(f"reports to {path} of {sorted(waiting)}")
        for component in sorted(waiting)[:None if dice < 0.7 else 1]:
            reply = self.send("PUT", f"{path}/components/{component}", {"status": "restored", "durationMs": 5})
            if reply is None:
                if self.get_json(path)["progress"]["pending"] < len(waiting):
                    waiting.discard(component)
                break
            waiting.discard(component)
            expect(f"report to {path}", (reply.status, reply.json()["status"]), (200, "restored"))
        found = self.get_json(path)
        expect(f"pending of {path}", found["progress"]["pending"], len(waiting))
        if not waiting:
            del system.recoveries[recovery]
            if found["progress"]["total"]:
                expect(f"status of {path}", found["status"], "completed")
                self.counts["recoveries reported"] += 1
