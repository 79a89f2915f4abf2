"""What the document says of who may ask, where readers and operators prove who they are."""

from dataclasses import replace
from typing import Any

from ostatok_http.dead_letters import BY_HEADER
from ostatok_http.documents.endpoint import Endpoint
from ostatok_http.doors.guard import PAST, SCOPES_OF
from ostatok_http.doors.identity import HISTORY_READ
from ostatok_http.refusals import FORBIDDEN, NOT_ALLOWED, UNAUTHORIZED

SCHEMES: dict[str, Any] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, `ost_…`, of `ostatok token create`, with the scope that the "
        "address asks for.",
    }
}

_BY = "A person, in UTF-8, who is kept beside the token's name. Nobody checks it."


def guarded(endpoint: Endpoint) -> Endpoint:
    """Give an endpoint as it is when the API asks for tokens; some it leaves open."""
    scope = SCOPES_OF.get(endpoint.name)
    if scope is None:
        return endpoint
    text = f"Scope `{scope}`"
    if endpoint.name == "balance":
        text += f"; with {' or '.join(f'`{name}`' for name in sorted(PAST))} `{HISTORY_READ}`"
    return replace(
        endpoint,
        description=f"{endpoint.description} {text}.".strip(),
        headers=[
            {**one, "required": False, "description": _BY} if one["name"] == BY_HEADER else one
            for one in endpoint.headers
        ],
        # No other site's page has a token: none asks by which name it was reached.
        refusals=(
            *(one for one in endpoint.refusals if one is not FORBIDDEN),
            UNAUTHORIZED,
            NOT_ALLOWED,
        ),
        security=[{name: []} for name in SCHEMES],
    )
