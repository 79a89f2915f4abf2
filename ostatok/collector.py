"""Where traces are sent, as the settings name it. Raises ValueError, saying what would be right."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

TRACES_PATH = "/v1/traces"
"""Where a collector takes traces by OTLP/HTTP."""

_HEADER = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*([\x21-\x7e](?:[\x20-\x7e]*\S)?)\s*")


def traces_url(text: str) -> str:
    """The address that spans are posted to: of a collector, or of where it takes traces."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or parts.fragment:
        raise ValueError("must be a URL such as http://collector:4318")
    if "@" in parts.netloc:
        raise ValueError("must hold no user and no password: those are headers")
    if parts.path.endswith(TRACES_PATH):
        return text
    return parts._replace(path=parts.path.rstrip("/") + TRACES_PATH).geturl()


def read_headers(text: str) -> dict[str, str]:
    """Read ``name=value,name=value``; a value may hold anything but a comma."""
    found = [_HEADER.fullmatch(part) for part in text.split(",") if part.strip()]
    headers = {one[1]: one[2] for one in found if one}
    if not found or len(headers) != len(found):
        raise ValueError("must be headers: name=value, separated by commas, no name twice")
    return headers


def _readable(value: SecretStr) -> SecretStr:
    read_headers(value.get_secret_value())
    return value


CollectorUrl = Annotated[str, AfterValidator(traces_url)]
CollectorHeaders = Annotated[SecretStr, AfterValidator(_readable)]
