"""The HTTP contract, byte for byte, through real Kafka and real Postgres."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from urllib.parse import quote

from support.payments import PARTITIONS, README_PAYMENT, body, document
from support.system import System, request, wait_until

from ostatok.journal import partition_of

PROBLEM = {"Accept": "application/problem+json"}


def test_the_readme_pair_to_the_letter(system: System) -> None:
    """A webhook is posted, and its balance read back at once: status, type and every byte."""
    text = (
        b'{"operation_id": "ccf0a86d-041b-4991-bcf7-e2352f7b8a4a", "amount": 145000, '
        b'"payer_inn": "1234567890", "document_number": "PAY-328", '
        b'"document_date": "2024-04-27T21:00:00Z"}'
    )
    assert json.loads(text) == README_PAYMENT
    posted = system.post(text)
    assert posted.status == 200
    assert posted.body == b'{"message": "Payment processed successfully"}'
    assert posted.headers["Content-Type"].partition(";")[0] == "application/json"
    partition = partition_of("1234567890", PARTITIONS)
    assert posted.headers["Ostatok-Position"] == f"{partition}:0"
    found = system.balance("1234567890")
    assert found.status == 200
    assert found.body == b'{"inn": "1234567890", "balance": 145000.00}'
    assert found.headers["Ostatok-Applied"] == f"{partition}:1"
    assert "Ostatok-Stale" not in found.headers

    again = system.post(text)
    assert (again.status, again.body) == (200, posted.body)
    assert again.headers["Ostatok-Position"] == f"{partition}:1"
    assert system.balance("1234567890").body == found.body


def test_an_inn_never_paid_by_is_not_found(system: System) -> None:
    """The same 404 for what is no INN at all."""
    for inn in ("7700000000", "770000000000", "123", "abc", "１２３４５６７８９０", "1234567890x"):
        found = system.balance(quote(inn))
        assert found.status == 404
        assert found.body == b'{"error": "Organization not found"}'


def test_anything_wrong_is_a_400(system: System) -> None:
    """The fixed body, and the field in problem+json when that is asked for."""
    wrong = system.post(body(amount="1.005"))
    assert (wrong.status, wrong.body) == (400, b'{"error": "Invalid data"}')
    problem = system.post(body(amount="1.005", payer_inn="12"), **PROBLEM)
    assert problem.status == 400
    assert problem.headers["Content-Type"].startswith("application/problem+json")
    named = json.loads(problem.body)
    assert named["status"] == 400
    assert {one["field"] for one in named["errors"]} == {"amount", "payer_inn"}


def test_money_is_exact_to_the_last_kopeck(system: System) -> None:
    """Sums that a float can't hold come out as they went in."""
    inn = "7707083893"
    amounts = ["9999999999999.99", "0.01", "0.1", "9007199254740.93"]
    for amount in amounts:
        assert system.post(body(payer_inn=inn, amount=amount)).status == 200
    total = sum(map(Decimal, amounts))
    expected = f'{{"inn": "{inn}", "balance": {total}}}'.encode()
    assert system.balance(inn).body == expected


def test_you_read_your_own_writes(system: System) -> None:
    """POST, 200, GET shows the payment: every time, from many clients at once."""

    def client(number: int) -> bool:
        inn = f"78{number:08}"
        for count in range(1, 16):
            assert system.post(body(payer_inn=inn, amount="1.25")).status == 200
            found = system.balance(inn)
            shown = json.loads(found.body, parse_float=Decimal)
            assert "Ostatok-Stale" not in found.headers
            assert shown == {"inn": inn, "balance": count * Decimal("1.25")}
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(client, range(8)))


def test_a_request_is_followed_to_the_ledger(system: System) -> None:
    """X-Request-ID: in the answer, the journal's headers, both logs and the ledger's row."""
    paid = document(payer_inn="770412345608")
    answer = system.post(json.dumps(paid).encode(), X_Request_ID="my-request-1")
    assert answer.headers["X-Request-ID"] == "my-request-1"
    assert system.balance("770412345608").status == 200
    assert system.sql(
        "SELECT request_id FROM payment WHERE operation_id = %s", paid["operation_id"]
    ) == [("my-request-1",)]
    for log, event in (("http.log", "webhook_accepted"), ("stream.log", "operation_applied")):
        wait_until(
            lambda log=log, event=event: bool(_of(system, log, event, str(paid["operation_id"]))),  # type: ignore[misc]
            f"{event} in {log}",
        )
        (found,) = _of(system, log, event, str(paid["operation_id"]))
        assert found["request_id"] == "my-request-1"
        assert found["inn"] == "7704******08"
    for log in ("http.log", "stream.log"):
        text = (system.folder / log).read_text(encoding="utf-8")
        assert "770412345608" not in text
        assert str(paid["document_number"]) not in text


def _of(system: System, log: str, event: str, operation_id: str) -> list[dict[str, object]]:
    return [one for one in system.events(log, event) if one["operation_id"] == operation_id]


def test_health_and_metrics(system: System) -> None:
    """What an operator's tools ask: on http and on the worker."""
    for port in (system.settings.http_port, system.settings.stream_metrics_port):
        assert request(port, "GET", "/healthz").status == 200
        assert request(port, "GET", "/readyz").status == 200
    web = request(system.settings.http_port, "GET", "/metrics").body.decode()
    for name in (
        'ostatok_http_webhooks_total{answer="accepted"}',
        "ostatok_http_publish_seconds_bucket",
        'ostatok_http_balance_reads_total{answer="found"}',
        "ostatok_http_journal_matches 1.0",
    ):
        assert name in web
    worker_port = system.settings.stream_metrics_port

    def lag_is_known() -> bool:
        text = request(worker_port, "GET", "/metrics").body.decode()
        return 'ostatok_stream_lag_records{partition="11"} 0.0' in text

    wait_until(lag_is_known, "lag of the last partition is 0")
    worker = request(worker_port, "GET", "/metrics").body.decode()
    for name in (
        'ostatok_stream_records_total{outcome="applied"}',
        "ostatok_stream_batch_records_bucket",
        "ostatok_stream_batch_seconds_bucket",
    ):
        assert name in worker


def test_keep_alive(system: System) -> None:
    """One connection carries many requests, wrong ones too."""
    connection = http.client.HTTPConnection("127.0.0.1", system.settings.http_port, timeout=10)
    connection.connect()
    first = connection.sock
    for text, status in ((body(), 200), (b"{", 400), (body(), 200)):
        connection.request("POST", "/api/webhook/bank/", text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
        assert connection.sock is first
    connection.close()
