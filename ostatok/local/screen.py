"""What a person sees while something goes on."""

import re
import sys
import time
from contextlib import suppress
from typing import TextIO

_SECONDS_BETWEEN = 3.0


class Screen:
    """Lines, and progress: counted in place on a terminal, elsewhere a line now and then."""

    def __init__(self, out: TextIO | None = None) -> None:
        """Write to ``out``, standard output if none is given."""
        self._out = out or sys.stdout
        self._is_terminal = self._out.isatty()
        self._counting = ""
        self._last = 0.0

    def line(self, text: str = "") -> None:
        """Say something that stays, below all progress so far."""
        self.end()
        self._write(f"{text}\n")

    def progress(self, text: str) -> None:
        """Say what is done now.

        A text with digits counts: it replaces the one before it that differs in digits only.
        """
        if not re.search(r"\d", text):
            self._step(text)
            return
        again = _kind(text) == _kind(self._counting)
        if self._is_terminal:
            self._write(f"\r\x1b[K{text}" if again or not self._counting else f"\n{text}")
        elif not again or time.monotonic() - self._last > _SECONDS_BETWEEN:
            self._write(f"{text}\n")
            self._last = time.monotonic()
        self._counting = text

    def end(self) -> None:
        """Leave what was counted on its line: what is said next begins a new one."""
        if self._is_terminal and self._counting:
            self._write("\n")
        self._counting = ""

    def _step(self, text: str) -> None:
        if self._is_terminal and self._counting:
            # Above the line that counts, which goes on.
            self._write(f"\r\x1b[K{text}\n{self._counting}")
        else:
            self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        # The terminal or the reader of the pipe may be gone: no reason to leave parts running.
        with suppress(OSError):
            self._out.write(text)
            self._out.flush()


def _kind(text: str) -> str:
    return re.sub(r"\d+", "0", text)
