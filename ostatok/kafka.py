"""How both Kafka clients connect: librdkafka in the receiver, aiokafka under Faust."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException

from ostatok.errors import SettingsError
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings


def librdkafka_config(settings: Settings) -> dict[str, Any]:
    """The connection part of a confluent_kafka client's configuration."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = _secret(settings.kafka_sasl_password)
    if settings.kafka_security_protocol.endswith("SSL"):
        files = {
            "ssl.ca.location": settings.kafka_ssl_ca_file,
            "ssl.certificate.location": settings.kafka_ssl_certificate_file,
            "ssl.key.location": settings.kafka_ssl_key_file,
        }
        config.update({name: str(path) for name, path in files.items() if path is not None})
        if settings.kafka_ssl_key_password is not None:
            config["ssl.key.password"] = _secret(settings.kafka_ssl_key_password)
    return config


@contextmanager
def configuring() -> Iterator[None]:
    """Turn librdkafka's refusal of a client's configuration into :class:`SettingsError`."""
    try:
        yield
    except KafkaException as error:
        raise SettingsError(
            f"Kafka's client refuses the settings: {error.args[0].str()}.",
            hint=f"See the settings {PREFIX}KAFKA_….",
        ) from error


def quiet() -> dict[str, Any]:
    """Let a librdkafka client say what it has to say as events of ours, not on standard error."""
    return {"logger": logging.getLogger("librdkafka"), "log_level": 4, "error_cb": _log_error}


def _log_error(error: KafkaError) -> None:
    structlog.get_logger().warning("kafka_client_error", code=error.name(), message=error.str())


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context for aiokafka; None when the connection is plain."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    ca_file = settings.kafka_ssl_ca_file
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if settings.kafka_ssl_certificate_file is not None:
        try:
            context.load_cert_chain(
                settings.kafka_ssl_certificate_file,
                settings.kafka_ssl_key_file,
                _secret(settings.kafka_ssl_key_password),
            )
        except (ssl.SSLError, OSError) as error:
            raise SettingsError(
                f"{PREFIX}KAFKA_SSL_CERTIFICATE_FILE and {PREFIX}KAFKA_SSL_KEY_FILE "
                f"can't be used together: {error}."
            ) from None
    return context


def _secret(value: Any) -> str | None:
    return None if value is None else value.get_secret_value()
