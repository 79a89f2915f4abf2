"""Every setting: an environment variable ``OSTATOK_…``, checked at the start of a process.

A variable that holds a secret can be given as a file instead: ``OSTATOK_DATABASE_URL_FILE``.
Settings may make the receiver stricter; none changes what the stream makes of a record.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from psycopg import ProgrammingError
from psycopg.conninfo import make_conninfo
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from ostatok.collector import CollectorHeaders, CollectorUrl
from ostatok.errors import SettingsError
from ostatok.setting_types import Count, Identifier, Port, Seconds, SslMode, Timezone

PREFIX = "OSTATOK_"


class Settings(BaseSettings):
    """The settings of one process. A description is the README's table row."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    database_url: SecretStr = Field(
        SecretStr("postgresql://localhost/ostatok"),
        description="Postgres, as a libpq URL or key=value string",
    )
    database_password: SecretStr | None = Field(
        None, description="password, instead of one inside the URL"
    )
    database_sslmode: SslMode | None = Field(None, description="TLS to Postgres, libpq's sslmode")
    database_sslrootcert: Path | None = Field(
        None, description="file with the certificates that sign Postgres's"
    )
    database_schema: Identifier = Field("ostatok", description="schema of the ledger")
    database_pgbouncer: bool = Field(
        False,
        description="true when http reaches Postgres through PgBouncer in transaction mode; "
        "stream and migrate always connect directly",
    )
    database_pool_connections: Annotated[int, Field(ge=2, le=100)] = Field(
        4, description="connections of one http process at the most"
    )
    database_timeout_seconds: Seconds = Field(
        5, description="how long a balance read may wait for Postgres before it answers 503"
    )

    kafka_bootstrap_servers: str = Field(
        "localhost:9092", min_length=1, description="brokers, host:port, separated by commas"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how both Kafka clients connect"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="with SASL_…: the mechanism"
    )
    kafka_sasl_username: str | None = Field(None, description="with SASL_…: the user")
    kafka_sasl_password: SecretStr | None = Field(None, description="with SASL_…: the password")
    kafka_ssl_ca_file: Path | None = Field(
        None, description="with …SSL: certificates that sign the brokers' (default: the system's)"
    )
    kafka_ssl_certificate_file: Path | None = Field(
        None, description="with …SSL: our client certificate"
    )
    kafka_ssl_key_file: Path | None = Field(None, description="with …SSL: its private key")
    kafka_ssl_key_password: SecretStr | None = Field(
        None, description="with …SSL: the private key's password"
    )

    topic: str = Field("payments", pattern=r"^[a-zA-Z0-9._-]{1,200}$", description="the journal")
    topic_partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        12, description="partitions `migrate` makes the topic with; never changed after"
    )
    topic_replication: Annotated[int, Field(ge=1, le=32_767)] = Field(
        1, description="replicas `migrate` makes the topic with; production wants 3"
    )
    topic_min_insync: Annotated[int, Field(ge=1)] = Field(
        1,
        description="replicas that must have a record before the acknowledgement; production: 2",
    )
    topic_retention_ms: Annotated[int, Field(ge=-1)] = Field(
        -1, description="how long the topic keeps a record, milliseconds; -1 = for ever"
    )

    http_host: str = Field("127.0.0.1", description="address the HTTP service listens on")
    http_port: Port = Field(8000, description="port the HTTP service listens on")
    http_requests_max: Count = Field(
        5_000,
        description="webhooks, and balance reads, one process has in hand at the most; past it 503",
    )
    http_backlog_connections: Count = Field(
        10_000, description="connections waiting to be accepted at the most (listen backlog)"
    )
    http_drain_seconds: Seconds = Field(
        5, description="how long requests in hand may take after SIGTERM"
    )
    http_workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="processes of one `ostatok http`; they share the port and the watermark"
    )
    http_worker: Annotated[int, Field(ge=0, le=63)] = Field(
        0, description="number of this process among them; set by `ostatok http` itself"
    )
    http_workers_folder: Path | None = Field(
        None, description="folder they share; set by `ostatok http` itself"
    )
    http_operators: bool = Field(
        False,
        description="true: `/api/dead-letters/` and the console's decisions are on: "
        "anyone who reaches the port can redrive and discard; nobody is asked who they are",
    )
    http_names: str | None = Field(
        None,
        description="names, separated by commas, by which operators' browsers reach the console "
        "and `/api/dead-letters/`; localhost and addresses are always taken",
    )
    http_console: bool = Field(
        False,
        description="true: http answers at `/console/` too, where anyone who reaches the port sees "
        "all organizations; nobody is asked who they are",
    )
    console_timezone: Timezone = Field(
        "Europe/Moscow", description="zone of every time that the console shows or is given"
    )
    publish_timeout_seconds: Annotated[float, Field(ge=0.1, le=300)] = Field(
        5, description="how long Kafka may take to acknowledge before a webhook gets 503"
    )
    publish_linger_ms: Annotated[float, Field(ge=0, le=1000)] = Field(
        5, description="how long the producer collects records for one produce request"
    )
    read_wait_seconds: Annotated[float, Field(ge=0, le=30)] = Field(
        1, description="how long a balance read waits for webhooks already acknowledged; 0 = off"
    )
    prefer_wait_seconds_max: Annotated[float, Field(ge=0, le=300)] = Field(
        10, description="how long a client may wait by `Prefer: wait=N`; a longer wish is cut"
    )
    inn_check_digits: bool = Field(
        False, description="true: the receiver refuses an INN whose check digits are wrong"
    )

    stream_group: str = Field("ostatok", min_length=1, description="the workers' consumer group")
    stream_batch_records_max: Annotated[int, Field(ge=1, le=100_000)] = Field(
        8_000, description="records applied in one transaction at the most"
    )
    stream_connections: Annotated[int, Field(ge=1, le=16)] = Field(
        2,
        description="transactions of a worker at once, each with partitions of its own; a worker "
        "holds one connection more",
    )
    stream_metrics_host: str = Field(
        "127.0.0.1", description="address of a worker's /healthz, /readyz and /metrics"
    )
    stream_metrics_port: Port = Field(8001, description="port of the same; 0 = any free one")

    traces_endpoint: CollectorUrl | None = Field(
        None,
        description="OTLP/HTTP collector that gets traces, such as http://collector:4318; "
        "unset = no traces. Needs the extra `ostatok[telemetry]`",
    )
    traces_headers: CollectorHeaders | None = Field(
        None, description="headers for the collector, name=value, separated by commas"
    )
    traces_ratio: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        0.01,
        description="share of the requests without a `traceparent` that are traced; one with a "
        "`traceparent` is traced when that says so",
    )
    traces_per_second_max: Count = Field(
        200,
        description="requests of an http process, records of a worker traced in a second at the "
        "most",
    )
    traces_queue_spans_max: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        2_048, description="spans of a process waiting for the collector at the most"
    )
    traces_timeout_seconds: Annotated[float, Field(ge=2, le=300)] = Field(
        5, description="how long the collector may take, tries again included"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least grave event that is logged"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else json"
    )
    log_file: Path | None = Field(
        None, description="log into this file, in 5 pieces of 16 MiB, instead of standard error"
    )
    log_operations: bool = Field(
        True, description="one event for each webhook and each payment applied"
    )

    @field_validator("database_url")
    @classmethod
    def _is_conninfo(cls, value: SecretStr) -> SecretStr:
        try:
            make_conninfo(value.get_secret_value())
        except ProgrammingError:
            raise ValueError("must be a libpq URL: postgresql://user@host:5432/name") from None
        return value

    @field_validator(
        "database_sslrootcert",
        "kafka_ssl_ca_file",
        "kafka_ssl_certificate_file",
        "kafka_ssl_key_file",
    )
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"must be a readable file; there is none at {value}")
        return value

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                f"{PREFIX}KAFKA_SASL_USERNAME and {PREFIX}KAFKA_SASL_PASSWORD must be set "
                f"when {PREFIX}KAFKA_SECURITY_PROTOCOL is {self.kafka_security_protocol}"
            )
        if self.topic_min_insync > self.topic_replication:
            raise ValueError(
                f"{PREFIX}TOPIC_MIN_INSYNC must not be greater than {PREFIX}TOPIC_REPLICATION"
            )
        return self

    @property
    def database_conninfo(self) -> str:
        """The connection string, with TLS and password in it: a secret."""
        extra: dict[str, str] = {}
        if self.database_password is not None:
            extra["password"] = self.database_password.get_secret_value()
        if self.database_sslmode is not None:
            extra["sslmode"] = self.database_sslmode
        if self.database_sslrootcert is not None:
            extra["sslrootcert"] = str(self.database_sslrootcert)
        return make_conninfo(self.database_url.get_secret_value(), **extra)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then variables, then the files that ``…_FILE`` variables name."""
        return init_settings, env_settings, _SecretFiles(settings_cls)


class _SecretFiles(EnvSettingsSource):
    """``OSTATOK_X_FILE=/run/secrets/x`` gives the secret setting ``x``."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = f"{PREFIX}{field_name.upper()}_FILE"
        path = os.environ.get(variable)
        if not path or "SecretStr" not in str(field.annotation):
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable} names a file that can't be read: {error}.") from None


def load(**given: Any) -> Settings:
    """Read the settings. Raises :class:`SettingsError` with every wrong variable named."""
    try:
        return Settings(**given)
    except SourceError as error:
        if isinstance(error.__cause__, SettingsError):
            raise error.__cause__ from None
        raise
    except ValidationError as error:
        wrong = [_sentence(dict(details)) for details in error.errors()]
        raise SettingsError(
            " ".join(wrong), hint="The README's table lists every setting and its default."
        ) from None


def _sentence(details: dict[str, Any]) -> str:
    message = str(details["msg"]).removeprefix("Value error, ")
    if not details["loc"]:
        return f"{message}."
    variable = PREFIX + str(details["loc"][0]).upper()
    return f"{variable}: {message[0].lower()}{message[1:]}."
