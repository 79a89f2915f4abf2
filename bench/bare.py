"""The least an aiohttp service does: what ours is measured against, on the same loop and settings.

``python -m bench.bare PORT``
"""

import asyncio
import sys
from datetime import datetime
from decimal import Decimal

import msgspec
import uvloop
from aiohttp import web

_ACCEPTED = b'{"message": "Payment processed successfully"}'
_BALANCE = b'{"inn": "7701234567", "balance": 145000.00}'
_JSON = "application/json"


class Webhook(msgspec.Struct, frozen=True):
    """The fields of our Payment in the same types, read by msgspec without checks of our own."""

    operation_id: str
    amount: Decimal
    payer_inn: str
    document_number: str
    document_date: datetime


_decode = msgspec.json.Decoder(Webhook).decode


async def receive(request: web.Request) -> web.Response:
    """Read and decode, and no more."""
    _decode(await request.read())
    return web.Response(body=_ACCEPTED, content_type=_JSON)


async def balance(_request: web.Request) -> web.Response:
    """Answer a constant of a balance's shape."""
    return web.Response(body=_BALANCE, content_type=_JSON)


async def ready(_request: web.Request) -> web.Response:
    """Say that it listens."""
    return web.Response()


async def _serve(port: int) -> None:
    app = web.Application()
    app.router.add_post("/api/webhook/bank/", receive)
    app.router.add_get("/api/organizations/{inn}/balance/", balance)
    app.router.add_get("/readyz", ready)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=10_000).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
