"""Bytes for readers of JSON: text as it is, and what is no text in base64."""

import base64

import msgspec


class Base64(msgspec.Struct):
    """Bytes that are no text."""

    base64: str


Text = str | Base64 | None


def text_of(raw: bytes | None) -> Text:
    """Give bytes as text where they are some; None stays None."""
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Base64(base64.b64encode(raw).decode())


def bytes_of(text: Text) -> bytes | None:
    """Give the bytes that :func:`text_of` was given."""
    if isinstance(text, Base64):
        return base64.b64decode(text.base64)
    return None if text is None else text.encode()
