"""The collective of examples/syndicate as a process, its journal, and what the service has of it."""
import pathlib
import socket
import subprocess
import tempfile
import threading

import harness
from harness import Server, wait_until

SYSTEM = "syndicate"
PATH = f"/v1/systems/{SYSTEM}"
LAST = "master-orchestrator"  # changes in every step


class Syndicate:
    """One process of the collective. Its journal is given to it by its test, and outlives it."""

    started = []

    def __init__(self, server, journal, *flags):
        binary = pathlib.Path(server.binary).parent / "examples/syndicate"
        self.log_path = pathlib.Path(tempfile.mkstemp(prefix="syndicate-", suffix=".log", dir=harness.scratch())[1])
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [binary, "--url", f"http://127.0.0.1:{server.port}", "--journal", str(journal), *map(str, flags)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        Syndicate.started.append(self)

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def is_running(self):
        return self.process.poll() is None

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def end(self, number=None):
        """Its exit status, after a signal if one is given; None when it hung."""
        if number:
            self.process.send_signal(number)
        try:
            return self.process.wait(harness.PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill9()
            return None


class Journal:
    """What was acknowledged to the collective, and what it came back with, in order."""

    def __init__(self):
        self.path = harness.new_directory("journal") / "journal"
        self.path.touch()

    def lines(self, what):
        """(step, version, sequence, epoch) of each; of recoveries the third is the number of components."""
        text = self.path.read_text(encoding="ascii")
        whole = text[:text.rfind("\n") + 1].splitlines()
        return [tuple(map(int, line.split()[1:])) for line in whole if line.startswith(what + " ")]

    def acknowledged(self):
        return self.lines("acknowledged")

    def step(self):
        lines = self.acknowledged()
        return lines[-1][0] if lines else -1

    def reaches(self, step, agent=None):
        """Waits for the step; with agent, until that has ended, at most."""
        return wait_until(lambda: self.step() >= step or (agent and not agent.is_running()), pause=0.002)


class Relay:
    """Passes connections on to the server, until a request has held_text in it: that one gets an answer that never
    ends, so that no timeout of its sender comes to its help. Has the port and the binary of a server."""

    def __init__(self, server):
        self.binary, self.server = server.binary, server
        self.held_text = None
        self.held, self.closing = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, socket.create_connection(("127.0.0.1", self.server.port)) as onward:
            threading.Thread(target=self.copy, args=(onward, connection), daemon=True).start()
            if self.copy(connection, onward):
                self.drip(connection)

    def copy(self, source, target):
        """True when it came to what is held."""
        try:
            while data := source.recv(65536):
                if self.held_text and self.held_text in data:
                    return True
                target.sendall(data)
            if not self.held.is_set():  # else the server tired of waiting, and who is held is not to know
                target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side is gone, and the other will see it
        return False

    def drip(self, connection):
        self.held.set()
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
            while not self.closing.wait(0.2):
                connection.sendall(b" ")
        except OSError:
            pass  # it gave up, as it should

    def close(self):
        self.closing.set()
        self.listener.close()


def new_server(binary, data=None, port=0):
    server = Server(binary, data or harness.new_directory(), port=port)
    server.binary = binary
    return server


def states(server):
    """{component: bytes}."""
    client = server.client()
    names = [component["name"] for component in client.get_all(f"{PATH}/components", "components")]
    found = {name: client.want(200, "GET", f"{PATH}/components/{name}/state").body for name in names}
    client.close()
    return found


def stored(server):
    """(step, version) of the orchestrator's state; (-1, 0) where there is none yet."""
    client = server.client()
    reply = client.request("GET", f"{PATH}/components/{LAST}/state")
    client.close()
    return (reply.json()["steps"], int(reply.headers["State-Version"])) if reply.status == 200 else (-1, 0)
