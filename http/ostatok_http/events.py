"""One event for each webhook, without one write for each: that costs as much as all the rest."""

import asyncio
from typing import Any

from ostatok.logs import write_many


class Events:
    """Events of one name, gathered through a turn of the loop and then written together."""

    def __init__(self, name: str, *, wanted: bool) -> None:
        self._name = name
        self._wanted = wanted
        self._gathered: list[dict[str, Any]] = []

    def add(self, **fields: Any) -> None:
        """Write an event with ``fields`` at the end of this turn."""
        if not self._wanted:
            return
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._write)
        self._gathered.append(fields)

    def _write(self) -> None:
        gathered, self._gathered = self._gathered, []
        write_many(self._name, gathered)
