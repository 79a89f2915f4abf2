"""Bytes as the console shows them."""

from dataclasses import dataclass
from functools import cached_property

SHOWN_BYTES_MAX = 65_536


@dataclass(frozen=True)
class Raw:
    """Some bytes, or None where there are none."""

    value: bytes | None

    @cached_property
    def text(self) -> str | None:
        """The bytes as text, when they are UTF-8 that a page can show."""
        try:
            text = (self.value or b"")[:SHOWN_BYTES_MAX].decode()
        except UnicodeDecodeError:
            return None
        return text if "\x00" not in text else None

    @cached_property
    def hexadecimal(self) -> str:
        """The bytes in lines of sixteen, each with the offset of its first and with what is text.

        For those that are no text.
        """
        lines = []
        data = (self.value or b"")[:SHOWN_BYTES_MAX]
        for at in range(0, len(data), 16):
            piece = data[at : at + 16]
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
            lines.append(f"{at:05x}  {piece.hex(' '):<47}  {shown}")
        return "\n".join(lines)
