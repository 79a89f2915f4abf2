"""What a person sees: counted in place on a terminal, a line now and then elsewhere."""

import io

import pytest

from ostatok.local.screen import Screen


class Out(io.StringIO):
    """Where it is written to, a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Tell which of the two it is."""
        return self._terminal


def show(out: Out) -> str:
    """Show what a start shows, and give what was written."""
    screen = Screen(out)
    screen.progress("Kafka: 1 of 2 jars")
    screen.progress("Postgres: starting")
    screen.progress("Kafka: 2 of 2 jars")
    screen.progress("Kafka: starting")
    screen.line("Ready.")
    return out.getvalue()


def test_a_terminal_counts_in_place() -> None:
    """Other steps are put above the line that counts, which stays one line."""
    assert show(Out(terminal=True)).replace("\r\x1b[K", "<") == (
        "<Kafka: 1 of 2 jars<Postgres: starting\nKafka: 1 of 2 jars"
        "<Kafka: 2 of 2 jars<Kafka: starting\nKafka: 2 of 2 jars\nReady.\n"
    )


def test_a_file_gets_few_lines() -> None:
    """Elsewhere every step is a line, and a count is one only every few seconds."""
    assert show(Out(terminal=False)) == (
        "Kafka: 1 of 2 jars\nPostgres: starting\nKafka: starting\nReady.\n"
    )


def test_a_reader_who_left_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody reads any more, saying something does nothing, so that stopping goes on."""
    out = Out(terminal=False)

    def write(_text: str) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(out, "write", write)
    Screen(out).line("Stopping…")
