"""The settings of what Ostatok works with: Postgres, Kafka, and the topic."""

from pathlib import Path
from typing import Annotated, Literal, Self

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from ostatok.setting_types import PREFIX, Identifier, Role, Seconds, SslMode, is_file


class ServiceSettings(BaseSettings):
    """The part of :class:`ostatok.settings.Settings` that says how services are reached."""

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
    database_role_migrate: Role | None = Field(
        None, description="role that owns the ledger; `migrate` refuses to run as any other"
    )
    database_role_stream: Role | None = Field(
        None,
        description="role of the stream processes, which `migrate` grants what they need; unset = "
        "they have the owner's",
    )
    database_role_http: Role | None = Field(
        None, description="the same for http: it reads the ledger and can't change it"
    )
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

    @field_validator("database_url")
    @classmethod
    def _is_conninfo(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        try:
            make_conninfo(text)
        except ProgrammingError:
            raise ValueError("must be a libpq URL: postgresql://user@host:5432/name") from None
        if _password_spills(text):
            raise ValueError(
                "holds a password that must be written otherwise in a URL: @ as %40, / as %2F"
            )
        return value

    @field_validator(
        "database_sslrootcert",
        "kafka_ssl_ca_file",
        "kafka_ssl_certificate_file",
        "kafka_ssl_key_file",
    )
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        return is_file(value)

    @model_validator(mode="after")
    def _are_different(self) -> Self:
        named = [one for one in self.database_roles.values() if one is not None]
        if len(set(named)) < len(named):
            raise ValueError(
                f"{PREFIX}DATABASE_ROLE_MIGRATE, {PREFIX}DATABASE_ROLE_STREAM and "
                f"{PREFIX}DATABASE_ROLE_HTTP must be different roles"
            )
        return self

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
    def database_roles(self) -> dict[str, str | None]:
        """Part → the role of Postgres that is named for it."""
        return {
            "migrate": self.database_role_migrate,
            "stream": self.database_role_stream,
            "http": self.database_role_http,
        }

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


def _password_spills(text: str) -> bool:
    """Whether a part of the password would be taken for the host or the database's name.

    libpq ends the password of a URL at the first @ or /, and its errors name host and database.
    """
    _, is_url, rest = text.partition("://")
    path = rest.partition("?")[0].partition("/")[2]
    return "@" in str(conninfo_to_dict(text).get("host", "")) or bool(is_url and "@" in path)
