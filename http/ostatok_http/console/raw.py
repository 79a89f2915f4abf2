"""Bytes as the console shows them."""

import codecs
from dataclasses import dataclass
from functools import cached_property

SHOWN_BYTES_MAX = 65_536

_decoder = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True)
class Raw:
    """Some bytes, or None where there are none."""

    value: bytes | None

    @cached_property
    def text(self) -> str | None:
        """The bytes as text, when they are UTF-8 that a page can show."""
        try:
            # What is cut may be cut within a character.
            text = _decoder().decode((self.value or b"")[:SHOWN_BYTES_MAX], final=not self.is_cut)
        except UnicodeDecodeError:
            return None
        return text if "\x00" not in text else None

    @property
    def is_cut(self) -> bool:
        """Whether there is more of it than is shown."""
        return len(self.value or b"") > SHOWN_BYTES_MAX

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
