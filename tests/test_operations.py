"""The receipt of an operation, from the journal to the ledger, through the real processes."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from support.foreign import HOME, INN, produce, produce_nameless
from support.payments import body, document
from support.services import Services
from support.system import Answer, System, request, wait_until

from ostatok_http import unapplied


def receipt(system: System, operation_id: str) -> Answer:
    """Ask for an operation."""
    return request(system.settings.http_port, "GET", f"/api/operations/{operation_id}/")


def records(system: System, operation_id: str) -> list[dict[str, Any]]:
    """The records of an operation, numbers as they are written."""
    answer = receipt(system, operation_id)
    assert answer.status == 200
    found: list[dict[str, Any]] = json.loads(answer.body, parse_float=str)["records"]
    return found


def test_an_operation_is_followed_from_the_journal_to_the_ledger(
    services: Services, tmp_path: Path
) -> None:
    """Accepted while no stream runs, applied once one does; with what repeats it, and what can't.

    A record whose headers nobody can read lies among those that are looked through.
    """
    paid = document(payer_inn=INN, amount=100)
    text = json.dumps(paid).encode()
    changed = json.dumps({**paid, "amount": 7}).encode()
    with System(services.new_settings(), tmp_path) as system:
        system.start_http()
        posted = system.post(text, X_Request_ID="first")
        produce_nameless(system.settings, HOME)
        (accepted,) = records(system, paid["operation_id"].upper())
        assert accepted.pop("received_at").endswith("Z")
        assert accepted == {
            "outcome": "accepted",
            "position": posted.headers["Ostatok-Position"],
            "request_id": "first",
            "source": "bank",
            "inn": INN,
            "amount": "100.00",
            "document_number": paid["document_number"],
            "document_date": "2024-04-27T21:00:00.000000Z",
        }
        assert receipt(system, str(uuid.uuid4())).status == 404

        system.start_stream()
        for one in (text, changed):
            system.post(one)
        produce(system.settings, [{"key": "1234567890", "value": text, "partition": HOME}])
        wait_until(lambda: len(records(system, paid["operation_id"])) == 4, "all are applied")
        applied, *others = records(system, paid["operation_id"])
        assert applied.pop("received_at") == applied.pop("created_at")
        assert applied == {
            **accepted,
            "outcome": "applied",
            "entry": 1,
            "previous_balance": "0.00",
            "new_balance": "100.00",
        }
        assert [one["outcome"] for one in others] == ["duplicate", "conflict", "dead"]
        assert others[1]["differences"] == {"amount": {"recorded": "100.00", "received": "7.00"}}
        assert others[2]["reason"] == "the record's key is not the payer's INN"
        answer = json.loads(receipt(system, paid["operation_id"]).body)
        assert (answer["operation_id"], answer["status"]) == (paid["operation_id"], "applied")


def test_what_is_no_operation_id_is_not_found(system: System) -> None:
    """Nor is one that nobody ever sent; a parameter is refused by its name."""
    for unknown in ("abc", str(uuid.uuid4()), "%00", "..%2f", "1" * 36):
        answer = receipt(system, unknown)
        assert (answer.status, answer.body) == (404, b'{"error": "Operation not found"}')
    port = system.settings.http_port
    answer = request(port, "GET", f"/api/operations/{uuid.uuid4()}/?wait=1")
    assert answer.status == 400
    assert b"wait: is no parameter here" in answer.body


def test_a_tail_too_long_to_look_through_is_said_so(services: Services, tmp_path: Path) -> None:
    """Who asks has to come again: it may be in there."""
    settings = services.new_settings()
    with System(settings, tmp_path) as system:
        system.start_http()
        many = unapplied.TAIL_RECORDS_MAX + 1
        value = body(payer_inn=INN)
        produce(settings, [{"key": INN, "value": value, "partition": HOME}] * many)
        answer = receipt(system, str(uuid.uuid4()))
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_receipt_can_only_be_read(system: System, method: str) -> None:
    """Anything else is a 405 that says what can be done."""
    path = f"/api/operations/{uuid.uuid4()}/"
    answer = request(system.settings.http_port, method, path)
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
