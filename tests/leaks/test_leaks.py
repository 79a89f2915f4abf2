"""No secret comes out: each is planted, everything is driven, every place is searched."""

import pytest
from support import leaks
from support.leak_scene import KEEPS_BODIES, PLACES, Scene

from ostatok.settings import Settings


def test_every_secret_setting_is_planted() -> None:
    """A new secret setting needs a value in tests/support/leaks.py, with a planted text in it."""
    secret = {
        name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
    }
    assert set(leaks.SETTINGS) == secret
    for name, value in leaks.SETTINGS.items():
        assert leaks.found_in(value.encode(), [name]), name
    sent = f"{leaks.SENT} {leaks.QUERY} {leaks.TYPED}".encode()
    assert {one.partition(":")[0] for one in leaks.found_in(sent)} == set(leaks.SECRETS) - secret


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_a_secret_is_found_however_it_is_written(before: str) -> None:
    """As it is, in hexadecimal, and in base64 wherever it begins there."""
    import base64  # noqa: PLC0415

    text = f"{before}:{leaks.planted('token')}!".encode()
    for written in (text, text.hex().encode(), base64.b64encode(text)):
        assert [one.partition(":")[0] for one in leaks.found_in(written)] == ["token"]
    assert not leaks.found_in(leaks.planted("another").encode())


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_in(scene: Scene, place: str) -> None:
    """Neither a setting's, nor one that a client sent, nor one that was made and shown once."""
    assert all(len(one) >= 16 for one in scene.made.values())
    assert len(scene.places[place]) > 100, "nothing came out there, so nothing was looked at"
    assert not leaks.found_in(scene.places[place], also=scene.made)


@pytest.mark.parametrize("place", [place for place in PLACES if place not in KEEPS_BODIES])
def test_no_content_of_a_body_is_in(scene: Scene, place: str) -> None:
    """Bodies are kept and shown where they belong, and repeated nowhere else."""
    assert not leaks.found_in(scene.places[place], leaks.CONTENT)


def test_what_was_planted_was_there(scene: Scene) -> None:
    """The search finds what is to be found: what a process is given, and bodies in the journal."""
    given = {one.partition(":")[0] for one in leaks.found_in(scene.environment)}
    assert given == set(leaks.SETTINGS)
    assert leaks.found_in(scene.places["journal"], ["good body"])


def test_a_look_into_a_worker_shows_no_values(scene: Scene) -> None:
    """SIGUSR1 says where each thread is. Faust's own way has the values of all variables too."""
    assert b"Current thread" in scene.places["logs"]
    assert b"LOCAL VARIABLES" not in scene.places["logs"]


def test_everything_was_driven(scene: Scene) -> None:
    """There were right answers and wrong ones, spans of both parts, tracebacks in both formats."""
    answers = scene.places["answers"]
    for status in (b"200", b"400", b"401", b"404", b"405", b"413", b"500"):
        assert b"\n" + status + b" " in answers, status
    assert b"\n503 " in scene.places["answers of those who reach nothing"]
    assert b"Traceback" in scene.places["logs"]
    assert b"migrate',) ended with 0" in scene.places["commands"]
    assert b"ended with 0" not in scene.places["commands that reach nothing"]
    away = scene.places["logs of those who reach nothing"]
    assert b"password authentication failed" in away
