"""The endpoints for those who send webhooks: one for each source."""

from typing import Any

from ostatok.settings import Settings
from ostatok_http.answers import JSON, OUTCOME_HEADER, POSITION_HEADER
from ostatok_http.documents import examples
from ostatok_http.documents.answers import Good, ref
from ostatok_http.documents.endpoint import Endpoint
from ostatok_http.documents.public import BANK, links
from ostatok_http.doors.senders import Sender, route_of, senders_of
from ostatok_http.fast_path import WEBHOOK
from ostatok_http.prefer import PREFERENCE_APPLIED
from ostatok_http.refusals import (
    CONFLICT,
    FULL,
    INVALID,
    MISMATCH,
    REFUSED,
    TOO_LARGE,
    TOO_MANY,
    TOO_SLOW,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED,
)
from ostatok_http.shapes import Processed

OUTCOME = (PREFERENCE_APPLIED, OUTCOME_HEADER)


def endpoints(settings: Settings, requests: dict[str, dict[str, Any]]) -> list[Endpoint]:
    """Give one for each source; ``requests`` are the headers of requests by name."""
    if not settings.serves("webhook"):
        return []
    of_request = (requests["PreferOutcome"], requests["RequestId"])
    return [
        _webhook(settings, sender, number, of_request)
        for number, sender in enumerate(senders_of(settings))
    ]


def _webhook(
    settings: Settings, sender: Sender, number: int, of_request: tuple[dict[str, Any], ...]
) -> Endpoint:
    payer, paid = ("inn", "$request.body#/payer_inn"), "$request.body#/operation_id"
    return Endpoint(
        route_of(sender.name, number),
        f"{WEBHOOK.format(sender.name)}/",
        BANK,
        f"Take a payment of {sender.name} in",
        method="post",
        description=(
            "200 means that Kafka has the webhook on all in-sync replicas: its operation will be "
            "counted exactly once, also when it was seen before. With another answer than 200, or "
            "none, nobody knows: repeat it, the operation_id protects it."
        ),
        headers=of_request,
        body=_body(sender),
        goods=[
            Good(
                "The journal has it.",
                ref(Processed),
                always=(POSITION_HEADER,),
                sometimes=OUTCOME,
                example=examples.PROCESSED_BODY,
                links=links(
                    operation=("operation_id", paid),
                    balance=payer,
                    balance__at_the_receipt=("position", "$response.header.Ostatok-Position"),
                    log=payer,
                    statement=payer,
                ),
            )
        ],
        refusals=(
            *(INVALID, TOO_SLOW, CONFLICT, TOO_LARGE, UNSUPPORTED, REFUSED),
            *(FULL, UNAVAILABLE, MISMATCH),
            *(() if settings.sources is None else (UNAUTHORIZED,)),
            *((TOO_MANY,) if sender.has_rate else ()),
        ),
        sometimes=dict.fromkeys((409, 422), (*OUTCOME, POSITION_HEADER)),
    )


def _body(sender: Sender) -> dict[str, Any]:
    content: dict[str, Any] = {
        JSON: {
            "schema": {"$ref": "#/components/schemas/Payment"},
            "examples": {"usual": {"value": examples.PAYMENT}},
        }
    }
    signed = {"type": "string", "description": "A JWT, whose claims are the payment."}
    content |= {kind: {"schema": signed} for kind in sorted(sender.kinds)}
    kinds = " or ".join(content)
    return {
        "required": True,
        "description": f"{kinds} in UTF-8, without a Content-Encoding.",
        "content": content,
    }
