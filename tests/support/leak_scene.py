"""A system with a secret in everything that can hold one, driven well and badly.

What came out of it is kept by place, as bytes; `tests/leaks` looks through it.
"""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ostatok.local.ports import free_port
from ostatok.record_reader import RecordReader
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok.topic import Topic
from support import leaks
from support.collector import Collector
from support.system import System, request, wait_until

COMMAND_SECONDS_MAX = 120
COMMANDS = (
    ("migrate",),
    ("audit",),
    ("audit", "--digest"),
    ("rebuild",),
    ("dead-letters", "list"),
    ("token", "list"),
    ("trail",),
    ("user", "list"),
    ("roles",),
)
_ALL_SCOPES = ("--scope", "balance:read", "--scope", "history:read", "--scope", "operator")
QUICK = {
    f"{PREFIX}PUBLISH_TIMEOUT_SECONDS": "0.3",
    f"{PREFIX}DATABASE_TIMEOUT_SECONDS": "0.3",
    f"{PREFIX}READ_WAIT_SECONDS": "0",
    f"{PREFIX}LOG_FORMAT": "console",
}

PLACES = (
    "answers",
    "answers of those who reach nothing",
    "commands",
    "commands that reach nothing",
    "copy of the topic",
    "database",
    "journal",
    "logs",
    "logs of those who reach nothing",
    "metrics and health",
    "process lists",
    "sessions",
    "settings in print",
    "spans",
)
KEEPS_BODIES = {"answers", "copy of the topic", "database", "journal"}
"""Where the content of a body belongs."""


class Scene:
    """Runs it all, and collects."""

    def __init__(self, settings: Settings, collector: Collector, folder: Path) -> None:
        self._settings = settings
        self._collector = collector
        self._folder = folder
        self.places: dict[str, bytes] = {}
        self.made: dict[str, str] = {}
        """What was made meanwhile and shown once: a token, a password, a session."""
        self.environment = b""
        """What the http process was started with: the one place where secrets are on purpose."""

    def play(self) -> None:
        """Do everything, once."""
        settings, copy = self._settings, self._folder / "copy"
        self._add("settings in print", f"{settings} {settings!r} {settings.model_dump()}".encode())
        self._add("settings in print", settings.model_dump_json().encode())
        with System(settings, self._folder) as system:
            self._token = system.run("token", "create", "test", *_ALL_SCOPES).strip()
            self.made["API token"] = self._token.split("_", 2)[2]
            said = system.run("user", "create", "anna", "--role", "operator", "--generate")
            self.made["password"] = said.strip().rpartition(" ")[2]
            http, stream = system.start_http(), system.start_stream()
            self._wait_known()
            self._add("answers", *self._driven(settings.http_port))
            self._log_in()
            self._trace()
            self._fail(system)
            stream.send_signal(signal.SIGUSR1)
            stream.send_signal(signal.SIGUSR2)
            wait_until(lambda: b"signal_ignored" in self._log("stream.log"), "SIGUSR2 is logged")
            for command in (*COMMANDS, ("topic", "backup", str(copy))):
                self._add("commands", _said(system.environment, *command))
            self._look(system)
            self.environment = leaks.environment_of_process(http.pid)
            self._reach_nothing(system, "kafka-refuses", _refused_by_kafka())
            self._reach_nothing(system, "postgres-refuses", _refused_by_postgres())
        self._add("logs", *(self._log(name) for name in ("http.log", "stream.log")))
        self._add("spans", *self._collector.bodies)
        self._add("copy of the topic", *(p.read_bytes() for p in copy.rglob("*") if p.is_file()))

    def _add(self, place: str, *pieces: bytes) -> None:
        assert place in PLACES
        self.places[place] = b"\n".join((self.places.get(place, b""), *pieces))

    def _log(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def _driven(self, port: int) -> list[bytes]:
        exchanges = leaks.drive(port, self._token)
        return [f"{one.asked}\n".encode() + one.answer for one in exchanges]

    def _wait_known(self) -> None:
        """Wait until the service has looked which tokens work."""
        port, path, known = self._settings.http_port, leaks.ENDPOINTS[0], f"Bearer {self._token}"
        wait_until(
            lambda: leaks.ask(port, "GET", path, known=known).answer.startswith(b"404"),
            "the token is known",
        )

    def _log_in(self) -> None:
        """See every page as somebody who is logged in, and try to be with what is no password."""
        port = self._settings.http_port
        for name in ("anna", "nobody", leaks.TYPED):
            leaks.log_in(port, name, leaks.TYPED)
        cookies = leaks.log_in(port, "anna", self.made["password"]).get_all("Set-Cookie", [])
        pairs = [one.partition(";")[0] for one in cookies]
        self.made |= dict(pair.split("=", 1) for pair in pairs)
        assert {"ostatok_session", "ostatok_browser"} <= set(self.made)
        seen = [leaks.ask(port, "GET", path, Cookie="; ".join(pairs)) for path in leaks.PAGES]
        assert b"anna" in seen[0].answer
        self._add("answers", *(one.answer for one in seen))

    def _trace(self) -> None:
        """See that spans of both parts are among what was collected."""
        both = {"ostatok-http", "ostatok-stream"}
        wait_until(lambda: both <= {one.service for one in self._collector.spans}, "spans of both")

    def _fail(self, system: System) -> None:
        """Take a right away for a while, so that what can't be is: 500s, and tracebacks."""
        port = self._settings.http_port
        with system.session() as session:
            session.execute("REVOKE SELECT ON organization FROM CURRENT_USER")
            failed = [
                leaks.ask(port, "GET", path, known=f"Bearer {self._token}")
                for path in (leaks.ENDPOINTS[0], leaks.PAGES[0], leaks.PAGES[1])
            ]
            session.execute("GRANT SELECT ON organization TO CURRENT_USER")
        assert failed[0].answer.startswith(b"500"), failed[0]
        self._add("answers", *(one.answer for one in failed))

    def _look(self, system: System) -> None:
        """Look at what can be seen of it from outside while it runs."""
        for port in (self._settings.http_port, self._settings.stream_metrics_port):
            for path in ("/metrics", "/healthz", "/readyz"):
                self._add("metrics and health", request(port, "GET", path).body)
        self._add("process lists", leaks.process_lists())
        self._add("sessions", _rows(system, "SELECT a::text FROM pg_stat_activity AS a"))
        tables = system.sql(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
            "WHERE schemaname LIKE 'ostatok%%'"
        )
        for (table,) in tables:
            self._add("database", _rows(system, f"SELECT t::text FROM {table} AS t"))
        topic = Topic(self._settings)
        held = topic.ranges(range(self._settings.topic_partitions))
        bounds = {one: (there.earliest, there.end) for one, there in held.items()}
        records = RecordReader(self._settings, "test").read_all(bounds)
        self._add("journal", repr(records).encode())

    def _reach_nothing(self, system: System, name: str, changes: Mapping[str, str]) -> None:
        """Run everything where nobody listens, or lets us in; written for a person to read."""
        http_port, stream_port = free_port(), free_port()
        changes = {
            **QUICK,
            **changes,
            f"{PREFIX}HTTP_PORT": str(http_port),
            f"{PREFIX}STREAM_METRICS_PORT": str(stream_port),
        }
        logs = [f"{name}-http.log", f"{name}-stream.log"]
        started = [
            system.start("http", log=logs[0], **changes),
            system.start("stream", log=logs[1], **changes),
        ]
        wait_until(lambda: _is_alive(http_port), "http answers")
        self._add("answers of those who reach nothing", *self._driven(http_port))
        wait_until(lambda: b"start_delayed" in self._log(logs[1]), "the worker says so")
        self._add("process lists", leaks.process_lists())
        for command in COMMANDS[:2]:
            said = _said({**system.environment, **changes}, *command)
            self._add("commands that reach nothing", said)
        for process in started:
            process.terminate()
            process.wait(COMMAND_SECONDS_MAX)
        self._add("logs of those who reach nothing", *map(self._log, logs))


def _refused_by_kafka() -> dict[str, str]:
    """A password that is secret all the same: the right one of somewhere else; and no Postgres."""
    return {
        f"{PREFIX}DATABASE_URL": leaks.SETTINGS["database_url"].replace("5432", str(free_port())),
        f"{PREFIX}KAFKA_SASL_PASSWORD": leaks.planted("database_url"),
    }


def _refused_by_postgres() -> dict[str, str]:
    """The same of Postgres. Kafka is there: a worker asks it first, and would get no further."""
    return {f"{PREFIX}DATABASE_PASSWORD": leaks.planted("traces_headers")}


def _is_alive(port: int) -> bool:
    try:
        return request(port, "GET", "/healthz").status == 200
    except OSError:
        return False


def _said(environment: Mapping[str, str], *command: str) -> bytes:
    """Run a command, and give all that it said, however it ended."""
    done = subprocess.run(
        [sys.executable, "-m", "ostatok", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    return f"{command} ended with {done.returncode}\n".encode() + done.stdout


def _rows(system: System, statement: str) -> bytes:
    return "\n".join(str(row) for row in system.sql(statement)).encode()
