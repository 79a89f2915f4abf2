"""Requests as bytes, made beforehand."""

from collections.abc import Mapping
from types import MappingProxyType

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def post(path: str, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
    """A POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    head += _lines(headers)
    return b"%sContent-Length: %d\r\n\r\n%s" % (head.encode(), len(body), body)


def get(path: str, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
    """A GET."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{_lines(headers)}\r\n".encode()


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {text}\r\n" for name, text in headers.items())
