"""Kafka's jars: what is wrong is found, fetched again, and named when it stays wrong."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ostatok.errors import LocalError
from ostatok.local import jars
from ostatok.local.jars import Jar

CONTENT = {f"org.example:part-{number}:1.{number}": b"bytes %d" % number for number in range(8)}
JARS = tuple(Jar(name, hashlib.sha256(content).hexdigest()) for name, content in CONTENT.items())


class Shop:
    """Stands for Maven Central: gives the content, but for a name first what ``wrong`` says."""

    def __init__(self, wrong: dict[str, list[bytes | OSError]] | None = None) -> None:
        self.wrong = wrong or {}
        self.asked: list[str] = []

    def __call__(self, coordinate: str, scratch: Path) -> Path:
        """Put what is asked for below ``scratch``."""
        self.asked.append(coordinate)
        answers = self.wrong.get(coordinate)
        content = answers.pop(0) if answers else CONTENT[coordinate]
        if isinstance(content, OSError):
            raise content
        scratch.mkdir(exist_ok=True)
        path = scratch / coordinate.replace(":", "_")
        assert not path.exists(), "jgo gives a file again that lies there, so it must not"
        path.write_bytes(content)
        return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"BYTES 3"),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["altered", "cut short", "empty", "missing"],
)
def test_a_damaged_jar_is_fetched_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Whatever happened to one jar of the cache, it alone is fetched again, and is right then."""
    jars.fetch_missing(tmp_path, JARS, Shop())
    assert not jars.damaged(tmp_path, JARS)
    damage(tmp_path / JARS[3].filename)
    assert jars.damaged(tmp_path, JARS) == [JARS[3]]
    shop = Shop()
    jars.fetch_missing(tmp_path, JARS, shop)
    assert shop.asked == [JARS[3].coordinate]
    assert not jars.damaged(tmp_path, JARS)
    assert {path.name for path in tmp_path.iterdir()} == {jar.filename for jar in JARS} | {"lock"}


def test_a_bad_download_is_tried_again(tmp_path: Path) -> None:
    """A download that broke, was cut short or brought something else is not the last word."""
    first, second, third = JARS[0], JARS[1], JARS[2]
    shop = Shop(
        {
            first.coordinate: [OSError("connection reset"), OSError("timed out")],
            second.coordinate: [b"bytes"],
            third.coordinate: [b"<html>Sign in</html>"],
        }
    )
    jars.fetch_missing(tmp_path, JARS, shop)
    assert not jars.damaged(tmp_path, JARS)


@pytest.mark.parametrize("answer", [b"something else", OSError("no route to host")])
def test_a_jar_that_stays_wrong_is_named(tmp_path: Path, answer: bytes | OSError) -> None:
    """What can't be had is named in the error, and nothing wrong is left in the cache."""
    bad = JARS[5]
    with pytest.raises(LocalError, match=re.escape(bad.coordinate)):
        jars.fetch_missing(tmp_path, JARS, Shop({bad.coordinate: [answer] * jars.TRIES}))
    assert not (tmp_path / bad.filename).exists()


def test_an_archive_of_other_jars_is_thrown_away(tmp_path: Path) -> None:
    """A class archive is bound to the jars' very files, so a jar that is replaced ends it."""
    (tmp_path / "classes.jsa").touch()
    jars.fetch_missing(tmp_path, JARS, Shop())
    assert not (tmp_path / "classes.jsa").exists()


def test_the_list_is_whole_and_names_no_place() -> None:
    """The list is sorted, names each jar once, has Kafka in it, and says nothing of an address."""
    pinned = jars.pinned()
    assert len(pinned) == len({jar.filename for jar in pinned}) == 46
    assert [jar.coordinate for jar in pinned] == sorted(jar.coordinate for jar in pinned)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in pinned)
    assert f"org.apache.kafka:kafka_2.13:{jars.kafka_version()}" in {j.coordinate for j in pinned}
    assert "//" not in jars.LIST.read_text(encoding="ascii")
