"""A copy of the topic in a folder: files that any program can read, each written once.

``copy.json`` says of which topic; ``<partition>/<first>-<after>.jsonl.gz`` holds the records of the
offsets [first, after), one a line; ``ends.json`` says how far the last backup came, and alone is
replaced. A file appears whole or not at all. So a copy of the folder that took ``ends.json`` first
is a copy of the topic, made at any moment.
"""

import fcntl
import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from ostatok.errors import OstatokError
from ostatok.journal import Record
from ostatok.readable import Text, bytes_of, text_of

FORMAT = 1
COMPRESSION_LEVEL = 1
"""The fastest: bodies are so alike that others gain little."""

READ_BYTES = 1 << 20

_NAME = re.compile(r"(\d{20})-(\d{20})\.jsonl\.gz").fullmatch


class Described(msgspec.Struct, frozen=True):
    """Which topic a folder is a copy of."""

    topic: str
    topic_id: str
    partitions: int
    format: int = FORMAT


class Piece(NamedTuple):
    """One file, and the offsets that it holds: [first, after)."""

    first: int
    after: int
    path: Path


class _Line(msgspec.Struct):
    offset: int
    timestamp_ms: int
    key: Text
    value: Text
    headers: list[tuple[str, Text]] | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


class TopicCopy:
    """The files of one folder. Raises :class:`OstatokError` when they are not what they must be."""

    def __init__(self, folder: Path, described: Described) -> None:
        self._folder = folder
        self.described = described

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open one that is there."""
        try:
            described = msgspec.json.decode((folder / "copy.json").read_bytes(), type=Described)
        except FileNotFoundError:
            raise OstatokError(f"There is no copy of a topic in {folder}.") from None
        except msgspec.DecodeError as error:
            raise OstatokError(f"{folder / 'copy.json'} can't be read: {error}.") from None
        if described.format != FORMAT:
            raise OstatokError(
                f"The copy in {folder} has format {described.format}; {FORMAT} is known here.",
                hint="A newer version of Ostatok wrote it.",
            )
        return cls(folder, described)

    @classmethod
    def of(cls, folder: Path, described: Described) -> Self:
        """Open or make one of a topic; one of another topic is refused."""
        if not (folder / "copy.json").exists():
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise OstatokError(f"{folder} is not empty, and no copy of a topic.")
            with _whole(folder / "copy.json") as path:
                path.write_bytes(_encode(described))
        found = cls.open(folder)
        if found.described != described:
            raise OstatokError(
                f"{folder} holds a copy of another topic: {found.described.topic}, "
                f"id {found.described.topic_id}, {found.described.partitions} partitions.",
                hint="Give another folder.",
            )
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else write meanwhile."""
        with (self._folder / "copy.json").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OstatokError(f"Somebody else is writing to {self._folder}.") from None
            yield

    def pieces(self, partition: int) -> list[Piece]:
        """The files of a partition in order. None is missing between the first and the last."""
        folder = self._folder / f"{partition:05}"
        found = [
            Piece(int(name[1]), int(name[2]), path)
            for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
            if (name := _NAME(path.name))
        ]
        for before, piece in pairwise(found):
            if before.after != piece.first:
                raise OstatokError(
                    f"The copy lacks offsets {before.after} to {piece.first} of partition "
                    f"{partition}: a file is missing in {folder}."
                )
        return found

    def add(self, partition: int, first: int, after: int, records: Iterable[Record]) -> None:
        """Write a file of the records in [first, after), of which a topic may skip some."""
        folder = self._folder / f"{partition:05}"
        folder.mkdir(exist_ok=True)
        with (
            _whole(folder / f"{first:020}-{after:020}.jsonl.gz") as path,
            gzip.open(path, "wb", COMPRESSION_LEVEL) as file,
        ):
            file.writelines(_encode(_line(one)) + b"\n" for one in records)

    def read(self, partition: int, piece: Piece) -> Iterator[Record]:
        """Give the records of a file in order, once the whole file is known to be sound."""
        try:
            with gzip.open(piece.path, "rb") as file:
                # gzip's checksum is at the end, and a byte that changed may leave a line readable.
                while file.read(READ_BYTES):
                    pass
            with gzip.open(piece.path, "rb") as file:
                for text in file:
                    line = _decode(text)
                    if not piece.first <= line.offset < piece.after:
                        raise OstatokError(f"{piece.path} holds the offset {line.offset}.")
                    yield _record(partition, line)
        except (OSError, EOFError, zlib.error, msgspec.DecodeError, ValueError) as error:
            raise OstatokError(f"{piece.path} can't be read: {error}.") from error

    def note_ends(self, ends: Mapping[int, int]) -> None:
        """Keep how far the copy is, so that a last file that is missing is missed."""
        with _whole(self._folder / "ends.json") as path:
            path.write_bytes(_encode(ends))

    def ends(self) -> dict[int, int]:
        """How far the copy was after its last backup; empty before the first has ended."""
        try:
            text = (self._folder / "ends.json").read_bytes()
        except FileNotFoundError:
            return {}
        try:
            return msgspec.json.decode(text, type=dict[int, int])
        except msgspec.DecodeError as error:
            raise OstatokError(f"{self._folder / 'ends.json'} can't be read: {error}.") from None


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a path to write to; what was written appears under its name once it is on the disk."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        unfinished.unlink(missing_ok=True)


def _line(record: Record) -> _Line:
    headers = record.headers
    return _Line(
        record.offset,
        record.timestamp_ms,
        text_of(record.key),
        text_of(record.value),
        None if headers is None else [(name, text_of(value)) for name, value in headers],
    )


def _record(partition: int, line: _Line) -> Record:
    headers = line.headers
    return Record(
        partition,
        line.offset,
        line.timestamp_ms,
        bytes_of(line.key),
        bytes_of(line.value),
        None if headers is None else [(name, bytes_of(value)) for name, value in headers],
    )
