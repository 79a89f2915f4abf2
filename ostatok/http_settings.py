"""The settings of the HTTP service: where it listens, how much it takes in, and whom it lets in."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from ostatok.setting_types import Count, Networks, Part, Port, Seconds, Served, Timezone


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
    http_authentication: bool = Field(
        False,
        description="true: readers and operators prove who they are: the API by a token "
        "(`ostatok token`), the console by a login (`ostatok user`)",
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

    def serves(self, part: Part) -> bool:
        """Whether a part of the service is answered here."""
        return part in self.http_serve.split(",")
