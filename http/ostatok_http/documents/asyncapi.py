"""The document of the topic, AsyncAPI 3.0: its key, its headers and the body that is its value.

Whoever reads the topic or writes to it by hand finds here what a record must be to be a payment.
"""

from typing import Any

from ostatok import __version__
from ostatok.journal import FORMAT, HEADER_CHARACTERS_MAX, PARTITIONER, SIGNED
from ostatok.settings import Settings
from ostatok.sources import REDRIVE
from ostatok.tracing import TRACEPARENT
from ostatok_db.redrive import REDRIVES_HEADER
from ostatok_http import schemas
from ostatok_http.answers import JSON
from ostatok_http.documents.examples import MOMENT, PAYMENT
from ostatok_http.doors.senders import BANK
from ostatok_http.schemas import Schema

VERSION = "3.0.0"
BINDING = "0.5.0"
"""The version of AsyncAPI's words for Kafka."""

CHANNEL, MESSAGE = "payments", "webhook"

_DESCRIPTION = f"""\
The topic is the journal: every webhook that was answered 200 is a record of it, and the ledger is \
made of nothing else. A record's value is the webhook's body as it came, its key the payer's INN, \
its partition `{PARTITIONER}` of the key: what Java's and aiokafka's clients do, and librdkafka \
when told `partitioner={PARTITIONER}`. A record that can be no payment, or lies in a partition \
that is not its key's, becomes a dead letter: nothing is lost by it, and no money moves.

Every later version reads every earlier record.\
"""


def document(settings: Settings) -> dict[str, Any]:
    """Make the document of the topic that the settings name."""
    channel, message = f"#/channels/{CHANNEL}", f"#/components/messages/{MESSAGE}"
    messages = [{"$ref": f"{channel}/messages/{MESSAGE}"}]
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Ostatok's journal",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "channels": {
            CHANNEL: {
                "address": settings.topic,
                "title": "The journal",
                "description": "One partition has all records of an INN, in order.",
                "messages": {MESSAGE: {"$ref": message}},
                "bindings": {
                    "kafka": {
                        "topic": settings.topic,
                        "partitions": settings.topic_partitions,
                        "topicConfiguration": {
                            "cleanup.policy": ["delete"],
                            "retention.ms": settings.topic_retention_ms,
                        },
                        "bindingVersion": BINDING,
                    }
                },
            }
        },
        "operations": {
            "publish": {
                "action": "send",
                "channel": {"$ref": channel},
                "title": "The receiver writes each webhook",
                "description": "acks=all, by an idempotent producer, before it is answered.",
                "messages": messages,
            },
            "apply": {
                "action": "receive",
                "channel": {"$ref": channel},
                "title": "The stream applies each record to the ledger",
                "description": "Offsets are kept in the ledger, in the transaction that applies.",
                "messages": messages,
                "bindings": {
                    "kafka": {
                        "groupId": {"type": "string", "enum": [settings.stream_group]},
                        "bindingVersion": BINDING,
                    }
                },
            },
        },
        "components": {
            "messages": {MESSAGE: _message()},
            "schemas": {"Payment": schemas.PAYMENT, "Headers": HEADERS},
        },
    }


def _message() -> dict[str, Any]:
    return {
        "name": MESSAGE,
        "title": "A webhook",
        "summary": "The bank's body as it came, under the INN's key.",
        "contentType": JSON,
        "correlationId": {
            "description": "X-Request-ID of the webhook.",
            "location": "$message.header#/request-id",
        },
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"$ref": "#/components/schemas/Payment"},
        "bindings": {
            "kafka": {
                "key": {**schemas.INN, "description": "The payer's INN."},
                "bindingVersion": BINDING,
            }
        },
        "examples": [{"name": "usual", "headers": _EXAMPLE, "payload": PAYMENT}],
    }


_EXAMPLE = {
    "ostatok-format": FORMAT.decode(),
    "source": BANK,
    "received-at": MOMENT,
    "request-id": "my-request-1",
    TRACEPARENT: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}

HEADERS: Schema = {
    "title": "Headers",
    "type": "object",
    "description": (
        "UTF-8. All may be missing, as in a record that was written by hand; others are kept and "
        "mean nothing."
    ),
    "properties": {
        "ostatok-format": {
            "type": "string",
            "const": FORMAT.decode(),
            "description": "The format of the record. One that is unknown makes a dead letter.",
        },
        "source": {
            "type": "string",
            "description": (
                f"Who sent it: `{BANK}`, or another source; `{REDRIVE}` for a dead letter's second "
                f"try that had none; {HEADER_CHARACTERS_MAX} characters of it are read."
            ),
        },
        "received-at": {
            **schemas.TIMESTAMP,
            "description": (
                "The receiver's clock, when it took the webhook in: the time of the ledger. "
                "Without it that is the record's timestamp."
            ),
        },
        "request-id": {
            "type": "string",
            "description": (
                f"X-Request-ID of the webhook; {HEADER_CHARACTERS_MAX} characters of it are read."
            ),
        },
        TRACEPARENT: {
            "type": "string",
            "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "The W3C trace context of the webhook, where it had one.",
        },
        SIGNED: {
            "type": "string",
            "description": "The signed body (a JWT) that the value was in, where it was in one.",
        },
        REDRIVES_HEADER: {
            **schemas.POSITION,
            "description": "Where the dead record lies that this one was published for.",
        },
    },
}
"""Of a record as text."""
