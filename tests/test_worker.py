"""A worker that Faust or aiokafka would let down: it waits for Kafka, or ends and says why."""

import subprocess
import sys
from pathlib import Path

from support.services import Services
from support.system import STOP_SECONDS_MAX, System, request, wait_until

GONE_FOR_TWO_TRIES = """
from aiokafka.client import AIOKafkaClient

bootstrap, tries = AIOKafkaClient.bootstrap, iter([1, 2])

async def bootstrap_behind_a_closed_port(self):
    if next(tries, None):
        self._bootstrap_servers = "127.0.0.1:1"
    await bootstrap(self)

AIOKafkaClient.bootstrap = bootstrap_behind_a_closed_port
"""

A_TASK_FAILS = """
from ostatok_stream.monitoring import Monitoring

async def look(self):
    raise ZeroDivisionError("as an example")

Monitoring._look = look
"""

RUN = """
from ostatok_stream import app

app.run()
"""


def start(system: System, change: str) -> subprocess.Popen[bytes]:
    """Start a worker in which something is changed before it runs."""
    return system.start_program(sys.executable, "-c", change + RUN, log="stream.log")


def test_a_worker_waits_when_kafka_goes_away_at_the_last_moment(
    services: Services, tmp_path: Path
) -> None:
    """It has seen the topic, and then aiokafka, which tries once, can't connect."""
    with System(services.new_settings(), tmp_path) as system:
        worker = start(system, GONE_FOR_TWO_TRIES)
        system.wait_ready(system.settings.stream_metrics_port, worker)
        assert len(system.events("stream.log", "start_delayed")) == 2


def test_a_crash_inside_of_faust_says_why(services: Services, tmp_path: Path) -> None:
    """Faust gives up its services one by one; the process must not end without a word."""
    with System(services.new_settings(), tmp_path) as system:
        assert start(system, A_TASK_FAILS).wait(60) == 1
        (end,) = system.events("stream.log", "worker_ends")
        assert end["reason"] == "as an example"


def test_a_worker_that_waits_for_kafka_ends_when_asked(services: Services, tmp_path: Path) -> None:
    """While it tries to connect it lives and is not ready, and SIGTERM ends it in time."""
    gone_for_ever = GONE_FOR_TWO_TRIES.replace("iter([1, 2])", "iter(range(1, 10_000))")
    with System(services.new_settings(), tmp_path) as system:
        worker = start(system, gone_for_ever)
        wait_until(lambda: bool(system.events("stream.log", "start_delayed")), "it waits")
        port = system.settings.stream_metrics_port
        assert request(port, "GET", "/healthz").status == 200
        assert request(port, "GET", "/readyz").status == 503
        worker.terminate()
        assert worker.wait(STOP_SECONDS_MAX) == 0
