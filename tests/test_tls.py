"""TLS, SASL and sslmode on real connections, of both Kafka clients and of Postgres."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from support.payments import README_PAYMENT, body
from support.services import Services
from support.system import System

from ostatok.local.kafka import EmbeddedKafka
from ostatok.local.ports import free_port
from ostatok.local.processes import environment_of
from ostatok.setting_types import PREFIX

SECURE = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},DOOR://127.0.0.1:{door}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},DOOR://localhost:{door}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,DOOR:SASL_SSL
sasl.enabled.mechanisms=PLAIN
listener.name.door.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_receiver="s3cret";
listener.name.door.ssl.client.auth=required
listener.name.door.ssl.keystore.type=PEM
listener.name.door.ssl.keystore.location={keystore}
listener.name.door.ssl.truststore.type=PEM
listener.name.door.ssl.truststore.location={ca}
"""


class SecureKafka(EmbeddedKafka):
    """A broker with a second door, for those who have a certificate and a password."""

    def __init__(self, folder: Path, door: int, keystore: Path, ca: Path) -> None:
        super().__init__(folder, free_port())
        self.door = door
        self._given = {"door": door, "keystore": keystore, "ca": ca}

    def _write_properties(self, path: Path, data: Path) -> None:
        super()._write_properties(path, data)
        text = path.read_text(encoding="utf-8")
        controller = text.split("quorum.voters=1@127.0.0.1:")[1].split("\n")[0]
        # Of a key that stands twice the later one counts.
        path.write_text(
            text + SECURE.format(port=self.port, controller=controller, **self._given),
            encoding="utf-8",
        )


class Door:
    """The broker, and the files that open it."""

    def __init__(self, folder: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.RSA)
        self.ca, self.other_ca = folder / "ca.pem", folder / "other.pem"
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        keystore = folder / "keystore.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        stranger.cert_pem.write_to_path(str(self.other_ca))
        issued.cert_chain_pems[0].write_to_path(str(self.certificate))
        issued.private_key_pem.write_to_path(str(self.key))
        # Java takes PKCS#8 alone.
        done = subprocess.run(
            [sys.executable, "-c", PKCS8, str(self.key)], capture_output=True, check=True
        )
        keystore.write_bytes(done.stdout + self.certificate.read_bytes())
        self.kafka = SecureKafka(folder / "kafka", free_port(), keystore, self.ca)

    def settings(self, **changes: object) -> dict[str, object]:
        """What opens the door."""
        return {
            "kafka_bootstrap_servers": f"localhost:{self.kafka.door}",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "PLAIN",
            "kafka_sasl_username": "receiver",
            "kafka_sasl_password": "s3cret",
            "kafka_ssl_ca_file": self.ca,
            "kafka_ssl_certificate_file": self.certificate,
            "kafka_ssl_key_file": self.key,
            **changes,
        }


PKCS8 = """
import sys
from cryptography.hazmat.primitives import serialization as s
key = s.load_pem_private_key(open(sys.argv[1], "rb").read(), None)
form = (s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
sys.stdout.buffer.write(key.private_bytes(*form))
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A broker that asks for a certificate and a password."""
    made = Door(tmp_path_factory.mktemp("door"))
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
