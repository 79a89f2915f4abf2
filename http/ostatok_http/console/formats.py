"""How the console writes numbers, money and times: by the language, in the zone of a setting."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from markupsafe import Markup

from ostatok_http.console.texts import Language, texts

SPACE = "\u00a0"
"""Digits in Russian are grouped by a space that does not break."""

_DATES: dict[Language, str] = {"ru": "%d.%m.%Y", "en": "%Y-%m-%d"}
_DAY_SECONDS, _HOUR_SECONDS, _MINUTE_SECONDS = 86_400, 3_600, 60
_UNITS = ("unit.day", "unit.hour", "unit.minute", "unit.second")


class Formats:
    """Writes values for people. Money is rubles."""

    def __init__(self, language: Language, zone: ZoneInfo) -> None:
        self._language = language
        self._zone = zone

    def number(self, value: Decimal | float, decimals: int = 0) -> str:
        """A number with its digits grouped."""
        text = f"{value:,.{decimals}f}"
        if self._language == "en":
            return text
        return text.replace(",", SPACE).replace(".", ",")

    def money(self, rubles: Decimal) -> str:
        """An amount, exact, with its kopecks and the sign of the ruble."""
        return f"{self.number(rubles, 2)}{SPACE}₽"

    def field(self, name: str, text: str) -> Markup | str:
        """A field of a payment that Postgres wrote as text, as the pages write such a value."""
        match name:
            case "amount":
                return self.money(Decimal(text))
            case "document_date":
                return self.moment(datetime.fromisoformat(text), exact=True)
        return text

    def rate(self, per_second: float) -> str:
        """Events a second: with a decimal while they are few."""
        return self.number(per_second, 1 if 0 < per_second < 10 else 0)

    def moment(self, value: datetime, *, exact: bool = False) -> Markup:
        """A time in the zone, for machines in UTC; ``exact`` to the microsecond."""
        local = value.astimezone(self._zone)
        text = local.strftime(f"{_DATES[self._language]} %H:%M:%S")
        if exact:
            text += f".{local.microsecond:06}"
        if local.utcoffset() != datetime.now(self._zone).utcoffset():
            text += f" {_offset(local)}"  # Of the other half of the year.
        utc = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return Markup('<time datetime="{}">{}</time>').format(utc, text)

    def clock(self, value: datetime) -> str:
        """Hours, minutes and seconds of a time."""
        return value.astimezone(self._zone).strftime("%H:%M:%S")

    def day(self, value: datetime) -> str:
        """The date of a time."""
        return value.astimezone(self._zone).strftime(_DATES[self._language])

    def duration(self, seconds: float) -> str:
        """A length of time, in its two greatest units."""
        whole = max(0, round(seconds))
        days, rest = divmod(whole, _DAY_SECONDS)
        hours, rest = divmod(rest, _HOUR_SECONDS)
        minutes, left = divmod(rest, _MINUTE_SECONDS)
        units = [texts()[name][self._language] for name in _UNITS]
        parts = list(zip((days, hours, minutes, left), units, strict=True))
        first = next((at for at, (many, _) in enumerate(parts) if many), len(parts) - 1)
        return " ".join(f"{many} {unit}" for many, unit in parts[first : first + 2])

    @property
    def zone_name(self) -> str:
        """The zone as people know it, and how far it is from UTC now."""
        return f"{self._zone.key}, {_offset(datetime.now(self._zone))}"

    def input_value(self, value: datetime | None) -> str:
        """A time as a field of a form wants it: ``datetime-local``, in the zone."""
        return "" if value is None else value.astimezone(self._zone).strftime("%Y-%m-%dT%H:%M:%S")


def _offset(local: datetime) -> str:
    text = local.strftime("%z")
    return f"UTC{text[:3]}:{text[3:5]}"
