"""Taking a webhook in: parse, publish, answer. A 200 means that the journal has it."""

from datetime import UTC, datetime
from time import perf_counter

from aiohttp import web

from ostatok.errors import InvalidPayment
from ostatok.journal import headers_of, key_of
from ostatok.payment import Payment, has_valid_check_digits, masked, parse
from ostatok.settings import Settings
from ostatok.tracing import TRACEPARENT, read_traceparent
from ostatok_http.answers import ANSWER, OPERATION_ID, POSITION_HEADER, REQUEST_ID
from ostatok_http.bodies import read_body
from ostatok_http.doors.senders import Sender, Sent
from ostatok_http.events import Events
from ostatok_http.journal_check import JournalCheck
from ostatok_http.metrics import Metrics
from ostatok_http.ok import Ok
from ostatok_http.ports import Journal, Position
from ostatok_http.prefer import PREFER
from ostatok_http.shapes import PROCESSED
from ostatok_http.traces import Traces
from ostatok_http.verdicts import Verdicts
from ostatok_http.watermark import Watermark

_ACCEPTED = b'{"message": "%s"}' % PROCESSED.encode()


class Receiver:
    """The webhook's endpoint."""

    def __init__(  # noqa: PLR0913, PLR0917  # one for each thing it works with
        self,
        settings: Settings,
        journal: Journal,
        journal_check: JournalCheck,
        watermark: Watermark,
        metrics: Metrics,
        verdicts: Verdicts,
        traces: Traces | None,
    ) -> None:
        self._journal = journal
        self._verdicts = verdicts
        self._journal_check = journal_check
        self._watermark = watermark
        self._metrics = metrics
        self._traces = traces
        self._check_digits = settings.inn_check_digits
        self._accepted = Events("webhook_accepted", wanted=settings.log_operations)

    async def receive(self, sender: Sender, request: web.BaseRequest) -> Ok:
        """Answer 200 once the journal has the payment, new or seen before.

        Who prefers to wait gets the outcome too, if it comes in time, and 409 for a conflict.
        """
        ways = sender.admit(request)
        body = await read_body(request, sender.kinds)
        sent = sender.open(ways, request, body)
        sender.count()
        payment = self._parse(sent.value)
        request[OPERATION_ID] = payment.operation_id
        position = await self._publish(payment, sender, sent, request)
        headers = {POSITION_HEADER: f"{position.partition}:{position.offset}"}
        if PREFER in request.headers:
            headers |= await self._verdicts.headers_for(position, request)
        request[ANSWER] = "accepted"
        return Ok(_ACCEPTED, headers)

    def _parse(self, body: bytes) -> Payment:
        payment = parse(body)
        if self._check_digits and not has_valid_check_digits(payment.inn):
            raise InvalidPayment({"payer_inn": "has wrong check digits"})
        return payment

    async def _publish(
        self, payment: Payment, sender: Sender, sent: Sent, request: web.BaseRequest
    ) -> Position:
        sending = None if self._traces is None else self._traces.sending(payment, request)
        if sending is None:
            # The request's own, if it is one.
            traceparent = read_traceparent(request.headers.get(TRACEPARENT))
            if traceparent is not None and self._traces is not None:
                traceparent = self._traces.untraced(traceparent)
        else:
            traceparent = sending.traceparent
        headers = headers_of(
            source=sender.name,
            received_at=datetime.now(UTC),
            request_id=request[REQUEST_ID],
            traceparent=traceparent,
            signed=sent.signed,
        )
        self._journal_check.require_match()
        self._metrics.publishing()
        started = perf_counter()
        try:
            position = await self._journal.publish(key_of(payment.inn), sent.value, headers)
        finally:
            self._metrics.published(perf_counter() - started)
        if sending is not None:
            sending.sent(position)
        # Once more: what was found in the meantime may be true of the topic that has the record.
        self._journal_check.require_match()
        # Before the 200 goes out: whoever has it may read at once, from any worker.
        self._watermark.move(position.partition, position.offset + 1)
        self._accepted.add(
            operation_id=payment.operation_id,
            inn=masked(payment.inn),
            source=sender.name,
            partition=position.partition,
            offset=position.offset,
            request_id=request[REQUEST_ID],
        )
        return position
