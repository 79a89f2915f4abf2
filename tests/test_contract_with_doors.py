"""The same contract with every door shut, for who proves who he is: through Kafka and Postgres."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from support.payments import README_PAYMENT
from support.services import Services
from support.system import Answer, System, wait_until

SECRET = "whsec_" + "ZG9vcnM" * 6
SOURCES = f"[bank]\naccept = [{{standard_webhooks = {{secrets = ['{SECRET}']}}}}]"
INN = str(README_PAYMENT["payer_inn"])


@pytest.fixture(scope="module")
def closed(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that takes signed webhooks, and answers who has a token."""
    settings = services.new_settings(
        sources=SOURCES, http_authentication=True, read_wait_seconds=20
    )
    with System(settings, tmp_path_factory.mktemp("closed")) as running:
        running.start_stream()
        running.start_http(workers=2)
        yield running


@pytest.fixture(scope="module")
def token(closed: System) -> str:
    """An API token, as the command prints it."""
    said = closed.run("token", "create", "crm", "--scope", "balance:read")
    return next(word for word in said.split() if word.startswith("ost_"))


def sign(body: bytes) -> dict[str, str]:
    """The headers of a signed webhook."""
    now = datetime.now(UTC)
    return {
        "webhook_id": "msg_1",
        "webhook_timestamp": str(int(now.timestamp())),
        "webhook_signature": Webhook(SECRET).sign("msg_1", now, body.decode()),
    }


def read(system: System, token: str) -> Answer:
    """Read the balance by a token, once the process that is asked knows it: within seconds."""
    answers: list[Answer] = []

    def is_known() -> bool:
        answers.append(system.balance(INN, Authorization=f"Bearer {token}"))
        return answers[-1].status != 401

    wait_until(is_known, "A new token")
    return answers[-1]


def test_the_readme_pair_to_the_letter(closed: System, token: str) -> None:
    """Signed and by a token it is what it is without doors; without it is 401, and nothing more."""
    body = json.dumps(README_PAYMENT).encode()
    refused = closed.post(body)
    assert (refused.status, refused.body) == (401, b'{"error": "Unauthorized"}')
    unread = closed.balance(INN)
    assert (unread.status, unread.body) == (401, b'{"error": "Unauthorized"}')
    posted = closed.post(body, **sign(body))
    assert (posted.status, posted.body) == (200, b'{"message": "Payment processed successfully"}')
    wrong = closed.post(b"{", **sign(b"{"))
    assert (wrong.status, wrong.body) == (400, b'{"error": "Invalid data"}')
    found = read(closed, token)
    assert (found.status, found.body) == (200, b'{"inn": "1234567890", "balance": 145000.00}')
    assert closed.sql("SELECT source FROM payment") == [("bank",)]


def test_a_bank_that_signs_proves_its_balances(closed: System, token: str, tmp_path: Path) -> None:
    """Duplicates, conflicts and rubbish among them; each counted once, and every balance right."""
    files = {"--secret-file": SECRET, "--token-file": token}
    options = []
    for option, text in files.items():
        path = tmp_path / option.strip("-")
        path.write_text(text + "\n", encoding="ascii")
        options += [option, str(path)]
    url = f"http://127.0.0.1:{closed.settings.http_port}"
    numbers = ("--webhooks", "600", "--organizations", "20", "--seed", "8")
    said = closed.run("simulate", "--url", url, *numbers, *options)
    assert "balances are right" in said
