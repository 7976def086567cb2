#!/usr/bin/python3
"""Streams of events: each event once, in order, wherever a client begins, however it reads, and whatever ends."""
import contextlib
import json
import random
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(__import__("pathlib").Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, list_events, put_state, wait_until  # noqa: E402

BOTH = (("sqlite", lambda: None), ("postgres", harness.new_database))
UPLOADS = 1000
LISTENERS = 20
BACKLOG = 30000  # more than the sockets on the way to a client hold


class Stream:
    """A client of one stream, which knows where to go on."""

    def __init__(self, server, system="alpha", query="", last_id=None, token=None, receive_bytes=None):
        self.last_id = None
        self.retry = None
        self.heartbeats = 0
        self.text = b""
        self.left = b""
        self.whole = None  # whether the answer ended as it should; None: it has not ended
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(harness.PATIENCE_SECONDS)
        self.socket.connect(("127.0.0.1", server.port))
        head = [f"GET /v1/systems/{system}/events{query} HTTP/1.1", "Host: here", "Accept: text/event-stream"]
        if last_id is not None:
            head.append(f"Last-Event-ID: {last_id}")
        if token:
            head.append(f"Authorization: Bearer {token}")
        self.socket.sendall("\r\n".join(head + ["", ""]).encode())

    def open(self):
        """Reads the head. Raises unless the stream has begun."""
        while b"\r\n\r\n" not in self.left:
            data = self.socket.recv(65536)
            if not data:
                raise harness.Lost("no answer")
            self.left += data
        head, self.left = self.left.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        if " 200 " not in self.head.splitlines()[0]:
            raise harness.Failure(self.head)
        return self

    def close(self):
        self.socket.close()

    def read_chunk(self):
        """False at the end, good or bad."""
        while True:
            found = re.match(rb"([0-9a-fA-F]+)\r\n", self.left)
            if found:
                size = int(found.group(1), 16)
                if len(self.left) >= found.end() + size + 2:
                    self.text += self.left[found.end():found.end() + size]
                    self.left = self.left[found.end() + size + 2:]
                    self.whole = True if size == 0 else None
                    return size > 0
            try:
                data = self.socket.recv(65536)
            except (ConnectionError, socket.timeout):
                data = b""
            if not data:
                self.whole = False
                return False
            self.left += data

    def blocks(self):
        """What the stream says, as the standard reads it: (type, id, data) of each event."""
        while True:
            while b"\n\n" not in self.text:
                if self.whole is not None or not self.read_chunk():
                    return
            block, self.text = self.text.split(b"\n\n", 1)
            event, data = "message", None
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                value = value[1:] if value.startswith(" ") else value
                if name == "":
                    self.heartbeats += 1
                elif name == "retry":
                    self.retry = int(value)
                elif name == "id":
                    self.last_id = int(value)
                elif name == "event":
                    event = value
                elif name == "data":
                    data = value if data is None else data + "\n" + value
                else:
                    raise harness.Failure(f"a field that nobody knows: {line!r}")
            if data is not None:
                yield event, self.last_id, json.loads(data)
            else:
                yield None, self.last_id, None

    def events(self):
        return (block for block in self.blocks() if block[0])

    def read_until(self, done):
        """All events up to and with the first that is done."""
        found = []
        for event in self.events():
            found.append(event)
            if done(event):
                break
        return found

    def begin(self):
        """The first block, which says where it begins."""
        return next(self.blocks())


def is_ending(event):
    return event[0] == "state.event" and event[2]["text"].endswith("the-end")


def gauge(server):
    text = server.client().request("GET", "/metrics").body.decode()
    return int(float(re.search(r"^holdfast_event_streams (\S+)$", text, re.MULTILINE).group(1)))


def start(binary, data, url, *flags, **options):
    server = Server(binary, data, *flags, database_url=url, **options)
    return server, server.client()


def form(checks, binary):
    """What a stream looks like, and who gets one."""
    for name, url in BOTH:
        server, client = start(binary, harness.new_directory(), url(), "--stream-heartbeat", "100")
        put_state(client, "alpha", "first", {"n": 1}, State_Event="one")
        wait_until(lambda: list_events(client, "alpha", "state.event"))
        listed = list_events(client, "alpha")
        stream = Stream(server, query="?after=0").open()
        checks.check(f"{name}: the_head_names_the_type", "Content-Type: text/event-stream" in stream.head.splitlines()
                     and "Cache-Control: no-store" in stream.head.splitlines(), stream.head)
        found = stream.read_until(lambda event: event[1] == listed[-1]["id"])
        checks.equal(f"{name}: a_stream_has_the_items_of_the_list", [event[2] for event in found], listed)
        checks.equal(f"{name}: types_and_ids_are_those_of_the_items", [event[:2] for event in found],
                     [(item["type"], item["id"]) for item in listed])
        checks.equal(f"{name}: it_says_when_to_come_again", stream.retry, 2000)
        while stream.heartbeats < 2:
            stream.begin()
        checks.check(f"{name}: heartbeats_come_while_nothing_happens", True)
        stream.close()
        checks.check(f"{name}: a_client_that_left_is_noticed", wait_until(lambda: gauge(server) == 0))

        stream = Stream(server).open()
        checks.equal(f"{name}: without_a_place_it_begins_with_what_comes", stream.begin(),
                     (None, listed[-1]["id"], None))
        put_state(client, "alpha", "first", {"n": 2}, State_Event="two")
        checks.equal(f"{name}: what_happens_comes", next(stream.events())[2]["text"], "first: two")
        stream.close()
        newest = list_events(client, "alpha")[-1]["id"]
        stream = Stream(server, query="?after=0", last_id=newest).open()
        checks.equal(f"{name}: last_event_id_wins_over_the_query", stream.begin()[1], newest)
        stream.close()
        stream = Stream(server, last_id=newest + 1000).open()
        checks.equal(f"{name}: an_id_of_a_lost_database_begins_with_the_oldest", next(stream.events())[2], listed[0])
        stream.close()

        client.want(200, "PUT", "/v1/systems/alpha", {"description": "again"})
        for header, path, status in (({"Last-Event-ID": "x"}, "alpha/events", 400),
                                     ({"Last-Event-ID": "-1"}, "alpha/events", 400),
                                     ({"Last-Event-ID": "9" * 30}, "alpha/events", 400),
                                     ({}, "alpha/events?severity=bad", 400), ({}, "alpha/events?after=x", 400),
                                     ({}, "nobody/events", 404)):
            reply = client.request("GET", f"/v1/systems/{path}", None, {"Accept": "text/event-stream", **header})
            checks.equal(f"{name}: {path} {header}: refused", reply.status, status)
        for accept, kind in (("application/json", "application/json"), ("text/event-stream;q=0", "application/json"),
                             ("*/*", "application/json")):
            reply = client.request("GET", "/v1/systems/alpha/events", None, {"Accept": accept})
            checks.check(f"{name}: Accept {accept}: a_page", reply.headers["Content-Type"] == kind and
                         "events" in reply.json(), reply)
        head = client.request("HEAD", "/v1/systems/alpha/events", None, {"Accept": "text/event-stream"})
        checks.equal(f"{name}: HEAD_has_no_stream", (head.status, head.headers["Content-Type"], head.body),
                     (200, "text/event-stream", b""))
        checks.check(f"{name}: HEAD_leaves_none_open", wait_until(lambda: gauge(server) == 0))
        checks.equal(f"{name}: it_stops_in_order", server.stop(), 0)


def access(checks, binary):
    """A stream is for those who may see the list."""
    tokens = harness.new_directory("tokens") / "tokens"
    made = {}
    for role, system in (("operator", "alpha"), ("viewer", "alpha"), ("viewer", "beta")):
        done = subprocess.run([binary, "token", "create", "--role", role, "--system", system, "--tokens-file",
                               str(tokens)], check=True, capture_output=True, text=True)
        made[role, system] = re.search(r"\bhf\w+", done.stdout).group(0)
    server = Server(binary, harness.new_directory(), "--tokens-file", str(tokens))
    client = server.client()
    operator = {"Authorization": f"Bearer {made['operator', 'alpha']}"}
    client.want(201, "PUT", "/v1/systems/alpha", {}, {**operator, "Content-Type": "application/json"})
    for token, status in ((None, 401), (made["viewer", "beta"], 403)):
        headers = {"Accept": "text/event-stream", **({"Authorization": f"Bearer {token}"} if token else {})}
        checks.equal(f"refused_with_{status}",
                     client.request("GET", "/v1/systems/alpha/events", None, headers).status, status)
    stream = Stream(server, query="?after=0", token=made["viewer", "alpha"]).open()
    checks.equal("a_viewer_of_the_system_has_it", next(stream.events())[0], "system.created")
    kept = Stream(server, query="?after=0", token=made["operator", "alpha"]).open()
    next(kept.events())
    lines = tokens.read_text(encoding="utf-8").splitlines(keepends=True)
    tokens.write_text(lines[0], encoding="utf-8")
    list(stream.events())
    checks.check("a_stream_ends_when_its_token_is_revoked", stream.whole is False)
    client.want(204, "DELETE", "/v1/systems/alpha?confirm=alpha", None, operator)
    checks.equal("others_go_on", [event[0] for event in kept.events()][-1:], ["system.deleted"])
    server.stop()


def listen(server, seed, found, errors):
    """One listener that leaves and comes back, until the last event."""
    choice = random.Random(seed)
    last_id = 0
    try:
        while True:
            stream = Stream(server, last_id=last_id).open()
            leaves_after = choice.randrange(1, 200)
            for count, event in enumerate(stream.events()):
                found.append(event)
                last_id = event[1]
                if is_ending(event):
                    stream.close()
                    return
                if count == leaves_after:
                    break
            stream.close()
    except Exception as error:  # the thread's end is judged by the test
        errors.append(repr(error))


def crowd(checks, binary):
    """Many listeners that come and go while much happens in two systems."""
    for name, url in BOTH:
        server, client = start(binary, harness.new_directory(), url())
        put_state(client, "alpha", "c0", {"n": 0}, State_Event="0")
        put_state(client, "beta", "c0", {"n": 0}, State_Event="0")
        found, errors = [[] for _ in range(LISTENERS)], []
        threads = [threading.Thread(target=listen, args=(server, seed, found[seed], errors))
                   for seed in range(LISTENERS)]
        for thread in threads:
            thread.start()

        def upload(part):
            own = server.client()
            for number in range(part, UPLOADS, 4):
                put_state(own, "beta" if number % 10 == 0 else "alpha", f"c{number % 7}", {"n": number},
                          State_Event=str(number))
            own.close()

        uploaders = [threading.Thread(target=upload, args=(part,)) for part in range(4)]
        for thread in uploaders:
            thread.start()
        for thread in uploaders:
            thread.join()
        put_state(client, "alpha", "c0", {"n": -1}, State_Event="the-end")
        for thread in threads:
            thread.join(2 * harness.PATIENCE_SECONDS)
        checks.equal(f"{name}: every_listener_came_to_the_end", errors, [])
        wanted = [(item["type"], item["id"], item) for item in list_events(client, "alpha")]
        checks.check(f"{name}: there_was_something_to_hear", len(wanted) > 0.9 * UPLOADS, len(wanted))
        wrong = [seed for seed in range(LISTENERS) if found[seed] != wanted]
        checks.equal(f"{name}: every_listener_heard_each_event_once_and_in_order", wrong, [])
        checks.check(f"{name}: no_stream_is_left", wait_until(lambda: gauge(server) == 0))
        server.stop()


def recoveries(checks, binary):
    """Clients learn of the new epoch; others only of what they asked for."""
    for name, url in BOTH:
        server, client = start(binary, harness.new_directory(), url())
        put_state(client, "alpha", "one", {"n": 1}, State_Event="one")
        snapshot = harness.take_snapshot(client, "alpha")
        epoch = client.get_json("/v1/systems/alpha")["epoch"]
        put_state(client, "alpha", "one", {"n": 2}, State_Event="two")
        wait_until(lambda: len(list_events(client, "alpha", "state.event")) == 2)
        everything, warnings = Stream(server).open(), Stream(server, query="?severity=warning").open()
        everything.begin(), warnings.begin()
        recovery = client.want(201, "POST", f"/v1/systems/alpha/snapshots/{snapshot['id']}/restore", {}).json()
        applied = everything.read_until(lambda event: event[0] == "recovery.applied")[-1]
        checks.equal(f"{name}: recovery_applied_tells_the_epoch", applied[2]["data"],
                     {"recovery": recovery["id"], "snapshot": snapshot["id"], "epoch": epoch + 1})
        checks.check(f"{name}: that_is_the_system's_epoch",
                     client.get_json("/v1/systems/alpha")["epoch"] == epoch + 1)
        first = next(warnings.events())
        checks.equal(f"{name}: a_filter_lets_through_what_fits", first, applied)
        checks.check(f"{name}: it_is_in_the_list_too",
                     wait_until(lambda: applied[2] in list_events(client, "alpha", "recovery.applied")))
        put_state(client, "alpha", "one", {"n": 3}, State_Event="three")
        everything.read_until(lambda event: event[2]["text"] == "one: three")
        client.want(204, "DELETE", "/v1/systems/alpha?confirm=alpha")
        for stream, kind in ((everything, "everything"), (warnings, "warnings")):
            rest = list(stream.events())
            checks.check(f"{name}: {kind}: a_deleted_system_ends_its_streams_with_that",
                         rest and rest[-1][0] == "system.deleted" and "id" not in rest[-1][2] and stream.whole, rest)
        checks.check(f"{name}: a_filter_lets_nothing_else_through",
                     all(event[2]["severity"] == "warning" for event in rest), rest)
        server.stop()


def ends(checks, binary):
    """A stop is told, and does not wait; after a kill a client misses nothing that was kept."""
    for name, url in BOTH:
        data, database = harness.new_directory(), url()
        server, client = start(binary, data, database)
        for number in range(5):
            put_state(client, "alpha", "one", {"n": number}, State_Event=str(number))
        streams = [Stream(server, query="?after=0").open() for _ in range(10)]
        heard = [stream.read_until(lambda event: event[2]["text"] == "one: 4") for stream in streams]
        deaf = Stream(server, query="?after=0").open()  # reads nothing more
        status = server.stop()
        rest = [list(stream.events()) for stream in streams]
        checks.equal(f"{name}: it_stops_with_open_streams", status, 0)
        checks.check(f"{name}: the_last_event_says_that_it_stops",
                     all(events and events[-1][0] == "service.stopping" for events in rest) and
                     all(stream.whole for stream in streams), rest)
        checks.check(f"{name}: the_last_event_moves_no_place", all(
            stream.last_id == ([*before, *after][-2][1]) for stream, before, after in zip(streams, heard, rest)))
        deaf.close()

        server, client = start(binary, data, database)
        last_id = streams[0].last_id
        stream = Stream(server, last_id=last_id).open()
        for number in range(300):
            put_state(client, "alpha", "one", {"n": 100 + number}, State_Event=str(number))
            if number == 150:
                seen = [next(stream.events())]
        server.kill9()
        seen += list(stream.events())
        checks.check(f"{name}: a_kill_breaks_the_answer_off", stream.whole is False)
        server, client = start(binary, data, database)
        listed = [(item["type"], item["id"], item) for item in list_events(client, "alpha") if item["id"] > last_id]
        checks.equal(f"{name}: what_was_heard_is_in_the_list_as_it_was_heard", listed[:len(seen)], seen)
        again = Stream(server, last_id=stream.last_id).open()
        put_state(client, "alpha", "one", {"n": -1}, State_Event="the-end")
        later = again.read_until(is_ending)
        listed = [(item["type"], item["id"], item) for item in list_events(client, "alpha") if item["id"] > last_id]
        checks.equal(f"{name}: the_rest_follows_without_gap_or_repetition", seen + later, listed)
        server.kill9()


def limit(checks, binary):
    """Streams are bounded, and each place is free again when its client has left."""
    server, client = start(binary, harness.new_directory(), None, "--max-streams", "3")
    put_state(client, "alpha", "one", {"n": 1})
    streams = [Stream(server).open() for _ in range(3)]
    refused = client.request("GET", "/v1/systems/alpha/events", None, {"Accept": "text/event-stream"})
    checks.check("one_too_many_is_refused", refused.status == 503 and refused.code == "overloaded" and
                 refused.headers["Retry-After"], refused)
    checks.equal("pages_are_not", client.request("GET", "/v1/systems/alpha/events").status, 200)
    streams.pop().close()

    def opens():
        with contextlib.suppress(harness.Failure):
            streams.append(Stream(server).open())
        return len(streams) == 3

    checks.check("a_place_is_free_again", wait_until(opens))
    for stream in streams:
        stream.close()
    server.stop()
    server, client = start(binary, harness.new_directory(), None, "--max-streams", "0")
    put_state(client, "alpha", "one", {"n": 1})
    checks.equal("none_may_be_allowed", client.request("GET", "/v1/systems/alpha/events", None,
                                                       {"Accept": "text/event-stream"}).status, 503)
    server.stop()


def make_backlog(data, database):
    """Far more events than uploads could bring in the time of a test."""
    sql = ("INSERT INTO events (system_id, at_ms, severity, type, text, data) SELECT (SELECT id FROM systems WHERE "
           "name = 'alpha'), {now}, CASE n % 10 WHEN 0 THEN 'warning' ELSE 'info' END, 'state.event', {pad}, '{{}}' "
           "FROM {numbers}")
    now = int(time.time() * 1000)
    if database:
        harness.run_psql(database, sql.format(now=now, pad="repeat('x', 500) || n",
                                              numbers=f"generate_series(1, {BACKLOG}) AS n"))
        return
    with contextlib.closing(sqlite3.connect(data / "holdfast.db")) as connection:
        sql = sql.format(now=now, pad="printf('%.500c%d', 'x', n)", numbers="numbers")
        connection.execute("WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE "
                           f"n < {BACKLOG}) " + sql)
        connection.commit()


def slow(checks, binary):
    """A client that does not read holds up nobody, loses its connection, and misses nothing."""
    for name, url in BOTH:
        data, database = harness.new_directory(), url()
        server, client = start(binary, data, database)
        put_state(client, "alpha", "one", {"n": 1})
        server.stop()
        make_backlog(data, database)
        server, client = start(binary, data, database, "--request-timeout", "5000")
        before = server.memory_kib()
        sleeper = Stream(server, last_id=0, receive_bytes=4096).open()
        quick = Stream(server, last_id=0).open()
        picky = Stream(server, query="?severity=warning", last_id=0).open()
        put_state(client, "alpha", "one", {"n": 2}, State_Event="the-end")
        found = quick.read_until(is_ending)
        checks.equal(f"{name}: the_quick_one_has_all", [event[1] for event in found],
                     sorted({event[1] for event in found}))
        checks.check(f"{name}: it_was_much", len(found) > BACKLOG, len(found))
        warnings = [event for event in found if event[2]["severity"] == "warning"]
        heard = picky.read_until(lambda event: event[1] == warnings[-1][1])
        checks.equal(f"{name}: the_filter_works_on_the_past", [event[1] for event in heard],
                     [event[1] for event in warnings])
        picky.close()
        checks.check(f"{name}: the_sleeper_loses_its_connection", wait_until(lambda: gauge(server) == 1))
        grown = server.memory_kib() - before
        checks.check(f"{name}: nothing_was_kept_for_it", grown < 100 * 1024 or server_is_instrumented(binary), grown)
        part = list(sleeper.events())
        checks.check(f"{name}: it_was_broken_off", sleeper.whole is False and len(part) < BACKLOG, len(part))
        again = Stream(server, last_id=sleeper.last_id).open()
        part += again.read_until(is_ending)
        checks.check(f"{name}: it_comes_back_and_has_missed_nothing", part == found, (len(part), len(found)))
        put_state(server.client(), "alpha", "one", {"n": 3}, State_Event="on-it-goes")
        checks.equal(f"{name}: the_quick_one_goes_on", next(quick.events())[2]["text"], "one: on-it-goes")
        server.stop()


def away(checks, binary):
    """While the database is away streams stay open; when it is back they go on where they were."""
    postgres = harness.own_postgres()
    server, client = start(binary, harness.new_directory(), postgres.url, "--stream-heartbeat", "100")
    put_state(client, "alpha", "one", {"n": 1}, State_Event="one")
    stream = Stream(server, query="?after=0").open()
    found = stream.read_until(lambda event: event[2]["text"] == "one: one")
    postgres.stop_fast()
    reply = client.request("PUT", "/v1/systems/alpha/components/one/state", {"n": 2}, {"State-Event": "two"})
    checks.equal("uploads_are_refused", reply.status, 503)
    refused = client.request("GET", "/v1/systems/alpha/events", None, {"Accept": "text/event-stream"})
    checks.equal("a_new_stream_is_refused", refused.status, 503)
    stream.heartbeats = 0
    while stream.heartbeats < 2:
        stream.begin()
    checks.check("heartbeats_go_on", True)
    postgres.start_again()

    def upload():
        return client.request("PUT", "/v1/systems/alpha/components/one/state", {"n": 3},
                              {"State-Event": "the-end"}).status == 200

    checks.check("uploads_are_taken_again", wait_until(upload))
    found += stream.read_until(is_ending)
    checks.equal("the_stream_has_all_of_the_list", [event[2] for event in found], list_events(client, "alpha"))
    server.stop()


def server_is_instrumented(binary):
    return b"__asan_init" in open(binary, "rb").read() or b"__tsan_init" in open(binary, "rb").read()


def old_clients(checks, binary):
    """HTTP/1.0 knows no chunks: the stream is what comes until the connection ends."""
    server, client = start(binary, harness.new_directory(), None)
    put_state(client, "alpha", "one", {"n": 1}, State_Event="one")
    wait_until(lambda: list_events(client, "alpha", "state.event"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=harness.PATIENCE_SECONDS) as connection:
        connection.sendall(b"GET /v1/systems/alpha/events?after=0 HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n")
        received = b""
        while b"one: one" not in received:
            received += connection.recv(65536)
        client.want(204, "DELETE", "/v1/systems/alpha?confirm=alpha")
        while True:
            data = connection.recv(65536)
            if not data:
                break
            received += data
    checks.check("it_ends_with_the_last_event", received.endswith(b"\n\n") and b"event: system.deleted" in received,
                 received[-300:])
    server.stop()


if __name__ == "__main__":
    sys.exit(harness.run(form, access, crowd, recoveries, ends, limit, slow, away, old_clients))
