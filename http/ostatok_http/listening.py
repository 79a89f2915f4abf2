"""Where the service listens, and the signals that end it."""

import asyncio
import errno
import os
import signal
import ssl

from aiohttp import web

from ostatok.errors import OstatokError, SettingsError
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings
from ostatok_http.handshakes import TlsSite


async def listen(
    runner: web.AppRunner,
    settings: Settings,
    place: tuple[str, int],
    tls: ssl.SSLContext | None = None,
    *,
    names: str = "HTTP",
) -> None:
    """Listen there, which settings that begin with ``names`` say.

    Raises :class:`OstatokError` when that is not possible.
    """
    host, port = place
    site = (web.TCPSite if tls is None else TlsSite)(
        runner,
        host,
        port,
        backlog=settings.http_backlog_connections,
        reuse_port=settings.http_workers > 1,
        ssl_context=tls,
    )
    try:
        await site.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OstatokError(
                f"Port {port} on {host} is in use.",
                hint=f"Stop what listens there, or set {PREFIX}{names}_PORT to another port.",
            ) from error
        raise OstatokError(
            f"Listening on {host}, port {port}, is not possible: {error.strerror or error}.",
            hint=f"See {PREFIX}{names}_HOST and {PREFIX}{names}_PORT.",
        ) from error


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Give what connections are encrypted by; None for not at all. Raises SettingsError."""
    if settings.http_tls_certificate_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.http_tls_certificate_file, settings.http_tls_key_file)
        if settings.http_tls_client_ca_file is not None:
            context.load_verify_locations(settings.http_tls_client_ca_file)
            # Optional: readers and other senders come by the same port without one.
            context.verify_mode = ssl.CERT_OPTIONAL
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"The files of {PREFIX}HTTP_TLS_… can't be used: {error}.",
            hint="They must be PEM, and the key the certificate's own, without a password.",
        ) from error
    return context


def on_signals(stopping: asyncio.Event) -> None:
    """Stop in order at the first signal, at once when the same one comes again.

    The same one: Ctrl-C reaches a whole group of processes, and then their supervisor's SIGTERM
    comes too.
    """
    seen: set[int] = set()

    def stop(number: int) -> None:
        if number in seen:
            os._exit(128 + number)
        seen.add(number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
