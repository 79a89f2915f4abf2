"""The API's documents against the live service: what they show is sent, and nothing else comes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.copies import records
from support.documents import at, validator
from support.foreign import produce, strange_records
from support.journal import home_of
from support.payments import body
from support.services import Services, seeds
from support.system import Answer, System, request, wait_until

FUZZ = Path(__file__).parent / "fuzz"
JSON = {"Content-Type": "application/json"}
DEAD_IN = 7
"""The partition of the dead letter that the document's examples are about: its first record."""

MAY_BE_DECIDED = {"redrive", "discard"}
"""Of one dead letter: whichever comes second is refused, unless it is to be decided again."""


@pytest.fixture(scope="module")
def operated(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system for operators too, with dead letters; nobody waits long in it."""
    settings = services.new_settings(
        http_operators=True, read_wait_seconds=0.1, prefer_wait_seconds_max=0.5
    )
    with System(settings, tmp_path_factory.mktemp("operated")) as running:
        lost = body(payer_inn="1234567890")
        assert home_of("1234567890") != DEAD_IN
        produce(settings, [{"key": "1234567890", "value": lost, "partition": DEAD_IN}])
        produce(settings, strange_records())
        running.start_stream()
        running.start_http()
        many = len(strange_records()) + 1
        dead = "SELECT count(*) FROM dead_letter"
        wait_until(lambda: running.sql(dead) == [(many,)], "the dead letters are there")
        yield running


@pytest.fixture(scope="module")
def document(operated: System) -> dict[str, Any]:
    """The document as it is served."""
    answer = request(operated.settings.http_port, "GET", "/api/openapi.json")
    assert answer.status == 200
    return dict(json.loads(answer.body))


def examples_of(operation: dict[str, Any]) -> Iterator[tuple[list[dict[str, Any]], bytes | None]]:
    """The requests that an operation shows: the barest, and one with each other parameter."""
    parameters = operation["parameters"]
    needed = [one for one in parameters if one.get("required")]
    others = [one for one in parameters if not one.get("required") and "example" in one]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    bodies: list[bytes | None] = [
        json.dumps(one["value"]).encode() for one in content.get("examples", {}).values()
    ]
    for more in ([], *([one] for one in others)):
        for text in bodies or [None]:
            yield [*needed, *more], text


def send(
    system: System, method: str, path: str, shown: list[dict[str, Any]], text: bytes | None
) -> Answer:
    """Send a request as the document shows it."""
    query, headers = "", dict(JSON) if method == "post" else {}
    for one in shown:
        value = one["example"]
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", value)
        elif one["in"] == "query":
            query = f"?{one['name']}={json.dumps(value) if isinstance(value, bool) else value}"
        else:
            headers[one["name"]] = value
    address = (path + query).replace(" ", "%20")
    return request(system.settings.http_port, method.upper(), address, text, headers)


def check(document: dict[str, Any], operation: dict[str, Any], answer: Answer) -> None:
    """See that an answer is one of those that the document has for an operation."""
    described = operation["responses"][str(answer.status)]
    kind = answer.headers["Content-Type"].partition(";")[0]
    schema = described["content"][kind]["schema"]
    read = json.loads(answer.body) if kind.endswith("json") else answer.body.decode()
    validator(document, schema).validate(read)
    for name, header in described["headers"].items():
        found = at(document, header["$ref"]) if "$ref" in header else header
        if name in answer.headers:
            validator(document, found["schema"]).validate(answer.headers[name])
        else:
            assert not found.get("required"), name


def test_examples_are_answered_as_described(operated: System, document: dict[str, Any]) -> None:
    """Every request that is shown can be sent as it stands, and answers as its schema says."""
    sent = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            name = operation["operationId"]
            for shown, text in examples_of(operation):
                answer = send(operated, method, path, shown, text)
                expected = {200, 409} if name in MAY_BE_DECIDED else {200}
                assert answer.status in expected, (name, shown, answer)
                check(document, operation, answer)
                sent += 1
    assert sent > 40


def test_examples_of_answers_are_described(document: dict[str, Any]) -> None:
    """Every body that is shown is one of its own schema."""
    shown = 0
    for item in document["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                for content in response["content"].values():
                    for example in content.get("examples", {}).values():
                        validator(document, content["schema"]).validate(example["value"])
                        shown += 1
    assert shown > 40


def test_a_fresh_record_is_described(operated: System) -> None:
    """What the receiver writes is as the topic's document says, header by header."""
    answer = request(operated.settings.http_port, "GET", "/api/asyncapi.json")
    described = json.loads(answer.body)
    message = described["components"]["messages"]["webhook"]
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = operated.post(body(payer_inn="7707083893"), traceparent=trace, X_Request_ID="fresh")
    assert answer.status == 200
    found = records(operated.settings)
    (record,) = [one for one in found if ("request-id", b"fresh") in (one.headers or ())]
    headers = {name: (value or b"").decode() for name, value in record.headers or ()}
    validator(described, message["headers"]).validate(headers)
    validator(described, message["payload"]).validate(json.loads(record.value or b""))
    key = (record.key or b"").decode()
    validator(described, message["bindings"]["kafka"]["key"]).validate(key)
    assert record.partition == home_of(key)
    known = at(described, message["headers"]["$ref"])["properties"]
    assert set(headers) <= set(known)


def run_schemathesis(system: System, report: Path, *options: str) -> dict[str, Any]:
    """Let schemathesis ask the service whatever the document allows, and what it does not."""
    address = f"http://127.0.0.1:{system.settings.http_port}/api/openapi.json"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            *("--config-file", str(FUZZ / "schemathesis.toml")),
            *("run", address, "--no-color", "--report", "json"),
            *("--report-json-path", str(report), *options),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(FUZZ.parent), *sys.path])},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    return dict(json.loads(report.read_text(encoding="utf-8")))


@pytest.mark.timeout(400)
def test_nothing_comes_that_is_not_in_the_document(operated: System, tmp_path: Path) -> None:
    """Thousands of requests, one by one and along the links: no 5xx, nothing undescribed."""
    found = run_schemathesis(
        operated, tmp_path / "report.json", "--generation-deterministic", "--max-examples", "50"
    )
    assert found["complete"]
    assert found["test_cases"]["generated"] > 1_200


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", seeds(0, 3))
def test_nothing_comes_by_chance_either(operated: System, tmp_path: Path, seed: int) -> None:
    """The same with other cases, and more of them."""
    options = ("--seed", str(seed), "--max-examples", "400")
    found = run_schemathesis(operated, tmp_path / "report.json", *options)
    assert found["test_cases"]["generated"] > 10_000
