"""Dead letters: looked at, redriven once they can be payments, or discarded with a reason."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from support.foreign import HOME, INN, produce, strange_records
from support.payments import MOMENT, body, document
from support.services import Services
from support.system import System, request, wait_until

from ostatok.journal import headers_of

SECONDS_MAX = 60


@pytest.fixture
def system(services: Services, tmp_path: Path) -> Iterator[System]:
    """A system whose topic has some records that can be no payment."""
    settings = services.new_settings(http_operators=True, read_wait_seconds=20)
    with System(settings, tmp_path) as running:
        running.start_http()
        running.start_stream()
        yield running


def write(system: System, *records: dict[str, Any]) -> None:
    """Write records that will be dead, and wait until they are."""
    ((before,),) = system.sql("SELECT count(*) FROM dead_letter")
    produce(system.settings, list(records))
    dead = before + len(records)
    wait_until(lambda: system.sql("SELECT count(*) FROM dead_letter") == [(dead,)], "all are dead")


def command(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``ostatok dead-letters``."""
    return subprocess.run(
        [sys.executable, "-m", "ostatok", "dead-letters", *arguments],
        env=system.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def said(system: System, *arguments: str) -> str:
    """Run it, see that it went well, and give what it said."""
    done = command(system, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def decide(system: System, path: str, value: bytes = b"", status: int = 200) -> dict[str, Any]:
    """Decide over HTTP, and see what status it gets."""
    headers = {"Content-Type": "application/json", "Ostatok-By": "night shift"}
    address = f"/api/dead-letters/{path}"
    answer = request(system.settings.http_port, "POST", address, value, headers, seconds=30)
    assert answer.status == status, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


def listed(system: System, **parameters: str) -> list[dict[str, Any]]:
    """List over HTTP."""
    address = f"/api/dead-letters/?{urlencode(parameters)}"
    answer = request(system.settings.http_port, "GET", address)
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = json.loads(answer.body)["dead_letters"]
    return found


def wrong_key(paid: dict[str, Any]) -> dict[str, Any]:
    """A payment under a key that is not its INN."""
    headers = headers_of(source="bank", received_at=MOMENT, request_id="r")
    value = json.dumps(paid).encode()
    return {"key": "1234567890", "value": value, "partition": HOME, "headers": headers}


def test_they_are_listed_and_shown(system: System) -> None:
    """Each with its reason, chosen by reason, operation or time; whole as JSON, also odd bytes."""
    write(system, *strange_records())
    listed = json.loads(said(system, "list", "--json"))
    assert len(listed) == len(strange_records())
    assert said(system, "list").splitlines()[-1] == f"{len(listed)} dead letters."
    some = json.loads(said(system, "list", "--json", "--reason", "IS NOT json"))
    assert {one["reason"] for one in some} == {"is not JSON"}
    assert json.loads(said(system, "list", "--json", "--since", "2100-01-01")) == []
    named = next(one for one in listed if one["operation_id"])
    by_operation = said(system, "list", "--json", "--operation", named["operation_id"])
    assert json.loads(by_operation) == [named]
    odd = next(one for one in listed if "UTF-8" in one["reason"])
    shown = json.loads(said(system, "show", f"{odd['partition']}:{odd['offset']}"))
    assert shown["record"]["value"] == {"base64": "//4A"}
    assert (shown["letter"], shown["record"]["key"]) == (odd, INN)


def test_one_that_can_be_a_payment_is_redriven(system: System) -> None:
    """Under the right key; the two name each other, and the money is counted once."""
    paid = document(payer_inn=INN, amount=5)
    write(system, wrong_key(paid))
    ((partition, offset),) = system.sql('SELECT partition, "offset" FROM dead_letter')
    position = f"{partition}:{offset}"
    assert "would be published" in said(system, "redrive", position, "--dry-run")
    assert system.sql("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(0,)]
    text = said(system, "redrive", position, "--by", "night shift")
    wait_until(lambda: system.sql("SELECT 1 FROM payment") == [(1,)], "it is applied")
    ((new_partition, new_offset, source),) = system.sql(
        'SELECT partition, "offset", source FROM payment'
    )
    assert f"is published at {new_partition}:{new_offset}." in text
    assert source == "bank"
    assert json.loads(system.balance(INN).body)["balance"] == 5
    assert "0 dead letters." in said(system, "list")
    assert "[redriven at" in said(system, "list", "--all")
    twice = command(system, "redrive", position)
    assert (twice.returncode, twice.stderr.splitlines()[0]) == (
        1,
        f"ostatok: The dead letter {position} was redriven by night shift.",
    )
    said(system, "redrive", position, "--again")
    wait_until(lambda: system.sql("SELECT 1 FROM duplicate") == [(1,)], "it is a duplicate")
    assert json.loads(system.balance(INN).body)["balance"] == 5
    assert "Everything agrees." in system.run("audit")


def test_one_that_can_not_needs_a_corrected_body(system: System, tmp_path: Path) -> None:
    """It says what is wrong; nothing of several is published when one of them can't be."""
    write(system, wrong_key(document(payer_inn=INN)), {"key": INN, "value": b"{"})
    both = command(system, "redrive", "--since", "2020-01-01")
    assert both.returncode == 1
    assert "can't be a payment: is not JSON" in both.stderr
    assert system.sql("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(0,)]
    corrected = tmp_path / "corrected.json"
    corrected.write_bytes(body(payer_inn=INN, amount=7))
    ((offset,),) = system.sql("SELECT \"offset\" FROM dead_letter WHERE reason = 'is not JSON'")
    said(system, "redrive", f"{HOME}:{offset}", "--value", str(corrected))
    wait_until(lambda: system.sql("SELECT 1 FROM payment") == [(1,)], "it is applied")
    assert system.sql("SELECT amount FROM payment") == [(7,)]


def test_one_is_discarded_with_a_reason(system: System) -> None:
    """The row stays, and so does who said so; the audit has nothing against it."""
    write(system, {"key": INN, "value": b"{"})
    missing = command(system, "discard", "--reason", "JSON")
    assert (missing.returncode, "--because" in missing.stderr) == (2, True)
    because = ("--because", "a test of the bank's", "--by", "night shift")
    assert "would be" in said(system, "discard", "--reason", "JSON", *because, "--dry-run")
    said(system, "discard", "--reason", "JSON", *because)
    assert command(system, "discard", "7:0", "--reason", "x", *because).returncode == 2
    assert "0 dead letters." in said(system, "list")
    assert "[discarded by night shift: a test of the bank's]" in said(system, "list", "--all")
    assert system.sql("SELECT value FROM dead_letter") == [(b"{",)]
    assert "Everything agrees." in system.run("audit")


def test_http_does_what_the_command_does(system: System) -> None:
    """What is redriven is in the balance at once; the commands see it, and so does the audit."""
    paid = document(payer_inn=INN, amount=5)
    write(system, wrong_key(paid), {"key": INN, "value": b"{"}, {"key": INN, "value": b"["})
    same, broken, useless = (one["position"] for one in listed(system))
    assert listed(system, reason="key")[0]["operation_id"] == paid["operation_id"]
    decide(system, f"{same}/redrive/?dry_run=true")
    assert system.sql("SELECT count(*) FROM ostatok_service.dead_letter_decision") == [(0,)]
    new = decide(system, f"{same}/redrive/")["new_position"]
    assert json.loads(system.balance(INN).body)["balance"] == 5
    assert system.sql("SELECT partition || ':' || \"offset\", source FROM payment") == [
        (new, "bank")
    ]
    assert "redriven by night shift" in decide(system, f"{same}/redrive/", status=409)["error"]
    decide(system, f"{same}/redrive/?again=true")
    decide(system, f"{broken}/redrive/", status=422)
    decide(system, f"{broken}/redrive/", body(payer_inn=INN, amount=7))
    decide(system, f"{useless}/discard/", b'{"because": "a test of the bank\'s"}')
    assert json.loads(system.balance(INN).body)["balance"] == 12
    assert system.sql("SELECT outcome FROM duplicate") == [("duplicate",)]
    assert listed(system) == []
    assert "0 dead letters." in said(system, "list")
    shown = json.loads(said(system, "show", same))
    assert [one["decided_by"] for one in shown["decisions"]] == ["night shift"] * 2
    assert "Everything agrees." in system.run("audit")


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["redrive"], 2, "Say which: positions"),
        (["discard", "--because", "x"], 2, "Say which: positions"),
        (["redrive", "7"], 2, "must be a partition and an offset"),
        (["show", "7:999"], 1, "There is no dead letter at 7:999."),
        (["list", "--since", "soon"], 2, "must be an ISO 8601 date"),
        (["list", "--operation", "x"], 2, "must be a UUID"),
        (["redrive", "--reason", "x"], 1, "There are no such dead letters"),
    ],
)
def test_what_is_wrong_is_said(
    services: Services, tmp_path: Path, arguments: list[str], status: int, sentence: str
) -> None:
    """In a sentence; never is everything changed because nothing was said."""
    with System(services.new_settings(), tmp_path) as running:
        done = command(running, *arguments)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
