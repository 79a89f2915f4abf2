"""The settings: checked at the start, with an error that names the variable."""

import os
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from ostatok.errors import SettingsError
from ostatok.kafka import librdkafka_config, ssl_context
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings, load
from ostatok_db.connection import conninfo
from ostatok_stream.app import make_app

SOURCES = "[bank]\naccept = [{bearer = {tokens = ['a-token-that-is-long']}}]"
README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's own."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"HTTP_PORT": "abc"}, "HTTP_PORT"),
        ({"HTTP_PORT": "70000"}, "HTTP_PORT"),
        ({"DATABASE_URL": "://"}, "DATABASE_URL"),
        ({"TOPIC": "a b"}, "TOPIC"),
        ({"DATABASE_SCHEMA": 'x"; DROP'}, "DATABASE_SCHEMA"),
        ({"KAFKA_SECURITY_PROTOCOL": "ssl"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"KAFKA_SSL_CA_FILE": "/nowhere/ca.pem"}, "KAFKA_SSL_CA_FILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME"),
        ({"TOPIC_MIN_INSYNC": "2"}, "TOPIC_MIN_INSYNC"),
        ({"DATABASE_PASSWORD_FILE": "/nowhere/secret"}, "DATABASE_PASSWORD_FILE"),
        ({"READ_WAIT_SECONDS": "nan"}, "READ_WAIT_SECONDS"),
        ({"TRACES_ENDPOINT": "collector:4318"}, "TRACES_ENDPOINT"),
        ({"TRACES_ENDPOINT": "http://collector:port"}, "TRACES_ENDPOINT"),
        ({"TRACES_ENDPOINT": "http://me:secret@collector:4318"}, "TRACES_ENDPOINT"),
        ({"TRACES_HEADERS": "Authorization: Bearer s3cret"}, "TRACES_HEADERS"),
        ({"TRACES_RATIO": "1.5"}, "TRACES_RATIO"),
        ({"HTTP_SERVE": "webhook,balances"}, "HTTP_SERVE"),
        ({"HTTP_TRUSTED_PROXIES": "10.0.0.1/8"}, "HTTP_TRUSTED_PROXIES"),
        ({"HTTP_TLS_KEY_FILE": "/nowhere/key.pem"}, "HTTP_TLS_KEY_FILE"),
        ({"HTTP_TLS_CERTIFICATE_FILE": __file__}, "HTTP_TLS_KEY_FILE"),
        ({"HTTP_TLS_CLIENT_CA_FILE": __file__}, "HTTP_TLS_CLIENT_CA_FILE"),
        ({"SOURCES": "[bank"}, "SOURCES"),
        ({"SOURCES": "[bank]\naccept = []"}, "SOURCES"),
    ],
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    """One sentence with the variable in it."""
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError, match=PREFIX + named):
        load()


@pytest.mark.parametrize("end", ["@cr3t", "/cr3t", "?s@cr3t", "/x@cr3t", "@/cr3t"])
def test_no_part_of_a_password_is_taken_for_the_host(end: str) -> None:
    """An @ or a / that is not written as %40 or %2F is refused: errors name the host they know."""
    with pytest.raises(SettingsError, match=f"{PREFIX}DATABASE_URL: ") as refused:
        load(database_url=f"postgresql://me:pa{end}@db:5432/ledger")
    assert "cr3t" not in str(refused.value)
    for right in ("postgresql://me:pa%40ss%2F@db/ledger", "postgresql:///ledger?host=%2Ftmp"):
        assert load(database_url=right).database_conninfo
    assert load(database_url="host=db password=a@b/c dbname=a@b").database_conninfo


@pytest.mark.parametrize(
    "accept",
    [
        "jwt.keys = ['s3cret-{}']",
        "jwt.keys = ['" + 300 * "s3cret-{}" + "']",
        "hmac = {header = 'X', secrets = ['s3cret-{}'], encoding = 's3cret-{}'}",
        "hmac = {header = 's3cret {}', secrets = ['s3cret-{}-that-is-long']}",
        "bearer.tokens = ['s3cret-{}']",
        "networks = ['s3cret-{}']",
        "networks = [s3cret-{}]",
    ],
)
def test_a_secret_in_a_wrong_place_is_not_quoted(accept: str) -> None:
    """What is wrong is named by its place."""
    with pytest.raises(SettingsError, match="OSTATOK_SOURCES") as refused:
        load(sources=f"[bank]\n[[bank.accept]]\n{accept}\n")
    assert "s3cret" not in str(refused.value)


def test_every_secret_can_be_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """…_FILE for each of them, and for nothing else."""
    secrets = [
        name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
    ]
    assert set(secrets) == {
        "database_url",
        "database_password",
        "sources",
        "kafka_sasl_password",
        "kafka_ssl_key_password",
        "traces_headers",
    }
    for name in secrets:
        path = tmp_path / name
        text = SOURCES if name == "sources" else f"host={name}"
        path.write_text(f"{text}\n", encoding="utf-8")
        monkeypatch.setenv(f"{PREFIX}{name.upper()}_FILE", str(path))
    settings = load()
    for name in secrets:
        text = SOURCES if name == "sources" else f"host={name}"
        assert getattr(settings, name).get_secret_value() == text
        assert text not in repr(settings)


def test_tls_and_passwords_reach_postgres(tmp_path: Path) -> None:
    """sslmode, root certificate and password, beside what the URL says."""
    ca = tmp_path / "ca.pem"
    ca.write_text("", encoding="utf-8")
    settings = load(
        database_url="postgresql://me@db:5433/ledger?options=-c%20geqo%3Doff",
        database_password="s3cret",
        database_sslmode="verify-full",
        database_sslrootcert=ca,
    )
    found = conninfo_to_dict(conninfo(settings, name="test"))
    assert found["host"] == "db"
    assert found["password"] == "s3cret"
    assert found["sslmode"] == "verify-full"
    assert found["sslrootcert"] == str(ca)
    assert str(found["options"]).startswith("-c geqo=off -c search_path=ostatok")


def test_tls_and_sasl_reach_both_kafka_clients(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Librdkafka of the receiver, aiokafka of the stream: the same doors."""
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "certificate.pem", "key.pem"))
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(ca))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    settings = load(
        kafka_bootstrap_servers="a:9093,b:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-256",
        kafka_sasl_username="me",
        kafka_sasl_password="s3cret",
        kafka_ssl_ca_file=ca,
        kafka_ssl_certificate_file=certificate,
        kafka_ssl_key_file=key,
    )
    config = librdkafka_config(settings)
    assert config["security.protocol"] == "SASL_SSL"
    assert config["sasl.password"] == "s3cret"
    assert config["ssl.ca.location"] == str(ca)
    context = ssl_context(settings)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1

    app = make_app(settings)
    assert [str(url) for url in app.conf.broker] == ["ostatok://a:9093", "ostatok://b:9093"]
    credentials: Any = app.conf.broker_credentials
    assert credentials.protocol.value == "SASL_SSL"
    assert credentials.mechanism.value == "SCRAM-SHA-256"
    assert (credentials.username, credentials.password) == ("me", "s3cret")


def test_the_readme_lists_every_setting_with_its_default() -> None:
    """One table, and it is true."""
    text = README.read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        row = f"| `{PREFIX}{name.upper()}` | {_cell(field.get_default())} | {field.description} |"
        assert row in text, row


def _cell(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, SecretStr):
        return f"`{default.get_secret_value()}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
