#!/usr/bin/python3
"""Clients that break the protocol, dawdle, or come in crowds: they harm themselves, not the others."""
import contextlib
import pathlib
import resource
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Lost, Server, put_state, wait_until  # noqa: E402

MIB = 1024 * 1024
NO_HURRY = ("--request-timeout", "3600000")
STATE = b"/v1/systems/alpha/components/victim/state"


def connect(server):
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=harness.PATIENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_all(connection, timeout=harness.PATIENCE_SECONDS):
    """Until the server closes. (bytes, closed)"""
    connection.settimeout(timeout)
    received = b""
    try:
        while True:
            data = connection.recv(65536)
            if not data:
                return received, True
            received += data
    except socket.timeout:
        return received, False
    except OSError:
        return received, True


def exchange(server, data):
    with contextlib.closing(connect(server)) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        return read_all(connection)


def is_well(server):
    client = server.client()
    receipt = put_state(client, "alpha", "wellness", {"at": time.monotonic_ns()})
    reply = client.request("GET", "/v1/systems/alpha/components/wellness/state")
    client.close()
    return reply.status == 200 and receipt["hash"] == harness.label(reply.body)


def statuses(received):
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


def slow_clients(checks, binary):
    server = Server(binary, harness.new_directory(), "--request-timeout", "1000")
    halves = {
        "nothing": b"", "half_a_line": b"GET /liv", "half_the_headers": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-A: ",
        "half_a_body": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"half\":",
        "half_a_chunk": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"half\":"}
    connections = {}
    for name, data in halves.items():
        connections[name] = connect(server)
        connections[name].sendall(data)
    for name, connection in connections.items():
        received, closed = read_all(connection)
        checks.check(f"slow_clients: a_client_that_sends_{name}_is_closed", closed, received[:200])
        checks.check(f"slow_clients: a_client_that_sends_{name}_gets_no_success", 200 not in statuses(received), received)
        connection.close()
    trickle(checks, server, b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", "body")
    # Their time is as short: on a slow machine one of them may have to come again.
    checks.check("slow_clients: others_are_well", wait_until(lambda: try_well(server)))
    reply = server.client().request("GET", STATE.decode())
    checks.equal("slow_clients: nothing_half_was_written", reply.status, 404)
    server.stop()


def trickle(checks, server, start, what):
    """A byte now and then, for ever: never idle, never done."""
    with contextlib.closing(connect(server)) as connection:
        connection.sendall(start)
        connection.settimeout(0.2)
        deadline = time.monotonic() + harness.PATIENCE_SECONDS
        closed = False
        while not closed and time.monotonic() < deadline:
            try:
                connection.sendall(b"1")
                closed = connection.recv(4096) == b""
            except socket.timeout:
                pass
            except OSError:
                closed = True
        checks.check(f"slow_clients: a_client_that_trickles_its_{what}_is_closed", closed)


def broken_requests(checks, binary):
    # Some are refused only when their time is over. It is enough for a good one on a slow machine.
    server = Server(binary, harness.new_directory(), "--request-timeout", "10000")
    is_well(server)
    with contextlib.closing(connect(server)) as connection:
        connection.sendall(b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{\"short\":1}")
    with contextlib.closing(connect(server)) as connection:
        connection.sendall(b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"short\":1}")
    received, _ = exchange(server, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n\x00\x01\xff garbage \r\n\r\n more\r\n\r\n")
    checks.check("broken_requests: what_came_before_garbage_is_answered", statuses(received)[:1] == [200]
                 and 200 not in statuses(received)[1:], received)
    pipelined = b"".join(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n" for _ in range(50))
    received, _ = exchange(server, pipelined + b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    checks.equal("broken_requests: pipelined_requests_are_all_answered", statuses(received), [200] * 51)
    uploads = b"".join(b"PUT /v1/systems/alpha/components/piped-%d/state HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n"
                       b"{\"n\":%d}" % (n, n) for n in range(8))
    received, _ = exchange(server, uploads + b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    checks.equal("broken_requests: pipelined_uploads_are_all_answered", statuses(received), [201] * 8 + [200])
    for name, data in {
            "a_negative_length": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
            "an_absurd_length": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nx",
            "two_lengths": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked"
                           b"\r\n\r\n0\r\n\r\n",
            "a_wrong_chunk_size": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
            "a_huge_chunk_size": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 b"ffffffffffffffff\r\n{}\r\n",
            "an_endless_header": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Long: " + b"x" * 300000 + b"\r\n\r\n",
            "an_endless_url": b"GET /" + b"x" * 200000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            "a_target_with_a_nul": b"PUT " + STATE + b"\0/../x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
            "a_length_with_a_nul": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 2\x000\r\n\r\n{}",
            "an_unknown_transfer_encoding": b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n{}",
            "no_method": b" / HTTP/1.1\r\n\r\n",
            "binary_noise": bytes(range(256)) * 40}.items():
        with contextlib.closing(connect(server)) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            received, closed = read_all(connection)
        checks.check(f"broken_requests: {name}_is_refused", closed and not {200, 201} & set(statuses(received)),
                     (closed, received[:200]))
    reply = server.client().request("GET", STATE.decode())
    checks.equal("broken_requests: nothing_of_them_was_written", reply.status, 404)
    checks.check("broken_requests: others_are_well", is_well(server) and server.is_running())
    checks.equal("broken_requests: the_server_stops_in_order", server.stop(), 0)


def long_urls(checks, binary):
    """Ours answers to a point, the library's from there on: nobody is left without one."""
    server = Server(binary, harness.new_directory())
    unanswered = {}
    for size in list(range(8000, 40001, 500)) + list(range(15900, 16500, 20)) + [100000]:
        received, closed = exchange(server, b"GET /" + b"x" * (size - 1) + b" HTTP/1.1\r\nHost: localhost:8080\r\n"
                                            b"User-Agent: test\r\nConnection: close\r\n\r\n")
        expected = [[404]] if size <= 8192 else [[414], [431]]
        if not closed or statuses(received) not in expected or b"\r\n\r\n" not in received:
            unanswered[size] = received[:100]
    checks.equal("long_urls: every_length_gets_one_whole_answer", unanswered, {})
    checks.check("long_urls: others_are_well", is_well(server))
    server.stop()


def bodies_over_the_limit(checks, binary):
    server = Server(binary, harness.new_directory(), "--max-state-bytes", "64KiB")
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    received, _ = exchange(server, b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                   b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 8 + b"0\r\n\r\n")
    checks.check("a_chunked_body_over_the_limit_gets_413", statuses(received) == [413] and b"body_too_large" in received,
                 received[:300])
    with contextlib.closing(connect(server)) as connection:
        connection.sendall(b"PUT " + STATE + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 256 * MIB:
                connection.sendall(chunk)
                sent += len(chunk)
        checks.check("an_endless_chunked_body_is_cut_off", sent < 256 * MIB, sent)
    reply = server.client().request("PUT", STATE.decode(), b"[" + b"1," * 40000 + b"1]")
    checks.equal("an_announced_body_over_the_limit_gets_413", (reply.status, reply.code), (413, "body_too_large"))
    reply = server.client().request("GET", STATE.decode())
    checks.equal("nothing_over_the_limit_was_written", reply.status, 404)
    checks.check("others_are_well_after_bodies_over_the_limit", is_well(server))
    server.stop()


def idle_crowd(checks, binary):
    """A thousand connections that do nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    server = Server(binary, harness.new_directory(), *NO_HURRY)
    crowd = []
    try:
        for _ in range(1000):
            crowd.append(connect(server))
        for connection in crowd[:500]:
            connection.sendall(b"GET /livez HTTP/1.1\r\n")
        checks.check("idle_crowd: others_work_beside_1000_idle_connections", all(is_well(server) for _ in range(20)))
        for connection in crowd[:500]:
            connection.sendall(b"Host: a\r\nConnection: close\r\n\r\n")
        answered = sum(statuses(read_all(connection)[0]) == [200] for connection in crowd[:500])
        checks.equal("idle_crowd: idle_ones_are_served_when_they_speak", answered, 500)
    finally:
        for connection in crowd:
            connection.close()
    checks.check("idle_crowd: others_are_well_afterwards", is_well(server))
    checks.equal("idle_crowd: the_server_stops_in_order", server.stop(), 0)


def too_many_connections(checks, binary):
    """More than --max-connections: the rest waits or is turned away; nothing breaks, and room helps at once."""
    server = Server(binary, harness.new_directory(), "--max-connections", "40")
    crowd = []
    for _ in range(120):
        with contextlib.suppress(OSError):
            crowd.append(connect(server))
    checks.check("too_many_connections: the_server_lives", server.is_running())
    for connection in crowd:
        connection.close()
    checks.check("too_many_connections: room_helps", wait_until(lambda: try_well(server)))
    checks.equal("too_many_connections: the_server_stops_in_order", server.stop(), 0)


def try_well(server):
    try:
        return is_well(server)
    except (Lost, harness.Failure):
        return False


def big_uploads_at_once(checks, binary):
    """A gigabyte is offered, 32 MiB are allowed in flight: the rest is told so, and memory does not grow with it."""
    server = Server(binary, harness.new_directory(), "--max-inflight-bytes", "32MiB", "--max-state-bytes", "16MiB",
                    *NO_HURRY)
    is_well(server)
    before = server.memory_kib()
    body = b"[" + b"1," * (7 * MIB) + b"1]"
    head = b"PUT /v1/systems/alpha/components/big-%d/state HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" \
           b"Content-Length: %d\r\n\r\n"
    offered, refused = [], 0
    for number in range(64):
        connection = connect(server)
        with contextlib.suppress(OSError):
            connection.sendall(head % (number, len(body)))
            connection.sendall(body[:-1])
        offered.append(connection)
    grown_mib = (server.memory_kib() - before) // 1024
    # Sanitizers keep freed memory back, up to 256 MiB.
    checks.check("big_uploads: memory_stays_bounded", grown_mib < 480, f"{grown_mib} MiB more")
    checks.check("big_uploads: small_ones_or_503_meanwhile", server.client().request("GET", "/livez").status == 200)
    done = 0
    for connection in offered:
        with contextlib.suppress(OSError):
            connection.sendall(body[-1:])
        received, _ = read_all(connection)
        codes = statuses(received)
        done += codes == [201]
        refused += codes == [503] and b'"overloaded"' in received and b"Retry-After" in received
        connection.close()
    checks.check("big_uploads: those_within_the_bound_are_stored", done >= 1, (done, refused))
    checks.check("big_uploads: those_beyond_get_503_with_retry_after", refused >= 1, (done, refused))
    checks.equal("big_uploads: each_got_an_answer", done + refused, 64)
    checks.check("big_uploads: others_are_well", is_well(server))
    client = server.client()
    stored = [component for component in client.get_all("/v1/systems/alpha/components", "components")
              if component["name"].startswith("big-")]
    checks.equal("big_uploads: as_many_are_there_as_were_acknowledged", len(stored), done)
    server.stop()


if __name__ == "__main__":
    harness.run(slow_clients, broken_requests, long_urls, bodies_over_the_limit, idle_crowd, too_many_connections,
                big_uploads_at_once)
