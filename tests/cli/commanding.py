"""The operator's command as a process, in a pipe and in a pseudo-terminal, and a service that lies, for its tests."""
import contextlib
import fcntl
import http.server
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402

ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z])")
PATIENCE_SECONDS = harness.PATIENCE_SECONDS


class Outcome:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self):
        return f"status {self.status}\n  out: {self.out[-1500:]!r}\n  err: {self.err[-1500:]!r}"


class Command:
    """holdfast against one service, with a home of its own."""

    reports = []

    def __init__(self, server_binary, url=None):
        self.path = str(pathlib.Path(server_binary).parent / "holdfast")
        if not os.access(self.path, os.X_OK):
            raise SystemExit(f"{self.path} is not built")
        self.url = url
        self.home = harness.new_directory("home")

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("HOLDFAST_", "XDG_")) and name not in ("NO_COLOR", "COLUMNS", "LINES")}
        kept.update(HOME=str(self.home), TERM="xterm-256color", LC_ALL="C.UTF-8")
        if self.url:
            kept["HOLDFAST_URL"] = self.url
        kept.update({name: value for name, value in more.items() if value is not None})
        return {name: value for name, value in kept.items() if value != ""}

    def run(self, *arguments, given=b"", environment=None, text=True, **more):
        """In pipes, to its end."""
        given = given.encode() if isinstance(given, str) else given
        done = subprocess.run([self.path, *(given_as(argument) for argument in arguments)], input=given, capture_output=True, check=False,
                              timeout=PATIENCE_SECONDS, env=self.environment(**(environment or {})), **more)
        err = done.stderr.decode("utf-8", "replace")
        self.note(arguments, err)
        return Outcome(done.returncode, done.stdout.decode("utf-8", "replace") if text else done.stdout, err)

    def note(self, arguments, text):
        if any(report in text for report in harness.REPORTS):
            Command.reports.append(f"{arguments}: {text[:4000]}")

    def terminal(self, *arguments, columns=80, environment=None):
        return Terminal(self, arguments, columns, self.environment(**(environment or {})))


class Terminal:
    """holdfast in a pseudo-terminal: what it shows, what is typed, and how the terminal is afterwards."""

    def __init__(self, command, arguments, columns, environment):
        self.command, self.arguments = command, arguments
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.shown = b""
        self.process = subprocess.Popen([command.path, *map(str, arguments)], stdin=slave, stdout=slave, stderr=slave,
                                        env=environment, start_new_session=True, preexec_fn=take_terminal)

    def read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            self.shown += os.read(self.master, 65536)
        return bool(ready)

    def until(self, text, timeout=PATIENCE_SECONDS):
        """Whether text was shown."""
        deadline = time.monotonic() + timeout
        while text.encode() not in self.shown and time.monotonic() < deadline:
            if not self.read(0.1) and self.process.poll() is not None:
                break
        return text.encode() in self.shown

    def minds_interrupts(self):
        """Whether it came so far that it handles SIGINT itself."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return bool(int(re.search(r"^SigBlk:\s*(\w+)", status, re.MULTILINE).group(1), 16) & 1 << (signal.SIGINT - 1))

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self, timeout=PATIENCE_SECONDS):
        """Its exit status; what it showed is in shown, how it left the terminal in clean."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        while self.read(0.05):
            pass
        self.clean = termios.tcgetattr(self.slave) == self.before
        os.close(self.slave)
        os.close(self.master)
        self.command.note(self.arguments, self.text())
        return self.process.returncode

    def text(self):
        return self.shown.decode("utf-8", "replace").replace("\r\n", "\n")

    def plain(self):
        return ESCAPE.sub("", self.text())


def given_as(argument):
    return argument if isinstance(argument, bytes) else str(argument)


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


class FakeService:
    """Answers what the function says: (status, headers, body), or bytes that are the whole answer as it stands, or
    several of them, one after the other."""

    def __init__(self, answer):
        outer = self
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                outer.asked.append((self.command, self.path, dict(self.headers)))
                made = answer(self.command, self.path, body, len(outer.asked))
                if not isinstance(made, tuple):
                    with contextlib.suppress(ConnectionError):
                        for piece in [made] if isinstance(made, bytes) else made:
                            self.wfile.write(piece)
                            self.wfile.flush()
                    self.close_connection = True
                    return
                status, headers, content = made
                content = content if isinstance(content, bytes) else json.dumps(content).encode()
                with contextlib.suppress(ConnectionError):  # who asked may have given up
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_HEAD = do_PATCH = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def problem(status, code):
    return status, {"Content-Type": "application/problem+json"}, {
        "type": f"urn:holdfast:problem:{code}", "title": code, "status": status, "detail": f"this is {code}",
        "instance": "/", "code": code, "retryable": status == 503, "requestId": "1"}


def check_no_reports(checks):
    checks.check("no_run_was_caught_by_a_sanitizer", not Command.reports, "\n".join(Command.reports))


def url_of(server):
    return f"http://127.0.0.1:{server.port}"
