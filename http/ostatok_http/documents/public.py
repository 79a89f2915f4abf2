"""The endpoints for the bank, for the company and for those who watch over the service."""

from typing import Any

from ostatok_http.answers import APPLIED_HEADER, STALE_HEADER
from ostatok_http.documents import examples, headers
from ostatok_http.documents.answers import Good, ref
from ostatok_http.documents.endpoint import Endpoint
from ostatok_http.documents.serving import ASYNCAPI, OPENAPI
from ostatok_http.fast_path import BALANCE
from ostatok_http.health import Alive, NotReady
from ostatok_http.history import BALANCE_PARAMETERS, LOG_PARAMETERS
from ostatok_http.prefer import PREFERENCE_APPLIED
from ostatok_http.refusals import (
    BEHIND,
    INVALID_PARAMETERS,
    OPERATION_NOT_FOUND,
    ORGANIZATION_NOT_FOUND,
    UNAVAILABLE,
)
from ostatok_http.shapes import (
    ACCEPTED,
    Balance,
    Log,
    Operation,
    PastBalance,
    Statement,
)
from ostatok_http.statement import (
    CLOSING_HEADER,
    CSV,
    OPENING_HEADER,
    STATEMENT_PARAMETERS,
)

ORGANIZATION = "/api/organizations/{inn}"

BANK = "bank"
COMPANY = "company"
WATCHERS = "watchers"
DOCUMENTS = "documents"


_READ = (APPLIED_HEADER, headers.CACHE_CONTROL)
_READ_MAYBE = (STALE_HEADER, PREFERENCE_APPLIED)
_MISSED = {404: (*_READ, *_READ_MAYBE)}
_READ_REFUSALS = (INVALID_PARAMETERS, ORGANIZATION_NOT_FOUND, BEHIND, UNAVAILABLE)


OPENMETRICS = "application/openmetrics-text"

_ALIVE = Good("It is.", ref(Alive))


def links(**found: tuple[str, str]) -> dict[str, Any]:
    """Links by the operation they lead to: the parameter that it takes, and where that stands."""
    return {
        name: {"operationId": name.partition("__")[0], "parameters": {parameter: expression}}
        for name, (parameter, expression) in found.items()
    }


def endpoints(requests: dict[str, dict[str, Any]]) -> list[Endpoint]:
    """Every endpoint that is always there; ``requests`` are the headers of requests by name."""
    request_id = requests["RequestId"]
    read = (requests["PreferComplete"], request_id)
    return [
        _balance(read),
        *_log_and_statement(read),
        _operation(request_id),
        *_health(request_id),
        *_documents(request_id),
    ]


def _balance(of_request: tuple[dict[str, Any], ...]) -> Endpoint:
    return Endpoint(
        "balance",
        BALANCE.format("{inn}") + "/",
        COMPANY,
        "The balance of an INN",
        description=(
            "The balance of now, or of a point of the past. It waits until everything is in it "
            "that this service acknowledged before the request, for a limited time."
        ),
        query=BALANCE_PARAMETERS,
        headers=of_request,
        goods=[
            Good(
                "The balance; of a point of the past with the entry behind which that lies.",
                {"anyOf": [ref(PastBalance), ref(Balance)]},
                always=_READ,
                sometimes=_READ_MAYBE,
                example=examples.BALANCE,
            )
        ],
        refusals=_READ_REFUSALS,
        sometimes=_MISSED,
    )


def _log_and_statement(of_request: tuple[dict[str, Any], ...]) -> list[Endpoint]:
    listed = ("operation_id", "$response.body#/entries/0/operation_id")
    log = Endpoint(
        "log",
        f"{ORGANIZATION}/log/",
        COMPANY,
        "The changes of a balance, in pages",
        description="Entries never change. Pages fit together, whatever is paid meanwhile.",
        query=LOG_PARAMETERS,
        headers=of_request,
        goods=[
            Good(
                "A page.",
                ref(Log),
                always=_READ,
                sometimes=_READ_MAYBE,
                example=examples.LOG,
                links=links(operation=listed)
                | {
                    "next": {
                        "operationId": "log",
                        "parameters": {
                            "inn": "$response.body#/inn",
                            "cursor": "$response.body#/next",
                        },
                    }
                },
            )
        ],
        refusals=_READ_REFUSALS,
        sometimes=_MISSED,
    )
    statement = Endpoint(
        "statement",
        f"{ORGANIZATION}/statement/",
        COMPANY,
        "All entries of a period, with the balances at its ends",
        description=(
            "The oldest first, of any length: it is written as it is read. If the ledger goes away "
            "in the middle, the connection ends before the body does."
        ),
        query=STATEMENT_PARAMETERS,
        headers=of_request,
        goods=[
            Good(
                "The statement.",
                ref(Statement),
                always=(*_READ, OPENING_HEADER, CLOSING_HEADER, headers.VARY),
                sometimes=(*_READ_MAYBE, headers.DISPOSITION),
                example=examples.STATEMENT,
                links=links(operation=listed),
                others={CSV: {"type": "string"}},
            )
        ],
        refusals=_READ_REFUSALS,
        sometimes=_MISSED,
    )
    return [log, statement]


def _operation(request_id: dict[str, Any]) -> Endpoint:
    return Endpoint(
        "operation",
        "/api/operations/{operation_id}/",
        COMPANY,
        "What became of an operation",
        description=(
            f"Every record of it, with its outcome: `{ACCEPTED}` for what is not applied yet."
        ),
        headers=(request_id,),
        goods=[
            Good(
                "The operation's records, the one that counts first.",
                ref(Operation),
                always=(headers.CACHE_CONTROL,),
                example=examples.OPERATION,
                links=links(log=("inn", "$response.body#/records/0/inn")),
            )
        ],
        refusals=(INVALID_PARAMETERS, OPERATION_NOT_FOUND, BEHIND, UNAVAILABLE),
    )


def _health(request_id: dict[str, Any]) -> list[Endpoint]:
    missing = Good(
        "Something is missing; webhooks or balances are refused.",
        ref(NotReady),
        status=503,
        always=(headers.RETRY_AFTER,),
    )
    text = {"text/plain": {"type": "string"}, OPENMETRICS: {"type": "string"}}
    return [
        Endpoint(
            "healthz",
            "/healthz",
            WATCHERS,
            "Does the process live?",
            [_ALIVE],
            headers=(request_id,),
        ),
        Endpoint(
            "readyz",
            "/readyz",
            WATCHERS,
            "Are broker, topic, database and schema there?",
            [_ALIVE, missing],
            headers=(request_id,),
        ),
        Endpoint(
            "metrics",
            "/metrics",
            WATCHERS,
            "What the service counts, for Prometheus",
            [Good("Metrics.", None, others=text)],
            headers=(request_id,),
        ),
    ]


def _documents(request_id: dict[str, Any]) -> list[Endpoint]:
    return [
        Endpoint(
            name,
            path,
            DOCUMENTS,
            summary,
            [Good("The document.", {"type": "object"}, always=(headers.CACHE_CONTROL,))],
            headers=(request_id,),
        )
        for name, path, summary in (
            ("openapi", OPENAPI, "This document"),
            ("asyncapi", ASYNCAPI, "The topic and its records, in AsyncAPI 3.0"),
        )
    ]
