"""Every setting: an environment variable ``OSTATOK_…``, checked at the start of a process.

A variable that holds a secret can be given as a file instead: ``OSTATOK_DATABASE_URL_FILE``.
Settings may make the receiver stricter; none changes what the stream makes of a record.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
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
from ostatok.http_settings import HttpSettings
from ostatok.service_settings import ServiceSettings
from ostatok.setting_types import PREFIX, Count, Port


class Settings(HttpSettings, ServiceSettings):
    """The settings of one process. A description is the README's table row."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
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
            # Not what it names: it may be the secret itself, given in the wrong variable.
            why = getattr(error, "strerror", None) or "it is no text in UTF-8"
            raise SettingsError(f"{variable} names a file that can't be read: {why}.") from None


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
