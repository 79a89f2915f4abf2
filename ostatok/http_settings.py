"""The settings of the HTTP service: where it listens, how much it takes in, and whom it lets in."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from ostatok.setting_types import (
    PREFIX,
    Count,
    Networks,
    Part,
    Port,
    Seconds,
    Served,
    Timezone,
    is_file,
)
from ostatok.sources import read_sources


class HttpSettings(BaseSettings):
    """The part of :class:`ostatok.settings.Settings` that ``ostatok http`` goes by."""

    http_serve: Served = Field(
        "webhook,api",
        description="what this process answers: `webhook`, `api` (balances, histories, documents, "
        "metrics) and `console`, separated by commas",
    )
    http_host: str = Field("127.0.0.1", description="address the HTTP service listens on")
    http_port: Port = Field(8000, description="port the HTTP service listens on")
    http_trusted_proxies: Networks | None = Field(
        None,
        description="networks of our own proxies, separated by commas: what they say in "
        "X-Forwarded-For of who asks is believed, and nobody else",
    )
    sources: SecretStr | None = Field(
        None,
        description="who may send webhooks and how each proves it, as TOML: docs/security.md; "
        "unset = `bank` alone, and anyone may say that he is it",
    )
    http_authentication: bool = Field(
        False,
        description="true: readers and operators prove who they are: the API by a token "
        "(`ostatok token`), the console by a login (`ostatok user`)",
    )
    http_open_to_all: bool = Field(
        False,
        description="true: starts on other addresses than loopback also without `OSTATOK_SOURCES` "
        "and `OSTATOK_HTTP_AUTHENTICATION`: whoever reaches the port can credit any organization "
        "and read all",
    )
    http_tls_certificate_file: Path | None = Field(
        None, description="TLS: the service's certificate, and those that lead to its CA (PEM)"
    )
    http_tls_key_file: Path | None = Field(None, description="TLS: its private key (PEM)")
    http_tls_client_ca_file: Path | None = Field(
        None, description="TLS: certificates that sign those of clients, for mTLS"
    )
    http_metrics_port: Port | None = Field(
        None,
        description="port of its own for `/metrics` and `/readyz`, which the other one then has "
        "no more",
    )
    http_metrics_host: str = Field("127.0.0.1", description="address of that port")
    http_requests_max: Count = Field(
        5_000,
        description="webhooks, and balance reads, one process has in hand at the most; past it 503",
    )
    http_backlog_connections: Count = Field(
        10_000, description="connections waiting to be accepted at the most (listen backlog)"
    )
    http_connections_max: Count = Field(
        10_000,
        description="connections one process has at the most; past it new ones are ended at once",
    )
    http_client_connections_max: Count = Field(
        5_000,
        description="those of one address; a network of 2**64 counts as one, "
        "and the proxies that are trusted don't count",
    )
    http_client_requests_per_second: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        None,
        description="requests one address may make in a second, past the burst; then 429. "
        "Each of several processes has its share. Not set: no limit",
    )
    http_client_requests_burst: Count = Field(
        100, description="requests one address may make at once, when it made none for a while"
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
        description="without `OSTATOK_HTTP_AUTHENTICATION`: true = `/api/dead-letters/` and the "
        "console's decisions are on, for anyone who reaches the port",
    )
    http_names: str | None = Field(
        None,
        description="names, separated by commas, by which operators' browsers reach the console "
        "and `/api/dead-letters/`; localhost and addresses are always taken",
    )
    console_timezone: Timezone = Field(
        "Europe/Moscow", description="zone of every time that the console shows or is given"
    )
    console_session_seconds: Annotated[float, Field(ge=60, le=604_800)] = Field(
        43_200, description="how long after a login to the console one has to log in anew"
    )
    console_idle_seconds: Annotated[float, Field(ge=60, le=604_800)] = Field(
        1_800,
        description="the same when no page was asked for meanwhile; a page that is only looked at "
        "asks for none",
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

    @field_validator("sources")
    @classmethod
    def _are_sources(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_sources(value.get_secret_value())
        return value

    @field_validator("http_tls_certificate_file", "http_tls_key_file", "http_tls_client_ca_file")
    @classmethod
    def _is_tls_file(cls, value: Path | None) -> Path | None:
        return is_file(value)

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.http_tls_certificate_file is None) != (self.http_tls_key_file is None):
            raise ValueError(
                f"{PREFIX}HTTP_TLS_CERTIFICATE_FILE and {PREFIX}HTTP_TLS_KEY_FILE must be set "
                "together"
            )
        if self.http_tls_client_ca_file is not None and self.http_tls_certificate_file is None:
            raise ValueError(
                f"{PREFIX}HTTP_TLS_CLIENT_CA_FILE must come with {PREFIX}HTTP_TLS_CERTIFICATE_FILE"
            )
        return self

    @property
    def serves_operators(self) -> bool:
        """Whether the API's addresses for operators are answered: for all, or for who proves it."""
        return self.http_operators or self.http_authentication

    @property
    def has_tls(self) -> bool:
        """Whether the service encrypts by itself."""
        return self.http_tls_certificate_file is not None

    def serves(self, part: Part) -> bool:
        """Whether a part of the service is answered here."""
        return part in self.http_serve.split(",")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
