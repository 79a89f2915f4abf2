"""No start without doors, where others than this machine could come in."""

from ostatok.errors import SettingsError
from ostatok.http_settings import is_loopback
from ostatok.setting_types import PREFIX
from ostatok.settings import Settings


def require_doors(settings: Settings) -> None:
    """See that nobody is let in by mistake. Raises :class:`SettingsError`.

    On loopback only this machine comes in, unless a proxy of ours is named: it brings others.
    """
    if settings.http_open_to_all:
        return
    if is_loopback(settings.http_host) and settings.http_trusted_proxies is None:
        return
    missing = []
    if settings.serves("webhook") and settings.sources is None:
        missing.append(f"{PREFIX}SOURCES, for anyone could credit any organization")
    if (settings.serves("api") or settings.serves("console")) and not settings.http_authentication:
        missing.append(f"{PREFIX}HTTP_AUTHENTICATION=true, for anyone could read all balances")
    if missing:
        where = f"{settings.http_host}, port {settings.http_port}"
        who = (
            f"Proxies of {PREFIX}HTTP_TRUSTED_PROXIES bring others to {where}"
            if is_loopback(settings.http_host)
            else f"Others than this machine reach {where}"
        )
        raise SettingsError(
            f"{who}, and not everybody is asked who he is. Set {'; and '.join(missing)}.",
            hint=f"docs/security.md shows how. If whoever reaches the port may do all that, say so "
            f"with {PREFIX}HTTP_OPEN_TO_ALL=true.",
        )
