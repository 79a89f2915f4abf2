"""The header Prefer: how long a client would rather wait than get less (RFC 7240)."""

from multidict import MultiMapping

PREFER = "Prefer"
PREFERENCE_APPLIED = "Preference-Applied"
WAIT = "wait"


def wait_seconds(headers: MultiMapping[str], at_most: float) -> float | None:
    """Give the seconds of ``wait=N``, cut to the limit; None when nobody asks, or not so.

    Of several the first counts, and one that can't be understood is as none (section 2).
    """
    if PREFER not in headers:
        return None
    for preference in ",".join(headers.getall(PREFER)).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == WAIT:
            digits = value.strip().strip('"')
            is_number = digits.isascii() and digits.isdigit() and len(digits) < 10
            return min(float(digits), at_most) if is_number else None
    return None
