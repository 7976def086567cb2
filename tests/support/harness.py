"""What the black-box tests share: the real server as a process, a client, a database, and counted checks.

Nothing here knows how the server works inside: it starts the binary, speaks HTTP, sends signals and looks at files.
"""
import atexit
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

from private_postgres import Postgres

PATIENCE_SECONDS = 120  # a bound that only a hang reaches
KILLED = 137           # exit status of a fault point with the action exit
REPORTS = ("Sanitizer: ", "runtime error: ", "assertion failed: ", "Assertion `")
LISTENS = re.compile(r"listens on http://([^:\s]+|\[[^\]]+\]):(\d+)")


class Checks:
    """Prints one line a check and the sum at the end."""

    def __init__(self):
        self.passed = self.failed = 0
        self.lock = threading.Lock()  # protects the two and the terminal

    def check(self, name, good, detail=""):
        with self.lock:
            if good:
                self.passed += 1
                print(f"ok     {name}", flush=True)
            else:
                self.failed += 1
                print(f"FAILED {name}{': ' if detail != '' else ''}{detail}", flush=True)
        return bool(good)

    def equal(self, name, found, wanted):
        return self.check(name, found == wanted, f"found {shorten(found)}, wanted {shorten(wanted)}")

    def skip(self, name, reason):
        self.check(f"{name} (skipped: {reason})", True)


def shorten(value, limit=600):
    text = repr(value)
    return text if len(text) <= limit else text[:limit] + "…"


class Failure(Exception):
    """The test cannot go on: what it stands on is not there."""


class Lost(Exception):
    """The connection broke before the whole answer was there: the outcome is not known."""


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Failure(f"not JSON: {self.status} {self.body[:200]!r}") from error

    @property
    def code(self):
        """The code of a problem; "" when it is none."""
        if not self.headers.get("Content-Type", "").startswith("application/problem+json"):
            return ""
        return self.json().get("code", "")

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Client:
    """One keep-alive connection, for one thread; a new one after a failure."""

    def __init__(self, port, timeout=PATIENCE_SECONDS):
        self.port = port
        self.timeout = timeout
        self.connection = None

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def request(self, method, path, body=None, headers=None):
        """Never repeats a request. Lost when there is no whole answer."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        try:
            if not self.connection:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
            self.connection.request(method, path, body=body, headers=headers or {})
            answer = self.connection.getresponse()
            content = answer.read()
            if answer.will_close:
                self.close()
            return Reply(answer.status, answer.headers, content)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Lost(f"{method} {path}: {error!r}") from error

    def want(self, status, method, path, body=None, headers=None):
        reply = self.request(method, path, body, headers)
        if reply.status != status:
            raise Failure(f"{method} {path}: wanted {status}, got {reply!r}")
        return reply

    def get_json(self, path):
        return self.want(200, "GET", path).json()

    def get_all(self, path, member):
        """All pages of a list."""
        found, cursor = [], None
        separator = "&" if "?" in path else "?"
        while True:
            page = self.get_json(f"{path}{separator}limit=1000" + (f"&cursor={urllib.parse.quote(cursor)}"
                                                                   if cursor else ""))
            found += page[member]
            cursor = page.get("nextCursor")
            if not cursor:
                return found


class Server:
    """One holdfast-server. Its log goes to a file, so that a full pipe never stops it."""

    started = []

    def __init__(self, binary, data, *flags, fault=None, database_url=None, port=0, wait=True, timeout=120):
        self.data = pathlib.Path(data)
        self.log_path = pathlib.Path(tempfile.mkstemp(prefix="server-", suffix=".log", dir=scratch())[1])
        self.expected_to_die = fault is not None
        self.port = port
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("PERSISTENCE_")
                       and name not in ("DATABASE_URL", "POSTGRES_URL", "HOLDFAST_FAULT")}
        environment["PERSISTENCE_LOOPS"] = "2"  # also where processors are few
        environment["PERSISTENCE_STORE_TIMEOUT"] = "60000"  # whose subject that is says another
        if fault:
            environment["HOLDFAST_FAULT"] = fault
        if database_url:
            environment["DATABASE_URL"] = database_url
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [binary, "--listen", f"127.0.0.1:{port}", "--data-directory", str(data), *flags],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environment)
        Server.started.append(self)
        if wait and not self.wait_until_serving(timeout):
            raise Failure(f"the server did not start (status {self.process.poll()}):\n{self.log()[-3000:]}")

    def wait_until_serving(self, timeout=120):
        """True when it said where it listens; False when it ended or said nothing."""
        deadline = time.monotonic() + timeout
        text = b""
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.2)
            if not ready:
                continue
            data = os.read(self.process.stdout.fileno(), 4096)
            if not data:
                self.wait(timeout)
                return False
            text += data
            found = LISTENS.search(text.decode("utf-8", "replace"))
            if found:
                self.port = int(found.group(2))
                return True
        return False

    def client(self, timeout=PATIENCE_SECONDS):
        return Client(self.port, timeout)

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def kill9(self):
        self.expected_to_die = True
        self.process.kill()
        self.wait(None)

    def send_signal(self, number):
        self.expected_to_die = True
        self.process.send_signal(number)

    def wait(self, timeout=PATIENCE_SECONDS):
        """The exit status; None when it still runs after timeout."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self.process.stdout.close()  # a long run starts more servers than it may hold pipes
        return status

    def stop(self, number=signal.SIGTERM, timeout=PATIENCE_SECONDS):
        """Ends it in order and returns its exit status; None when it hung (and was killed)."""
        self.send_signal(number)
        status = self.wait(timeout)
        if status is None:
            self.kill9()
        return status

    def is_running(self):
        return self.process.poll() is None

    def memory_kib(self, field="VmRSS"):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise Failure(f"no {field}")

    def reports(self):
        return [line for line in self.log().splitlines() if any(report in line for report in REPORTS)]


def check_servers(checks):
    """Nothing that was started died by itself or was caught by a sanitizer."""
    bad = []
    for server in Server.started:
        if server.reports():
            log = server.log()
            bad.append(f"{server.log_path.name}: {log[log.index(server.reports()[0]):][:4000]}")
        status = server.process.poll()
        if status is not None and not server.expected_to_die:
            bad.append(f"{server.log_path.name}: ended by itself with {status}: {server.log()[-1500:]}")
    checks.check("no_server_died_by_itself_or_was_caught_by_a_sanitizer", not bad, "\n  ".join(bad))


def end_servers():
    for server in Server.started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


# ---- places ----

_scratch = None


def scratch():
    """A directory that is gone when the test ends."""
    global _scratch
    if not _scratch:
        _scratch = tempfile.mkdtemp(prefix="holdfast-black-box-")
        os.chmod(_scratch, 0o755)  # PostgreSQL's own user passes through
        atexit.register(shutil.rmtree, _scratch, True)
    return _scratch


def new_directory(name="data"):
    return pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=scratch()))


def enter_own_mounts():
    """Runs this program again in a mount namespace of its own, so that the mount ends with it. False: not possible."""
    if os.environ.get("HOLDFAST_TEST_OWN_MOUNTS"):
        return True
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "--propagation", "private", "true"], check=False,
                                           capture_output=True).returncode != 0:
        return False
    os.environ["HOLDFAST_TEST_OWN_MOUNTS"] = "1"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])


def find_temporary(data):
    return sorted(str(path) for path in pathlib.Path(data).rglob(".tmp-*"))


def find_left(*directories):
    """Temporary files that stay: what is being written at this moment, in the background too, has one that goes."""
    def find():
        return {path for directory in directories for path in find_temporary(directory)}
    found = find()
    wait_until(lambda: not found & find())
    return sorted(found & find())


def snapshot_path(data, snapshot):
    folder = "system-state-backups" if snapshot["kind"] == "full" else "incremental-state"
    return pathlib.Path(data) / folder / snapshot["file"]


# ---- databases ----

class StoppablePostgres(Postgres):
    """A PostgreSQL of our own that can go away and come back on the same port."""

    def start(self):
        self.url = super().start()
        parts = urllib.parse.urlsplit(self.url)
        self.port, self.password = parts.port, parts.password
        self.command = self.process.args
        return self.url

    def family(self):
        """The postmaster and its children. Each child is a session of its own, so parents are asked."""
        family = [self.process.pid]
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == self.process.pid and fields[0] not in "ZX":
                    family.append(int(stat.parent.name))
        return family

    def signal_family(self, number):
        for pid in self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop_fast(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_SECONDS)

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def start_again(self):
        """What is left of a killed one holds its shared memory for a moment: tried until it is gone."""
        for _ in range(60):
            self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, cwd=self.directory,
                                            start_new_session=True, **self.as_user)
            if self.answers(self.port, self.password):
                return
            time.sleep(0.5)
        raise Failure("PostgreSQL did not start again")


_postgres = None


def own_postgres():
    """One PostgreSQL for the whole test program."""
    global _postgres
    if not _postgres:
        _postgres = StoppablePostgres(os.path.join(scratch(), "postgres"))
        _postgres.start()
        atexit.register(_postgres.stop)
    return _postgres


def new_database():
    """The URL of an empty database: on the runner's PostgreSQL, else on one of our own."""
    url = os.environ.get("HOLDFAST_TEST_POSTGRES_URL") or own_postgres().url
    name = f"crash_{os.getpid()}_{random.getrandbits(40):x}"
    run_psql(url, f"CREATE DATABASE {name}")
    atexit.register(drop_database, url, name)
    return urllib.parse.urlunsplit(urllib.parse.urlsplit(url)._replace(path="/" + name))


def drop_database(url, name):
    end_servers()
    with contextlib.suppress(Failure):
        run_psql(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def run_psql(url, sql):
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url, "-c", sql], check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(f"psql: {done.stderr}")
    return done.stdout.strip()


# ---- states ----

def label(body):
    return "sha256:" + hashlib.sha256(body).hexdigest()


def etag_of(version, content, epoch):
    return f'"{version}-{content[7:23]}"' if epoch == 1 else f'"{version}-{content[7:23]}-{epoch}"'


def put_state(client, system, component, body, **headers):
    """The receipt of an upload that must succeed."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = client.request("PUT", f"/v1/systems/{system}/components/{component}/state", body, headers)
    if reply.status not in (200, 201):
        raise Failure(f"upload of {component}: {reply!r}")
    return reply.json()


def take_snapshot(client, system, kind="full"):
    reply = client.request("POST", f"/v1/systems/{system}/snapshots", {"kind": kind})
    if reply.status not in (200, 201):
        raise Failure(f"snapshot: {reply!r}")
    return reply.json()


def read_states(client, system):
    """{component: (hash, content type)} of all present states, each read and hashed here."""
    states = {}
    for component in client.get_all(f"/v1/systems/{system}/components", "components"):
        reply = client.request("GET", f"/v1/systems/{system}/components/{component['name']}/state")
        if reply.status == 404:
            continue
        if reply.status != 200:
            raise Failure(f"{component['name']}: {reply!r}")
        found = label(reply.body)
        if found != component["hash"] or reply.headers["ETag"] != etag_of(component["version"], found,
                                                                            int(reply.headers["State-Epoch"])):
            raise Failure(f"{component['name']}: listed {component['hash']} version {component['version']}, read {found} "
                          f"with ETag {reply.headers['ETag']}")
        states[component["name"]] = (found, reply.headers["Content-Type"])
    return states


def read_versions(client, system, component):
    """Oldest first."""
    path = f"/v1/systems/{system}/components/{component}/versions"
    reply = client.request("GET", path + "?limit=1")
    if reply.status == 404:
        return []
    return list(reversed(client.get_all(path, "versions")))


def list_snapshots(client, system):
    reply = client.request("GET", f"/v1/systems/{system}/snapshots?limit=1")
    return [] if reply.status == 404 else client.get_all(f"/v1/systems/{system}/snapshots", "snapshots")


def list_events(client, system, event_type=None):
    found, after = [], 0
    while True:
        page = client.get_json(f"/v1/systems/{system}/events?limit=1000&after={after}")["events"]
        if not page:
            return [event for event in found if event_type in (None, event["type"])]
        found += page
        after = page[-1]["id"]


def wait_until(what, timeout=PATIENCE_SECONDS, pause=0.05):
    """Whether what() became true. The bound is only there so that a hang fails."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(pause)
    return bool(what())


def has_fault_points(binary):
    return b"recovery_after_commit" in pathlib.Path(binary).read_bytes()


def find_binary(given=None):
    binary = given or os.environ.get("HOLDFAST_SERVER") or os.environ.get("HOLDFAST_TEST_SERVER")
    if not binary or not os.access(binary, os.X_OK):
        raise SystemExit("give the path of holdfast-server as the first argument")
    return os.path.abspath(binary)


def run(*tests, arguments=None):
    """Runs the parts of one test program, each given (checks, binary), and ends the process. arguments: parsed ones
    with a member server; else the binary is the first argument."""
    binary = find_binary(arguments.server if arguments else sys.argv[1] if len(sys.argv) > 1 else None)
    checks = Checks()
    for test in tests:
        try:
            test(checks, binary)
        except Exception as error:  # pylint: disable=broad-except  # whatever it is: the other parts still run
            expected = isinstance(error, (Failure, Lost))
            checks.check(f"{test.__name__}_ran_to_its_end", False, str(error) if expected else traceback.format_exc())
            for server in Server.started[-2:]:
                print(f"    last lines of {server.log_path.name}:\n" + server.log()[-2500:], flush=True)
    check_servers(checks)
    end_servers()
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    sys.exit(1 if checks.failed else 0)
