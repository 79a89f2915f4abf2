"""The files of keys and certificates, looked at before anything starts."""

from ostatok.settings import Settings
from ostatok_http.doors.senders import senders_of
from ostatok_http.listening import tls_of


def require_keys(settings: Settings) -> None:
    """See that the files of keys and certificates can be used. Raises :class:`SettingsError`.

    For who starts processes that would each find it out, again and again.
    """
    if settings.serves("webhook"):
        senders_of(settings)
    tls_of(settings)
