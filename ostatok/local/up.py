"""``ostatok up``: the whole system in the foreground, on embedded services."""

import os
from collections.abc import Mapping
from pathlib import Path

from ostatok import settings, tracing
from ostatok.errors import LocalError
from ostatok.http_settings import is_loopback
from ostatok.local import ports, processes, roles
from ostatok.local.folder import DataFolder
from ostatok.local.foreground import check_port, until_stopped
from ostatok.local.kafka import EmbeddedKafka
from ostatok.local.parts import Running
from ostatok.local.postgres import DATABASE, ROLE, ROLES, EmbeddedPostgres
from ostatok.local.screen import Screen
from ostatok.local.supervisor import Supervisor, together
from ostatok.setting_types import ALL_PARTS, PREFIX
from ostatok.settings import Settings
from ostatok.sources import read_sources
from ostatok_http.doors.required import require_doors

# All parts must be down within 10 s; what is left after the drain goes to Kafka and Postgres.
HTTP_DRAIN_SECONDS = 3

# Both ask nobody who he is, so they are there by themselves for this machine alone.
_FOR_THIS_MACHINE = {"http_serve": ALL_PARTS, "http_operators": "true"}

_READY = """
Ostatok is ready.

  HTTP       {http}
{console}  Postgres   postgresql://{role}@127.0.0.1:{postgres}/{database} (password: in run.json)
  Kafka      {kafka}, topic {topic}
  Logs       {log}
  All this   {run_file}

Post a payment, then read the balance:

  curl -X POST {http}/api/webhook/bank/ -H 'Content-Type: application/json' -d '{payment}'
  curl {http}/api/organizations/1234567890/balance/

{doors}
Ctrl-C stops it."""
_CONSOLE = "  Console    {http}/console/\n"
_SERVICES = """
Kafka and Postgres run, and nothing else: nothing was migrated, and no webhook is taken.

  ostatok topic --help        and the other commands, with --data {data}
  docs/recovery.md            says which

Ctrl-C stops it."""
_PAYMENT = (
    '{"operation_id": "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a", "amount": 145000, '
    '"payer_inn": "1234567890", "document_number": "PAY-328", '
    '"document_date": "2024-04-27T21:00:00Z"}'
)


async def up(data: Path, *, host: str, port: int, http: int, stream: int) -> None:
    """Run the whole system on the folder ``data`` until Ctrl-C or SIGTERM.

    ``http`` and ``stream`` are numbers of processes; with neither, Kafka and Postgres run alone,
    and nothing is migrated. Raises LocalError when it can't come up.
    """
    # Read once, before anything starts, so that a wrong variable is named at once.
    wanted = settings.load()
    tracing.require(wanted)
    folder = DataFolder(data)
    opened = open_to_all(wanted, host)
    served = wanted.model_copy(
        update={"http_host": host, "http_port": port, "http_workers": http, **opened}
    )
    if http:
        require_doors(served)
        if served.sources is not None or served.has_tls:
            # Loaded only here: a start has no time for it.
            from ostatok_http.doors.keys import require_keys  # noqa: PLC0415

            require_keys(served)
    with folder.held(processes.http_url(served)):
        check_port(host, port, hint="Give another one, for instance --port 8123.")
        system = _System(folder, served, opened)
        await until_stopped(system.run(stream), system.supervisor, system.screen)


class _System:
    """What one ``up`` runs."""

    def __init__(self, folder: DataFolder, served: Settings, opened: Mapping[str, str]) -> None:
        """``served``: the settings of http, with ``opened`` among them that nobody has set."""
        self.folder = folder
        self.served = served
        self.opened = opened
        self.url = processes.http_url(served)
        self.screen = Screen()
        self.supervisor = Supervisor(say=self.screen.line, changed=self._note)
        ports.keep(served.http_port)
        self.postgres = EmbeddedPostgres(
            folder.postgres, ports.free_port(), log=folder.log / "postgres.log"
        )
        self.kafka = EmbeddedKafka(folder.kafka, ports.free_port(), log=folder.log / "kafka.log")
        self._metrics_ports: list[int] = []
        self._is_ready = False

    async def run(self, stream: int) -> None:
        """Bring everything up, say where it is, and keep it up until cancelled."""
        http = self.served.http_workers
        await together(*(one.prepare(self.screen.progress) for one in (self.postgres, self.kafka)))
        self._metrics_ports = [ports.free_port() for _ in range(stream)]
        shared = self.folder.empty_folder("http")
        streams = processes.stream_parts(self._given("stream"), self._metrics_ports)
        served = processes.http_parts(self._given("http"), self.served, shared)
        services = [self.postgres.part(), self.kafka.part()]
        self.screen.progress("Starting Postgres and Kafka")
        await self.supervisor.start(services, wait=False)
        if not http and not stream:
            await self.supervisor.wait_ready(services)
            await roles.make(self.postgres)
            self._is_ready = True
            self._note()
            self.screen.line(_SERVICES.format(data=self.folder.path))
            await self.supervisor.watch()
            return
        # Ours take longer to load than Postgres takes to start, and Kafka leaves a core idle at
        # times: they load now, and begin when all that they need is there.
        migration = Running(processes.migrate_part(self._given("migrate")), held=True)
        try:
            self.supervisor.hold([*streams, *served][: os.cpu_count() or 1])
            await self.supervisor.wait_ready(services)
            self.supervisor.require_alive()  # Before anything is changed for parts that can't run.
            self.screen.progress("Schema and topic: migrating")
            await roles.make(self.postgres)
            migration.begin()
            await migration.wait_success()
        finally:
            migration.kill()
        self.screen.progress(f"Starting {stream} stream")
        await self.supervisor.begin(streams)
        # Last: once the port answers, a balance has what was posted a moment before.
        self.screen.progress(f"Starting {http} http")
        await self.supervisor.begin(served)
        self._is_ready = True
        self._note()
        self._say_where()
        await together(self.supervisor.watch(), self._speed_up())

    def _given(self, part: str) -> processes.Given:
        """Give what the processes of a part get: each part has a role of its own in Postgres."""
        environment = processes.embedded_environment(
            self.postgres.url_of(part), self.kafka.bootstrap_servers
        )
        own = {
            "http_drain_seconds": str(HTTP_DRAIN_SECONDS),
            **{f"database_role_{name}": role for name, role in ROLES.items()},
            **self.opened,
        }
        environment |= {PREFIX + name.upper(): text for name, text in own.items()}
        return processes.Given(environment, self.folder.log)

    async def _speed_up(self) -> None:
        try:
            await self.kafka.make_archive()
        except LocalError as error:
            # Everything works without it, only the next start is slower.
            self.screen.line(str(error))

    def _note(self) -> None:
        """Keep run.json true."""
        if self._is_ready:
            content = {
                "http": self.url,
                "database_url": self.postgres.database_url,
                "database_roles": ROLES,
                "kafka": self.kafka.bootstrap_servers,
                "topic": self.served.topic,
                "pids": {
                    name: self.supervisor.pids(name)
                    for name in ("http", "stream", "kafka", "postgres")
                },
                "stream_metrics": [
                    processes.base_url("127.0.0.1", port) for port in self._metrics_ports
                ],
            }
            self.folder.write_run_file(content)

    def _say_where(self) -> None:
        self.screen.line(
            _READY.format(
                http=self.url,
                console=_CONSOLE.format(http=self.url) if self.served.serves("console") else "",
                role=ROLE,
                database=DATABASE,
                postgres=self.postgres.port,
                kafka=self.kafka.bootstrap_servers,
                topic=self.served.topic,
                log=self.folder.log,
                run_file=self.folder.run_file,
                payment=_PAYMENT,
                doors=_doors(self.served),
            )
        )


def _doors(served: Settings) -> str:
    """Say in one line who is let in."""
    reach = f"who reaches {served.http_host}:{served.http_port}"
    if _is_alone(served, served.http_host):
        reach += ", which is this machine alone"
    anyone = f"anyone {reach}"
    if served.sources is None and not served.http_authentication:
        return f"It is open to {anyone}."
    senders = anyone
    if served.sources is not None:
        senders = "who proves to be " + " or ".join(read_sources(served.sources.get_secret_value()))
    readers = "who has a token or a login" if served.http_authentication else anyone
    return f"Webhooks are taken from {senders}; all else is for {readers}."


def _is_alone(wanted: Settings, host: str) -> bool:
    """Whether nobody but this machine reaches the port: a proxy that is named brings others."""
    return is_loopback(host) and wanted.http_trusted_proxies is None


def open_to_all(wanted: Settings, host: str) -> dict[str, str]:
    """Give the settings that are on by themselves when nobody but this machine reaches the port.

    Not those that the caller has set.
    """
    if not _is_alone(wanted, host):
        return {}
    given = wanted.model_fields_set
    return {name: text for name, text in _FOR_THIS_MACHINE.items() if name not in given}
