#!/usr/bin/python3
"""Archives in the hands of other programs: GNU tar and bsdtar list and unpack what was downloaded, and what they pack
again is imported into another system and restored from there. Offline: verify gives one verdict, extract writes what
an archive holds. Damage, truncation, foreign members and bombs are refused and leave nothing behind."""
import base64
import gzip
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, put_state, read_states, take_snapshot, wait_until  # noqa: E402

SYSTEM = "shop"
BODIES = {
    "agent-7": b'{"qTable":[1,2,3]}',
    "empty.bin": b"",
    "model:v2": bytes(range(256)) * 8192,
    "z" * 128: b'"a long name"',
    "twin-a": b'"the same"',
    "twin-b": b'"the same"',
}
TOOLS = {"GNU tar": "tar", "bsdtar": "bsdtar"}


def fill(client):
    for name, body in BODIES.items():
        put_state(client, SYSTEM, name, body,
                  **({} if body.startswith((b"{", b'"')) else {"Content-Type": "application/octet-stream"}))
    client.want(201, "PUT", f"/v1/systems/{SYSTEM}/components/waiting",
                json.dumps({"kind": "agent", "dependsOn": ["agent-7"], "heartbeatIntervalMs": 30000}).encode(),
                {"Content-Type": "application/json"})


def download(port, path):
    """Status, headers, body and trailers: the standard library leaves trailers out."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    reply = connection.getresponse()
    trailers = {}
    read_and_discard = reply._read_and_discard_trailer  # pylint: disable=protected-access

    def keep_trailers():
        while True:
            line = reply.fp.readline(65536)
            if line in (b"\r\n", b"\n", b""):
                return
            name, _, value = line.decode().partition(":")
            trailers[name.lower()] = value.strip()
    assert read_and_discard
    reply._read_and_discard_trailer = keep_trailers  # pylint: disable=protected-access
    body = reply.read()
    connection.close()
    return reply.status, {name.lower(): value for name, value in reply.getheaders()}, body, trailers


def import_archive(client, system, body, kind="application/x-tar", query=""):
    return client.request("POST", f"/v1/systems/{system}/snapshots/import{query}", body, {"Content-Type": kind})


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def list_states(client, system):
    """As harness.read_states, with bytes only."""
    return {name: client.want(200, "GET", f"/v1/systems/{system}/components/{name}/state").body for name in BODIES}


def files_below(path):
    return sorted(str(found.relative_to(path)) for found in pathlib.Path(path).rglob("*") if found.is_file())


def check_download(checks, server, client, snapshot):
    path = f"/v1/systems/{SYSTEM}/snapshots/{snapshot}/archive"
    status, headers, body, trailers = download(server.port, path)
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
    checks.equal("a_download_is_a_tar", (status, headers["content-type"]), (200, "application/x-tar"))
    checks.equal("it_has_a_file_name", headers["content-disposition"], f'attachment; filename="{SYSTEM}-{snapshot}.tar"')
    checks.equal("its_digest_is_announced", headers.get("trailer"), "Content-Digest")
    checks.equal("its_digest_follows", trailers.get("content-digest"), digest)
    checks.equal("the_same_snapshot_is_the_same_bytes", download(server.port, path)[2] == body, True)
    status, headers, packed, trailers = download(server.port, path + "?compress=zstd")
    checks.equal("compressed_it_says_so", (status, headers["content-type"]), (200, "application/zstd"))
    checks.check("compressed_it_is_smaller", len(packed) < len(body) // 4, (len(packed), len(body)))
    unpacked = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
    checks.check("compressed_it_is_the_same", unpacked == body)
    checks.equal("an_unknown_compression_is_refused",
                 client.request("GET", path + "?compress=lzma").code, "invalid_request")
    checks.equal("an_unknown_snapshot_is_not_found",
                 client.request("GET", f"/v1/systems/{SYSTEM}/snapshots/full-1/archive").status, 404)
    return body, packed


def check_tool(checks, client, name, tool, archive, root_hash):
    """Lists and unpacks with a tool, packs again with it, imports that into a new system and restores from there."""
    work = harness.new_directory("unpacked")
    listed = run(tool, "tf", archive)
    wanted = ["manifest.json"] + [f"states/{component}" for component in sorted(BODIES)]
    checks.equal(f"{name}: lists_it", (listed.returncode, listed.stdout.split(), listed.stderr), (0, wanted, ""))
    told = run(tool, "tvf", archive)
    checks.check(f"{name}: shows_modes", told.returncode == 0 and told.stdout.count("-rw-r-----") == len(wanted), told)
    unpacked = run(tool, "xf", archive, "-C", str(work))
    checks.equal(f"{name}: unpacks_it", (unpacked.returncode, unpacked.stderr), (0, ""))
    found = {path.name: path.read_bytes() for path in (work / "states").iterdir()}
    checks.check(f"{name}: every_state_is_a_file", found == BODIES, sorted(found))
    manifest = json.loads((work / "manifest.json").read_text(encoding="utf-8"))
    checks.equal(f"{name}: the_manifest_names_the_root_hash", manifest["rootHash"], root_hash)
    entries = {entry["component"]: entry for entry in manifest["entries"]}
    checks.equal(f"{name}: the_manifest_has_every_hash",
                 {component: entry.get("hash") for component, entry in entries.items()},
                 {**{component: "sha256:" + hashlib.sha256(body).hexdigest() for component, body in BODIES.items()},
                  "waiting": None})

    for form, flags, kind in (("plain", [], "application/x-tar"), ("gzip", ["-z"], "application/gzip"),
                              ("zstd", ["--zstd"], "application/zstd")):
        system = f"{tool}-{form}"
        again = work / f"{form}.tar"
        packed = run(tool, *flags, "-cf", str(again), "-C", str(work), "./manifest.json", "./states")
        checks.equal(f"{name} {form}: packs_it_again", packed.returncode, 0)
        reply = import_archive(client, system, again.read_bytes(), kind)
        checks.equal(f"{name} {form}: is_imported", reply.status, 201)
        if reply.status != 201:
            print(reply, flush=True)
            continue
        taken = reply.json()
        checks.equal(f"{name} {form}: has_the_same_root_hash", (taken["rootHash"], taken["trigger"], taken["kind"]),
                     (root_hash, "import", "full"))
        restored = client.request("POST", f"/v1/systems/{system}/snapshots/{taken['id']}/restore", b"{}",
                                  {"Content-Type": "application/json"})
        checks.equal(f"{name} {form}: is_restored", restored.status, 201)
        checks.check(f"{name} {form}: every_state_is_back", list_states(client, system) == BODIES)
        full = take_snapshot(client, system)
        checks.equal(f"{name} {form}: the_system_equals_the_first", full["rootHash"], root_hash)


def check_place(checks, client, packed):
    """What an import is to the rest of the service."""
    before = client.get_json(f"/v1/systems/{SYSTEM}/snapshots/latest")
    states = read_states(client, SYSTEM)
    reply = import_archive(client, SYSTEM, packed, "application/zstd", "?label=from+elsewhere")
    checks.equal("an_import_beside_its_origin_has_a_name_of_its_own", reply.status, 201)
    taken = reply.json()
    checks.check("its_id_has_a_suffix", taken["id"].startswith(before["id"] + "-"), taken["id"])
    checks.equal("it_has_the_label", taken["label"], "from elsewhere")
    checks.equal("it_is_a_generation_of_its_own", (taken["generation"], taken["parent"]), (taken["id"], None))
    checks.check("its_reason_names_the_origin", before["id"] in taken["reason"] and SYSTEM in taken["reason"], taken)
    checks.check("it_expires_by_when_it_came", taken["expiresAt"] > before["expiresAt"], taken)
    checks.equal("it_is_not_the_latest", client.get_json(f"/v1/systems/{SYSTEM}/snapshots/latest")["id"], before["id"])
    checks.equal("it_changes_no_state", read_states(client, SYSTEM), states)
    checks.check("it_is_validated", wait_until(lambda: client.get_json(
        f"/v1/systems/{SYSTEM}/snapshots/{taken['id']}")["validation"]["status"] == "valid"))
    checks.check("an_event_tells_of_it", wait_until(lambda: any(
        taken["id"] in event["text"] for event in harness.list_events(client, SYSTEM, "snapshot.imported"))))
    put_state(client, SYSTEM, "agent-7", b'{"qTable":[4]}')
    incremental = take_snapshot(client, SYSTEM, "incremental")
    checks.equal("nothing_builds_on_it", incremental["generation"], before["generation"])
    moment = import_archive(client, "moments", packed, "application/zstd").json()["completedAt"]
    checks.equal("a_moment_does_not_lead_to_it", client.request(
        "GET", f"/v1/systems/moments/components/agent-7/state?at={moment}").status, 404)
    checks.equal("a_system_of_imports_has_no_latest",
                 client.request("GET", "/v1/systems/moments/snapshots/latest").status, 404)
    checks.equal("it_can_be_deleted", client.request(
        "DELETE", f"/v1/systems/{SYSTEM}/snapshots/{taken['id']}").status, 204)


def check_refusals(checks, server, client, data, body, packed):
    def refused(name, archive, code, kind="application/x-tar", **headers):
        reply = client.request("POST", "/v1/systems/refused/snapshots/import", archive,
                               {"Content-Type": kind, **headers})
        checks.equal(f"{name}_is_refused", (reply.code, reply.status < 500), (code, True))

    evil = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(body)) as good, tarfile.open(fileobj=evil, mode="w") as made:
        for member in good:
            made.addfile(member, good.extractfile(member))
        made.addfile(tarfile.TarInfo("../../etc/cron.d/evil"), io.BytesIO(b""))
    directory = tarfile.TarInfo("states")
    directory.type = tarfile.DIRTYPE
    bomb = gzip.compress(directory.tobuf() * (80 << 11) + body, 1)  # 80 MiB before the first state
    refused("a_path_upwards", evil.getvalue(), "invalid_request")
    refused("a_bomb", bomb, "body_too_large", "application/gzip")
    refused("half_an_archive", body[:len(body) // 2], "invalid_request")
    refused("half_a_packed_archive", packed[:len(packed) // 2], "invalid_request", "application/zstd")
    changed = bytearray(body)
    changed[body.index(bytes(range(256))) + 70000] ^= 1
    refused("a_changed_byte", bytes(changed), "invalid_request")
    refused("nothing", b"", "invalid_request")
    large = harness.new_directory("large") / "large.tar"
    large.write_bytes(body + bytes(70 << 20))
    told = run("curl", "-s", "-X", "POST", "-H", "Content-Type: application/x-tar", "-T", str(large),
               f"http://127.0.0.1:{server.port}/v1/systems/refused/snapshots/import")
    checks.check("more_than_is_allowed_is_refused", '"body_too_large"' in told.stdout, told)
    told = run("curl", "-s", "-X", "POST", "-H", "Content-Type: application/x-tar", "-H", "Transfer-Encoding: chunked",
               "-T", str(large), f"http://127.0.0.1:{server.port}/v1/systems/refused/snapshots/import")
    checks.check("more_than_is_allowed_is_refused_without_a_length", '"body_too_large"' in told.stdout, told)
    refused("no_archive", b"{}", "invalid_request")
    refused("a_form", body, "unsupported_media_type", "application/x-www-form-urlencoded")
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    refused("another_digest", body, "digest_mismatch", **{"Content-Digest": f"sha-256=:{other}:"})
    checks.equal("what_is_refused_makes_no_system", client.request("GET", "/v1/systems/refused").status, 404)
    checks.equal("what_is_refused_leaves_no_file", files_below(data / "system-state-backups" / "refused")
                 if (data / "system-state-backups" / "refused").exists() else [], [])
    checks.check("the_server_still_runs", server.is_running())
    right = base64.b64encode(hashlib.sha256(body).digest()).decode()
    reply = client.request("POST", "/v1/systems/promised/snapshots/import", body,
                           {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{right}:"})
    checks.equal("the_right_digest_is_taken", reply.status, 201)


def check_offline(checks, binary, data, snapshot, body):
    def verify(*arguments):
        done = run(str(binary), "verify", *map(str, arguments))
        return done.returncode, (done.stdout.splitlines() or [""])[-1], done.stdout

    backups = data / "system-state-backups"
    file = backups / SYSTEM / f"{snapshot}.snapshot"
    before = files_below(data)
    count = len([path for path in before if path.endswith(".snapshot")])
    checks.equal("a_data_directory_is_sound", verify(data)[:2], (0, f"{count} snapshot files, {count} sound"))
    own = len(list((backups / SYSTEM).glob("*.snapshot"))) + len(list(
        (data / "incremental-state" / SYSTEM).glob("*.snapshot")))
    checks.equal("a_systems_directory_is_sound", verify(backups / SYSTEM)[:2], (0, f"{own} snapshot files, {own} sound"))
    checks.equal("the_incremental_directory_finds_its_other",
                 verify(data / "incremental-state" / SYSTEM)[:2], (0, f"{own} snapshot files, {own} sound"))
    checks.equal("one_file_is_sound", verify(file)[:2], (0, "1 snapshot file, 1 sound"))
    lines = [json.loads(line) for line in verify(data, "--json")[2].splitlines()]
    checks.equal("json_says_the_same", (len(lines), lines[-1]["sound"], lines[-1]["exitCode"]), (count + 1, count, 0))
    mirror = harness.new_directory("mirror")
    shutil.copytree(backups, mirror / "full")
    shutil.copytree(data / "incremental-state", mirror / "incremental")
    checks.equal("a_mirror_is_sound", verify(mirror)[:2], (0, f"{count} snapshot files, {count} sound"))
    (mirror / "full").rename(mirror / "here")
    (mirror / "incremental").rename(mirror / "there")
    checks.equal("a_part_without_its_fulls_is_damaged", verify(mirror / "there")[0], 1)
    checks.equal("the_other_part_can_be_named",
                 [verify(mirror / "there", "--backup-directory", mirror / "here")[:2],
                  verify(mirror / "here", "--incremental-directory", mirror / "there")[:2]],
                 2 * [(0, f"{count} snapshot files, {count} sound")])
    checks.equal("a_file_of_another_name_is_wrong_usage", run(str(binary), "verify", str(binary)).returncode, 2)
    checks.equal("a_missing_path_is_no_verdict", run(str(binary), "verify", str(data / "nowhere")).returncode, 3)
    checks.equal("an_empty_directory_is_no_verdict", verify(harness.new_directory("empty"))[0], 3)
    checks.equal("wrong_usage_is_told", [run(str(binary), "verify", *arguments).returncode for arguments in
                                         ([], ["a", "b"], ["--colour", "red"], [str(data), "--output", "x"])],
                 [2, 2, 2, 2])
    checks.equal("verify_writes_nothing", files_below(data), before)

    output = harness.new_directory("out") / "extracted"
    done = run(str(binary), "extract", str(file), "--output", str(output))
    checks.equal("a_snapshot_is_extracted", (done.returncode, done.stderr), (0, ""))
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        inside = {member.name: (tar.extractfile(member).read(), member.mtime) for member in tar}
    found = {path: ((output / path).read_bytes(), int((output / path).stat().st_mtime)) for path in files_below(output)}
    checks.check("it_is_what_the_archive_holds", found == inside, sorted(found))
    checks.equal("what_is_there_is_not_written_over",
                 run(str(binary), "extract", str(file), "--output", str(output)).returncode, 2)
    some = harness.new_directory("out") / "some"
    run(str(binary), "extract", str(file), "--output", str(some), "--component", "twin-a", "--component", "model:v2")
    checks.equal("some_components_are_extracted", files_below(some),
                 ["manifest.json", "states/model:v2", "states/twin-a"])
    checks.equal("an_unknown_component_is_told", run(str(binary), "extract", str(file), "--output", str(
        some.parent / "none"), "--component", "nobody").returncode, 2)
    check_unsigned(checks, binary, file)
    check_damaged(checks, binary, file, verify, count)


def check_unsigned(checks, binary, file):
    """Who requires a signature gets nothing out of a file that has none, salvage or not."""
    below = harness.new_directory("unsigned")
    key = below / "signing.pub"
    key.write_text("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAL/vdWKKv+om4H6mrF0qgVpmX8XGhbsgRegrlOgJPE/A=\n"
                   "-----END PUBLIC KEY-----\n", encoding="ascii")
    for more in ([], ["--salvage"]):
        done = run(str(binary), "extract", str(file), "--output", str(below / "out"), "--public-key", str(key),
                   "--require-signatures", *more)
        checks.equal("what_is_not_signed_is_not_extracted_" + ("by_salvage_either" if more else "where_it_must_be"),
                     (done.returncode, "it is not signed" in done.stderr, os.listdir(below)),
                     (1, True, ["signing.pub"]))
    checks.equal("a_signature_needs_a_key_to_be_required",
                 run(str(binary), "extract", str(file), "--output", str(below / "out"),
                     "--require-signatures").returncode, 2)


def check_damaged(checks, binary, file, verify, count):
    """A byte of one content, in the middle of the file's largest part."""
    good = file.read_bytes()
    bad = bytearray(good)
    at = good.index(BODIES["agent-7"])
    bad[at + 3] ^= 1
    file.write_bytes(bad)
    code, verdict, text = verify(file.parent.parent.parent)
    checks.equal("damage_is_found", (code, verdict), (1, f"{count} snapshot files, {count - 1} sound, 1 damaged"))
    checks.check("the_damaged_file_is_named", f"damaged    {SYSTEM}/{file.name}: " in text, text)
    output = harness.new_directory("out") / "salvaged"
    done = run(str(binary), "extract", str(file), "--output", str(output), "--salvage")
    checks.equal("the_rest_is_salvaged", (done.returncode, files_below(output / "states")),
                 (1, sorted(set(BODIES) - {"agent-7"})))
    checks.check("what_is_lost_is_named", "lost: agent-7 version 1" in done.stderr, done.stderr)
    stopped = run(str(binary), "extract", str(file), "--output", str(output.parent / "stopped"))
    checks.equal("without_salvage_damage_ends_it", (stopped.returncode, os.listdir(output.parent)), (1, ["salvaged"]))
    done = run(str(binary), "extract", str(file), "--output", str(output.parent / "stopped"), "--salvage")
    checks.equal("the_advised_salvage_works_at_the_same_path", (done.returncode, "1 lost" in done.stdout), (1, True))
    manifest = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    checks.equal("its_manifest_lists_what_was_written",
                 (manifest["salvaged"], manifest["components"],
                  sorted(entry["component"] for entry in manifest["entries"] if "file" in entry)),
                 (True, len(BODIES) - 1, sorted(set(BODIES) - {"agent-7"})))
    checks.check("and_has_the_root_hash_of_that", manifest["rootHash"] != manifest["originalRootHash"], manifest)
    check_salvaged(checks, binary, output)
    bad = bytearray(good[:len(good) - 100])
    file.write_bytes(bad)
    checks.equal("a_truncated_file_is_damaged", verify(file)[0], 1)
    file.write_bytes(good)
    stray = file.with_name("full-20200101T000000Z-1.snapshot")
    shutil.copy(file, stray)
    code, verdict, text = verify(stray)
    checks.equal("a_sound_file_of_another_name_is_misplaced", (code, verdict),
                 (1, "1 snapshot file, 0 sound, 1 under another name"))
    checks.check("it_is_told_whose_it_is",
                 text.startswith(f"misplaced  {SYSTEM}/{stray.name}: it is the sound file of {SYSTEM}/{file.stem};"), text)
    bad = bytearray(good)
    bad[good.index(BODIES["agent-7"]) + 3] ^= 1
    stray.write_bytes(bad)
    checks.equal("a_damaged_one_is_damaged", verify(stray)[:2], (1, "1 snapshot file, 0 sound, 1 damaged"))
    stray.unlink()
    if os.geteuid() != 0:
        file.chmod(0)
        checks.equal("a_file_that_cannot_be_read_is_no_verdict", verify(file)[0], 3)
        file.chmod(0o640)


def check_salvaged(checks, binary, output):
    """What a salvage wrote, packed as it is, is an archive like any other."""
    packed = output.parent / "salvaged.tar"
    subprocess.run(["tar", "-cf", packed, "-C", output, "manifest.json", "states"], check=True)
    server = Server(binary, harness.new_directory())
    client = server.client()
    taken = import_archive(client, "saved", packed.read_bytes())
    checks.equal("a_salvaged_extract_is_imported", taken.status, 201)
    client.want(201, "POST", f"/v1/systems/saved/snapshots/{taken.json()['id']}/restore", b"{}",
                {"Content-Type": "application/json"})
    left = {name: body for name, body in BODIES.items() if name != "agent-7"}
    checks.check("and_restored", left == {name: client.want(
        200, "GET", f"/v1/systems/saved/components/{name}/state").body for name in left})
    server.stop()


def archives(checks, binary):
    data = harness.new_directory()
    server = Server(binary, data, "--max-import-bytes", "64MiB")
    client = server.client()
    fill(client)
    snapshot = take_snapshot(client, SYSTEM)
    body, packed = check_download(checks, server, client, snapshot["id"])
    archive = harness.new_directory("archive") / "a.tar"
    archive.write_bytes(body)
    for name, tool in TOOLS.items():
        if shutil.which(tool):
            check_tool(checks, client, name, tool, str(archive), snapshot["rootHash"])
        else:
            checks.skip(name, f"{tool} is not installed")
    check_place(checks, client, packed)
    check_refusals(checks, server, client, data, body, packed)
    server.stop()
    check_offline(checks, binary, data, snapshot["id"], body)


def rebuild(checks, binary):
    """After the database is lost, imports are neither what a system is rebuilt from nor forgotten."""
    data = harness.new_directory()
    server = Server(binary, data)
    client = server.client()
    fill(client)
    snapshot = take_snapshot(client, SYSTEM)
    body = download(server.port, f"/v1/systems/{SYSTEM}/snapshots/latest/archive")[2]
    put_state(client, SYSTEM, "agent-7", b'{"qTable":[9]}')
    take_snapshot(client, SYSTEM)
    mine = import_archive(client, SYSTEM, body).json()["id"]
    alone = import_archive(client, "alone", body).json()["id"]
    client.close()
    server.kill9()
    for path in data.glob("holdfast.db*"):
        path.unlink()
    server = Server(binary, data)
    client = server.client()
    checks.equal("the_own_snapshot_is_what_came_back", client.want(
        200, "GET", f"/v1/systems/{SYSTEM}/components/agent-7/state").body, b'{"qTable":[9]}')
    checks.equal("a_system_of_imports_alone_comes_back_empty",
                 client.get_json("/v1/systems/alone")["components"], 0)
    for system, name in ((SYSTEM, mine), ("alone", alone)):
        row = client.get_json(f"/v1/systems/{system}/snapshots/{name}")
        checks.equal(f"{system}: the_import_is_still_there", (row["trigger"], row["rootHash"]),
                     ("import", snapshot["rootHash"]))
        client.want(201, "POST", f"/v1/systems/{system}/snapshots/{name}/restore", b"{}",
                    {"Content-Type": "application/json"})
        checks.check(f"{system}: it_is_restored", list_states(client, system) == BODIES)
    server.stop()


def signatures(checks, binary):
    """A signature is over system and id: an archive keeps it, an import gets one of the service that took it in, and
    a trusted one that does not fit is refused. Encrypted or not makes no difference to an archive."""
    keys = harness.new_directory("keys")
    for name in ("one", "two"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", keys / name], check=True,
                       capture_output=True)
        (keys / name).chmod(0o600)
        subprocess.run(["openssl", "pkey", "-in", keys / name, "-pubout", "-out", keys / f"{name}.pub"], check=True)
    (keys / "secret").write_text(os.urandom(32).hex() + "\n", encoding="utf-8")
    (keys / "secret").chmod(0o600)
    data, other = harness.new_directory(), harness.new_directory()
    server = Server(binary, data, "--signing-key-file", str(keys / "one"), "--encryption-key-file",
                    str(keys / "secret"))
    client = server.client()
    fill(client)
    snapshot = take_snapshot(client, SYSTEM)
    body = download(server.port, f"/v1/systems/{SYSTEM}/snapshots/latest/archive")[2]
    server.stop()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
    checks.check("an_archive_has_the_signature", manifest.get("signedBy") and manifest.get("signature"), manifest)

    file = data / "system-state-backups" / SYSTEM / f"{snapshot['id']}.snapshot"
    key = ["--encryption-key-file", str(keys / "secret")]
    checks.equal("without_the_key_there_is_no_verdict", run(binary, "verify", str(file)).returncode, 3)
    checks.equal("with_the_key_it_is_sound", run(binary, "verify", str(file), *key).returncode, 0)
    told = run(binary, "verify", str(file), *key, "--public-key", str(keys / "one.pub"))
    checks.check("its_signature_is_told", told.returncode == 0 and ", signed\n" in told.stdout and
                 told.stdout.endswith("1 sound\n"), told)
    told = run(binary, "verify", str(file), *key, "--public-key", str(keys / "two.pub"))
    checks.check("another_key_proves_nothing", told.stdout.endswith("1 without a signature of this key\n"), told)
    required = run(binary, "verify", str(file), *key, "--public-key", str(keys / "two.pub"), "--require-signatures")
    checks.check("a_signature_can_be_required", required.returncode == 1 and "not trusted" in required.stdout, required)
    required = run(binary, "verify", str(file), *key, "--public-key", str(keys / "one.pub"), "--require-signatures")
    checks.equal("and_is_there", required.returncode, 0)
    checks.equal("without_a_key_that_means_nothing",
                 run(binary, "verify", str(file), *key, "--require-signatures").returncode, 2)
    output = harness.new_directory("out") / "extracted"
    run(binary, "extract", str(file), *key, "--output", str(output))
    checks.equal("an_encrypted_snapshot_is_extracted", {path.name: path.read_bytes() for path in
                                                         (output / "states").iterdir()}, BODIES)

    server = Server(binary, other, "--signing-key-file", str(keys / "two"), "--trusted-keys-file",
                    str(keys / "one.pub"))
    client = server.client()
    forged = json.dumps({**manifest, "id": "full-20200101T000000Z-6"}).encode()
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(body)) as good, tarfile.open(fileobj=made, mode="w") as tar:
        for member in good:
            content = forged if member.name == "manifest.json" else good.extractfile(member).read()
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    refused = import_archive(client, SYSTEM, made.getvalue())
    checks.check("a_signature_that_does_not_fit_is_refused", refused.code == "invalid_request" and
                 b"signature" in refused.body, refused)
    taken = import_archive(client, "elsewhere", body).json()
    checks.check("the_event_tells_whose_it_was", wait_until(lambda: any(
        "signed with a trusted key" in event["text"]
        for event in harness.list_events(client, "elsewhere", "snapshot.imported"))))
    path = f"/v1/systems/elsewhere/snapshots/{taken['id']}"
    checks.check("the_import_is_valid", wait_until(
        lambda: client.get_json(path)["validation"]["status"] == "valid"), client.get_json(path))
    server.stop()
    file = other / "system-state-backups" / "elsewhere" / f"{taken['id']}.snapshot"
    told = run(binary, "verify", str(file), "--public-key", str(keys / "two.pub"))
    checks.check("it_is_signed_by_who_took_it_in", ", signed\n" in told.stdout, told)
    check_required(checks, binary, keys, body)


def check_required(checks, binary, keys, body):
    """Where signatures are required, an archive of an unknown key is not taken, and one of a trusted key is."""
    for trusted, status in ((None, 400), ("one.pub", 201)):
        server = Server(binary, harness.new_directory(), "--signing-key-file", str(keys / "two"),
                        "--require-signatures", "true",
                        *(["--trusted-keys-file", str(keys / trusted)] if trusted else []))
        client = server.client()
        answer = import_archive(client, "elsewhere", body)
        checks.check(f"{trusted}: required_signatures_decide", answer.status == status and
                     (status == 201 or b"not trusted here" in answer.body), answer)
        server.stop()


if __name__ == "__main__":
    sys.exit(harness.run(archives, rebuild, signatures))
