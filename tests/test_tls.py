"""TLS, SASL and sslmode on real connections, of both Kafka clients and of Postgres."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.door import Door
from support.payments import README_PAYMENT, body
from support.services import Services
from support.system import System

from ostatok.local.processes import environment_of
from ostatok.setting_types import PREFIX


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A broker that asks for a certificate and a password."""
    made = Door(tmp_path_factory.mktemp("door"), "s3cret")
    asyncio.run(made.kafka.start())
    yield made
    asyncio.run(made.kafka.stop())


def test_a_payment_goes_through_the_door(door: Door, services: Services, tmp_path: Path) -> None:
    """migrate, http and stream over TLS with a client certificate and SASL: the balance answers."""
    with System(services.new_settings(**door.settings()), tmp_path) as system:
        system.start_http()
        system.start_stream()
        assert system.post(body()).status == 200
        inn = str(README_PAYMENT["payer_inn"])
        assert system.balance(inn).body == b'{"inn": "1234567890", "balance": 145000.00}'


@pytest.mark.parametrize(
    "wrong", [{"kafka_sasl_password": "wrong"}, {"kafka_ssl_ca_file": "other"}], ids=str
)
def test_the_wrong_key_is_said_in_a_sentence(
    door: Door, services: Services, wrong: dict[str, object]
) -> None:
    """A password or a certificate that does not fit: exit 1, no traceback, no secret."""
    if "kafka_ssl_ca_file" in wrong:
        wrong = {"kafka_ssl_ca_file": door.other_ca}
    settings = services.new_settings(**door.settings(**wrong))
    done = migrate(environment_of(settings))
    assert done.returncode == 1
    assert "ostatok: Kafka: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stderr


def test_sslmode_reaches_postgres(services: Services) -> None:
    """A server without TLS is refused when TLS is required."""
    variables = environment_of(services.new_settings()) | {f"{PREFIX}DATABASE_SSLMODE": "require"}
    done = migrate(variables)
    assert done.returncode == 1
    assert "SSL" in done.stderr
    assert "Traceback" not in done.stderr


def migrate(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run ``ostatok migrate`` as an operator would."""
    return subprocess.run(
        [sys.executable, "-m", "ostatok", "migrate"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
