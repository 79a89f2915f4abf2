"""A broker with a door: TLS with client certificates, and SASL."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from ostatok.local.kafka import EmbeddedKafka
from ostatok.local.ports import free_port

SECURE = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},DOOR://127.0.0.1:{door}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},DOOR://localhost:{door}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,DOOR:SASL_SSL
sasl.enabled.mechanisms=PLAIN
listener.name.door.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_receiver="{password}";
listener.name.door.ssl.client.auth=required
listener.name.door.ssl.keystore.type=PEM
listener.name.door.ssl.keystore.location={keystore}
listener.name.door.ssl.truststore.type=PEM
listener.name.door.ssl.truststore.location={ca}
"""


class SecureKafka(EmbeddedKafka):
    """A broker with a second door, for those who have a certificate and a password."""

    def __init__(self, folder: Path, **given: object) -> None:
        super().__init__(folder, free_port())
        self.door = free_port()
        self._given = given

    def _write_properties(self, path: Path, data: Path) -> None:
        super()._write_properties(path, data)
        text = path.read_text(encoding="utf-8")
        controller = text.split("quorum.voters=1@127.0.0.1:")[1].split("\n")[0]
        own = SECURE.format(port=self.port, controller=controller, door=self.door, **self._given)
        # Of a key that stands twice the later one counts.
        path.write_text(text + own, encoding="utf-8")


class Door:
    """The broker, and the files that open it."""

    def __init__(self, folder: Path, password: str, key_password: str | None = None) -> None:
        """Let in who has the password; our client's key is encrypted if that has one too."""
        authority, stranger = trustme.CA(), trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.RSA)
        self.ca, self.other_ca = folder / "ca.pem", folder / "other.pem"
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        keystore = folder / "keystore.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        stranger.cert_pem.write_to_path(str(self.other_ca))
        issued.cert_chain_pems[0].write_to_path(str(self.certificate))
        key = issued.private_key_pem.bytes()
        self.key.write_bytes(_pkcs8(key, key_password))
        keystore.write_bytes(_pkcs8(key, None) + self.certificate.read_bytes())
        self._passwords = {"kafka_sasl_password": password, "kafka_ssl_key_password": key_password}
        self.kafka = SecureKafka(folder / "kafka", password=password, keystore=keystore, ca=self.ca)

    def settings(self, **changes: object) -> dict[str, object]:
        """What opens the door."""
        return {
            "kafka_bootstrap_servers": f"localhost:{self.kafka.door}",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "PLAIN",
            "kafka_sasl_username": "receiver",
            "kafka_ssl_ca_file": self.ca,
            "kafka_ssl_certificate_file": self.certificate,
            "kafka_ssl_key_file": self.key,
            **self._passwords,
            **changes,
        }


def _pkcs8(pem: bytes, password: str | None) -> bytes:
    """Give a key in the one form that Java takes."""
    return serialization.load_pem_private_key(pem, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption(),
    )
