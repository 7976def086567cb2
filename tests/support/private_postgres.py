"""A PostgreSQL server of our own for tests and benchmarks, and ending what was started."""
import contextlib
import glob
import os
import pathlib
import pwd
import random
import secrets
import signal
import socket
import subprocess
import time


class Postgres:
    """One PostgreSQL server of our own: temporary directory, free port, random password."""

    def __init__(self, directory):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
        if not found:
            raise SystemExit("PostgreSQL is missing; run scripts/install-deps --test")
        self.binaries = os.path.dirname(found[-1])
        self.directory = directory
        # The server refuses to run as root.
        self.as_user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self.process = None

    def start(self):
        password = secrets.token_hex(12)
        os.mkdir(self.directory, 0o700)
        password_file = os.path.join(self.directory, "password")
        pathlib.Path(password_file).write_text(password, encoding="ascii")
        if self.as_user:
            owner = pwd.getpwnam("postgres")
            for path in (self.directory, password_file):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        data = os.path.join(self.directory, "data")
        subprocess.run([f"{self.binaries}/initdb", "-D", data, "-U", "holdfast", "-E", "UTF8", "--locale=C",
                        "--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync"],
                       check=True, stdout=subprocess.DEVNULL, cwd=self.directory, **self.as_user)
        self.log = open(os.path.join(self.directory, "log"), "w+", encoding="utf-8", errors="replace")
        for _ in range(5):  # the port found free may be taken by the time it is bound
            port = free_port()
            self.process = subprocess.Popen(
                [f"{self.binaries}/postgres", "-D", data, "-k", self.directory, "-p", str(port),
                 "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "shared_buffers=64MB"],
                stdout=self.log, stderr=self.log, cwd=self.directory, start_new_session=True, **self.as_user)
            if self.answers(port, password):
                return f"postgresql://holdfast:{password}@127.0.0.1:{port}/postgres"
        self.log.seek(0)
        raise SystemExit("PostgreSQL did not start:\n" + self.log.read())

    def answers(self, port, password):
        for _ in range(600):
            if self.process.poll() is not None:
                return False
            probe = subprocess.run([f"{self.binaries}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)],
                                   check=False, env={"PGPASSWORD": password, "PATH": os.environ["PATH"]})
            if probe.returncode == 0:
                return True
            time.sleep(0.05)
        return False

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # immediate: nothing of it is kept
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                end_session(self.process.pid)


def free_port():
    """Below those that the kernel gives to clients and to whoever asks for any: nobody takes it before PostgreSQL does,
    or while it is away."""
    for _ in range(1000):
        port = random.randrange(10000, 30000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise SystemExit("no free port")


def session_members(session):
    """Ids of the live processes of a session. Check moves its tests to process groups of their own, never out of it."""
    members = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            fields = pathlib.Path(stat).read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            members.append(int(stat.split("/")[2]))
    return members


def end_session(session):
    ended = session_members(session)
    for pid in ended:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return ended
