"""The topic's document: what AsyncAPI 3.0 requires, and records that were there before it."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.documents import at, references_of, validator
from support.payments import MOMENT

from ostatok.journal import headers_of
from ostatok.settings import load
from ostatok_db.redrive import REDRIVES_HEADER
from ostatok_http.documents.asyncapi import document

FROZEN = sorted((Path(__file__).parent / "journal").glob("*.json"))
UNSEEN = {"format-1-no-payment", "format-1-wrong-key"}
"""Dead for what no schema can see: how a number is written, and that a key is not the INN."""

DOCUMENT = document(load())


def say(part: str, value: Any) -> bool:
    """Whether the document takes a value as the headers, or the payload, of a record."""
    (message,) = DOCUMENT["components"]["messages"].values()
    return bool(validator(DOCUMENT, message[part]).is_valid(value))


@pytest.mark.parametrize("path", FROZEN, ids=lambda path: path.stem)
def test_frozen_records(path: Path) -> None:
    """Each that is a payment is in the document; one of an unknown format is not."""
    frozen = json.loads(path.read_text(encoding="utf-8"))
    record = frozen["record"]
    takes = say("headers", dict(record["headers"])) and say("payload", json.loads(record["value"]))
    assert takes is ("entry" in frozen or path.stem in UNSEEN)
    (message,) = DOCUMENT["components"]["messages"].values()
    assert validator(DOCUMENT, message["bindings"]["kafka"]["key"]).is_valid(record["key"])


def test_the_headers_are_those_that_are_written() -> None:
    """All of this version's, and the one of a redrive."""
    written = headers_of(
        source="bank", received_at=MOMENT, request_id="r", traceparent="t", signed=b"s"
    )
    headers = at(DOCUMENT, "#/components/schemas/Headers")["properties"]
    assert list(headers) == [*(name for name, _ in written), REDRIVES_HEADER]


def test_it_is_asyncapi() -> None:
    """What version 3.0 requires is there, only what it knows, and references lead somewhere."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert set(DOCUMENT) <= {
        *("asyncapi", "id", "info", "servers", "defaultContentType"),
        *("channels", "operations", "components"),
    }
    assert {"title", "version"} <= set(DOCUMENT["info"])
    (channel,) = DOCUMENT["channels"].values()
    assert channel["address"] == load().topic
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        assert at(DOCUMENT, operation["channel"]["$ref"]) == channel
        # A message of an operation has to be named as its channel's.
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{operation['channel']['$ref']}/messages/")
            assert at(DOCUMENT, message["$ref"]) in channel["messages"].values()
    assert all(at(DOCUMENT, one) for one in references_of(DOCUMENT))
    for message in DOCUMENT["components"]["messages"].values():
        assert message["correlationId"]["location"].startswith("$message.header#/")
        for example in message["examples"]:
            assert say("headers", example["headers"])
            assert say("payload", example["payload"])


def test_what_it_says_of_the_topic_is_what_migrate_makes() -> None:
    """Name, partitions and retention are the settings'."""
    settings = load(topic="other", topic_partitions=24, topic_retention_ms=5)
    (channel,) = document(settings)["channels"].values()
    topic = channel["bindings"]["kafka"]
    assert (channel["address"], topic["topic"], topic["partitions"]) == ("other", "other", 24)
    assert topic["topicConfiguration"]["retention.ms"] == 5
