"""The loud end of a worker that can't go on."""

import logging
import os
import sys
from typing import NoReturn

import structlog

from ostatok.errors import OstatokError


def end_process(error: BaseException) -> NoReturn:
    """Say why and end the process with 1, at once.

    An exception that leaves a Faust agent only makes it deaf: the process would look alive and
    apply nothing. Whatever is not committed is read again from the ledger's offsets.
    """
    hint = error.hint if isinstance(error, OstatokError) else None
    known = isinstance(error, OstatokError)
    try:
        structlog.get_logger().critical(
            "worker_ends", reason=str(error), hint=hint, exc_info=None if known else error
        )
        logging.shutdown()
        sys.stderr.write(f"ostatok stream: {error}\n" + (f"{hint}\n" if hint else ""))
        sys.stderr.flush()
    finally:
        # Whether it could be said or not: a full disk must not keep a deaf worker alive.
        os._exit(1)
