"""A record that is no payment, as it came."""

from collections.abc import Sequence

import msgspec

from ostatok.readable import Text, text_of


class Content(msgspec.Struct, frozen=True):
    """The record of a dead letter as it came; all None and empty once somebody emptied it."""

    key: bytes | None
    value: bytes | None
    header_names: Sequence[bytes]
    header_values: Sequence[bytes | None]
    timestamp_ms: int

    def shown(self) -> "ShownRecord":
        """The record for a reader of JSON."""
        headers = zip(self.header_names, self.header_values, strict=True)
        return ShownRecord(
            text_of(self.key),
            text_of(self.value),
            [(text_of(name), text_of(value)) for name, value in headers],
            self.timestamp_ms,
        )


class ShownRecord(msgspec.Struct, frozen=True):
    """A record for a reader of JSON: what is no text is in base64, and says so."""

    key: Text
    value: Text
    headers: list[tuple[Text, Text]]
    timestamp_ms: int
