"""Every text of the console, in Russian and in English, from ``texts.toml``."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

Language = Literal["ru", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@cache
def texts() -> Mapping[str, Mapping[Language, str]]:
    """Give each text by its name and its language."""
    source = files("ostatok_http.console").joinpath("texts.toml").read_text(encoding="utf-8")
    return {
        f"{part}.{name}": said
        for part, names in tomllib.loads(source).items()
        for name, said in names.items()
    }


class Speaker:
    """Says each text in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, name: str, **values: object) -> str:
        """Give a text by its name, with ``values`` in the places it has for them."""
        text = texts()[name][self.language]
        return text.format(**values) if values else text


def preferred(accept_language: str) -> Language:
    """Give the language a browser prefers (RFC 9110, section 12.5.4); English for any other."""
    weighed: list[tuple[float, Language]] = []
    for item in accept_language.lower().split(","):
        tag, _, parameters = item.strip().partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=")
        try:
            quality = float(weight) if parameters else 1.0
        except ValueError:
            continue
        weighed += [(quality, one) for one in LANGUAGES if tag.partition("-")[0] == one]
    best = max(weighed, key=lambda one: one[0], default=(0.0, "en"))
    return best[1] if best[0] > 0 else "en"
