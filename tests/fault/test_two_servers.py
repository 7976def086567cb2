#!/usr/bin/python3
"""One server for each data directory and database; a schema that is too new is refused; all with a message that helps."""
import contextlib
import pathlib
import sqlite3
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import harness  # noqa: E402
from harness import Server, put_state  # noqa: E402


def refused(checks, name, server, *words):
    """It ended by itself with a status of its own, and its message has the words."""
    served = server.wait_until_serving()
    status = None if served else server.wait()
    server.expected_to_die = True
    checks.check(f"{name}: is_refused", not served and status not in (None, 0) and status > 0, (served, status))
    log = server.log()
    missing = [word for word in words if word not in log]
    checks.check(f"{name}: the_message_says_why", not missing, (missing, log[-800:]))
    if server.is_running():
        server.kill9()


def one_data_directory(checks, binary):
    data = harness.new_directory()
    first = Server(binary, data)
    client = first.client()
    put_state(client, "alpha", "a", {"n": 1})
    refused(checks, "second_server_on_a_directory", Server(binary, data, wait=False), str(data), "another")
    put_state(client, "alpha", "a", {"n": 2})
    checks.check("the_first_goes_on", client.request("GET", "/readyz").status == 200)
    first.kill9()
    second = Server(binary, data)
    checks.check("after_kill_9_the_directory_is_free", second.client().request("GET", "/readyz").status == 200)
    second.kill9()


def one_database(checks, binary):
    url = harness.new_database()
    first = Server(binary, harness.new_directory(), database_url=url)
    client = first.client()
    put_state(client, "alpha", "a", {"n": 1})
    refused(checks, "second_server_on_a_database",
            Server(binary, harness.new_directory(), database_url=url, wait=False), "another")
    checks.equal("the_first_writes_on", put_state(client, "alpha", "a", {"n": 2})["version"], 2)
    first.stop()
    second = Server(binary, harness.new_directory(), database_url=url)
    reply = second.client().want(200, "GET", "/v1/systems/alpha/components/a/state")
    checks.equal("after_a_stop_the_database_is_free", reply.json(), {"n": 2})
    # A supervisor starts the next one right after a kill: the old session may still be ending.
    for _ in range(5):
        second.kill9()
        second = Server(binary, second.data, database_url=url)
    checks.check("after_kill_9_the_database_is_free", second.is_running())
    second.kill9()


def started_together(checks, binary):
    for engine in ("sqlite", "postgres"):
        url = harness.new_database() if engine == "postgres" else None
        shared = harness.new_directory()
        servers = [Server(binary, shared if engine == "sqlite" else harness.new_directory(), database_url=url,
                          wait=False) for _ in range(4)]
        serving = [server for server in servers if server.wait_until_serving()]
        for server in servers:
            server.expected_to_die = True
        logs = [server.log()[-600:] for server in servers if server not in serving]
        if checks.equal(f"{engine}: exactly_one_of_four_serves", len(serving), 1):
            receipt = put_state(serving[0].client(), "alpha", "a", {"n": 1})
            checks.equal(f"{engine}: it_writes", receipt["version"], 1)
        silent = [log for log in logs if "another" not in log]
        checks.check(f"{engine}: the_others_say_why", not silent, silent[:2])
        if serving:
            server = serving[0]
            server.kill9()
            again = Server(binary, server.data, database_url=url)
            reply = again.client().want(200, "GET", "/v1/systems/alpha/components/a/state")
            checks.equal(f"{engine}: the_schema_is_whole", reply.json(), {"n": 1})
            again.kill9()


def newer_schema(checks, binary):
    data = harness.new_directory()
    server = Server(binary, data)
    put_state(server.client(), "alpha", "a", {"n": 1})
    server.stop()
    with contextlib.closing(sqlite3.connect(data / "holdfast.db")) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(schema_migrations)")]
        insert_newer(columns, lambda sql: database.execute(sql))
        database.commit()
    refused(checks, "newer_sqlite_schema", Server(binary, data, wait=False), "newer")
    checks.check("newer_sqlite_schema: the_database_is_not_set_aside", not list(data.glob("*damaged*")))
    with contextlib.closing(sqlite3.connect(data / "holdfast.db")) as database:
        database.execute("DELETE FROM schema_migrations WHERE number = 9999")
        database.commit()
    server = Server(binary, data)
    reply = server.client().want(200, "GET", "/v1/systems/alpha/components/a/state")
    checks.equal("newer_sqlite_schema: nothing_was_changed", reply.json(), {"n": 1})
    server.kill9()

    url = harness.new_database()
    server = Server(binary, harness.new_directory(), database_url=url)
    server.stop()
    columns = harness.run_psql(url, "SELECT column_name FROM information_schema.columns "
                                    "WHERE table_name = 'schema_migrations' ORDER BY ordinal_position").split()
    insert_newer(columns, lambda sql: harness.run_psql(url, sql))
    refused(checks, "newer_postgres_schema", Server(binary, harness.new_directory(), database_url=url, wait=False),
            "newer")


def insert_newer(columns, execute):
    values = {"number": "9999", "name": "'from the future'", "checksum": "'00'", "applied_at_ms": str(int(time.time()))}
    execute(f"INSERT INTO schema_migrations ({', '.join(columns)}) "
            f"VALUES ({', '.join(values[column] for column in columns)})")


def database_that_is_not_there(checks, binary):
    """No database at the address: the start ends with a message, or serves 503 until it comes; it never hangs."""
    url = "postgresql://nobody:secret-word@127.0.0.1:1/nothing"
    server = Server(binary, harness.new_directory(), "--store-timeout", "1000", database_url=url, wait=False)
    served = server.wait_until_serving(90)
    status = None if served else server.wait(30)
    checks.check("a_database_that_is_not_there_ends_the_start", not served and status not in (None, 0), (served, status))
    checks.check("no_secret_is_in_the_log", "secret-word" not in server.log(), server.log()[-500:])
    server.expected_to_die = True
    if server.is_running():
        server.kill9()


if __name__ == "__main__":
    harness.run(one_data_directory, one_database, started_together, newer_schema, database_that_is_not_there)
