"""What schemathesis has to be told: how a date is written, and what a document can't say."""

import json
from datetime import UTC, datetime
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, CheckContext, Response
from schemathesis.hooks import HookContext
from schemathesis.specs.openapi.checks import positive_data_acceptance

BEYOND_SCHEMAS = (
    b"position: can't be given together with at",
    b"position: must lie in partition ",
    b"to: must not be before from",
    b"cursor: is not the next of a page",
)
"""What makes a 400 of parameters that are right each for itself."""

_MOMENTS = st.datetimes(datetime(1991, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001

schemathesis.openapi.format("iso-8601", _MOMENTS.map(datetime.isoformat))


@schemathesis.hook
def map_body(context: HookContext, body: Any) -> Any:
    """Round the amount of a payment to kopecks: no schema says how many decimals a text has."""
    if isinstance(body, dict) and isinstance(body.get("amount"), float):
        body["amount"] = round(body["amount"], 2)
    return body


@schemathesis.deserializer("text/csv")
def read_csv(_ctx: Any, response: Response) -> str:
    """Take a statement as the text that its schema says it is."""
    return response.content.decode()


@schemathesis.check
def no_server_error(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """No 5xx, but for what is asked for before it is applied: a position, or within no time."""
    if response.status_code < 500:
        return
    assert "position" in (case.query or {}) or "Prefer" in (case.headers or {}), response.content
    assert response.json() == {"error": "Not applied yet"}


@schemathesis.check
def accepts_what_it_describes(
    ctx: CheckContext, response: Response, case: Case[Any]
) -> bool | None:
    """What the document allows is taken, as far as the document can say what is."""
    if response.status_code == 400 and any(why in response.content for why in BEYOND_SCHEMAS):
        return None
    if response.status_code == 415 and not isinstance(case.body, dict):
        return None  # A redrive without a body must say of which kind it is not.
    if _has_fractions_of_kopecks(case.body):
        return None
    return positive_data_acceptance(ctx, response, case)


def _has_fractions_of_kopecks(body: Any) -> bool:
    amount = body.get("amount") if isinstance(body, dict) else None
    return isinstance(amount, float) and len(json.dumps(amount).partition(".")[2]) > 2
