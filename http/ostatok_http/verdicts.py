"""What became of a webhook, for a sender who would rather wait than know only that it is kept."""

import asyncio

import structlog
from aiohttp import web

from ostatok.errors import LedgerError
from ostatok.settings import Settings
from ostatok_db.batch import Outcome
from ostatok_db.history import History, Verdict
from ostatok_http.answers import OUTCOME_HEADER, POSITION_HEADER, REQUEST_ID
from ostatok_http.ports import Position
from ostatok_http.prefer import PREFERENCE_APPLIED, WAIT, wait_seconds
from ostatok_http.progress import Progress
from ostatok_http.refusals import OperationConflict, OperationRefused

log = structlog.get_logger()


class Verdicts:
    """Waits until a record is applied, and says what it became."""

    def __init__(self, settings: Settings, progress: Progress, history: History) -> None:
        self._seconds_max = settings.prefer_wait_seconds_max
        self._progress = progress
        self._history = history

    async def headers_for(self, position: Position, request: web.BaseRequest) -> dict[str, str]:
        """Give the headers that tell the outcome; none when it did not come in time.

        The journal has the webhook, so nothing that goes wrong here may make it a failure. Answers
        409 for a conflict, and 422 for a record that the database refused.
        """
        seconds = wait_seconds(request.headers, self._seconds_max)
        if seconds is None:
            return {}
        until = asyncio.get_running_loop().time() + seconds
        try:
            verdict = await self._of(position, until)
        except LedgerError as error:
            log.warning("outcome_unknown", request_id=request[REQUEST_ID], reason=str(error))
            return {}
        if verdict is None:
            return {}
        headers = {PREFERENCE_APPLIED: WAIT, OUTCOME_HEADER: str(verdict.outcome)}
        if verdict.outcome in (Outcome.APPLIED, Outcome.DUPLICATE):
            return headers
        headers[POSITION_HEADER] = f"{position.partition}:{position.offset}"
        if verdict.outcome is Outcome.CONFLICT:
            raise OperationConflict(verdict.differences or {}, headers)
        raise OperationRefused(headers=headers)

    async def _of(self, position: Position, until: float) -> Verdict | None:
        partition, offset = position
        if not await self._progress.reach(partition, offset + 1, until):
            return None
        return await self._history.outcome_at(partition, offset)
