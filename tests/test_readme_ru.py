"""README.ru.md, held to README.md: block by block, whatever is the same in every language."""

import re
from itertools import zip_longest
from pathlib import Path

import pytest

from bench.report import BEGIN, END

ROOT = Path(__file__).parents[1]
ENGLISH, RUSSIAN = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ru.md")
)
CODE, LINK = re.compile(r"`[^`]+`"), re.compile(r"(!?)\[[^\]]*\]\(([^)]+)\)")
BETWEEN_DIGITS = re.compile(r"(?<=\d)[.,\u00a0](?=\d)")  # 10,000 is 10 000, and 0.5 is 0,5.


def blocks(text: str) -> list[str]:
    """Cut into headings, paragraphs, bullets, rows of tables, comments and code, in order."""
    found, in_code = [""], False
    for line in text.splitlines():
        fence = line.startswith("```")
        if in_code:
            found[-1] += f"\n{line}"
            in_code = not fence
        elif fence or not line or line.startswith(("#", "|", "<", "- ")):
            found.append(line)
            in_code = fence
        else:
            found[-1] += f" {line.strip()}"
    return [block.strip() for block in found if block]


def same_in_every_language(block: str) -> tuple[object, ...]:
    """What a translation keeps: the kind, names, links, numbers, cells without words, commands.

    A picture may be another one: of the same page in Russian.
    """
    if block.startswith("```"):
        drawing = block.startswith("```\n")
        return ("```",) if drawing else ("```", block)
    kind = re.match(r"#*|[|<-]?", block)
    links = {"a picture" if picture else target for picture, target in LINK.findall(block)}
    words = CODE.sub("", LINK.sub("", block))
    numbers = set(re.findall(r"\d+", BETWEEN_DIGITS.sub("", words)))
    cells = [
        None if re.search(r"[^\W\d]", CODE.sub("", cell)) else cell.strip()
        for cell in (block.split("|") if block.startswith("|") else ())
    ]
    return kind and kind[0], set(CODE.findall(block)), links, numbers, cells


def first_difference(english: str, russian: str) -> str:
    """Give the first two blocks that do not say the same, or nothing."""
    for ours, theirs in zip_longest(blocks(english), blocks(russian), fillvalue=""):
        if ours == "[Русский](README.ru.md)" and theirs.startswith("[English](README.md)"):
            continue
        if same_in_every_language(ours) != same_in_every_language(theirs):
            return f"README.md:\n{ours}\nREADME.ru.md:\n{theirs}"
    return ""


def test_both_readmes_say_the_same() -> None:
    """Whoever changes README.md sees here what to change in README.ru.md."""
    difference = first_difference(ENGLISH, RUSSIAN)
    assert not difference, difference


@pytest.mark.parametrize(
    ("pattern", "changed"),
    [
        (r"^## .*$", r"\g<0>\n\n## Another"),
        (r"^- \*\*.*$", r"- Another bullet.\n\g<0>"),
        (r"^\| `OSTATOK_HTTP_PORT`.*$", r"| `OSTATOK_NEW` | `1` | new |\n\g<0>"),
        (r"^(\| `OSTATOK_HTTP_PORT` \| )`8000`", r"\1`8001`"),
        (r"^(\| `OSTATOK_LOG_FILE` \| )( \|)", r"\1`log` \2"),
        (r"^(\| `OSTATOK_HTTP_HOST`.*\n)(.*\n)", r"\2\1"),
        (r"^\| `GET /healthz`.*\n", ""),
        (r"10,000 webhooks", "20,000 webhooks"),
        (r"5 s after", "6 s after"),
        (r"^make run", "make start"),
        (r'"balance": 145000\.00\}$', '"balance": 145000}'),
        (r"\[docs/data\.md\]\(docs/data\.md\)", "[docs/data.md](docs/dates.md)"),
        (r"`Retry-After`", "`Retry-Before`"),
        (r"^## Licence\n\nApache-2\.0\.$", "## Licence"),
    ],
)
def test_a_change_of_one_readme_is_seen(pattern: str, changed: str) -> None:
    """A heading, bullet, row, default, order, number, command, answer, link or name."""
    other, times = re.subn(pattern, changed, ENGLISH, count=1, flags=re.MULTILINE)
    assert times == 1
    assert first_difference(other, RUSSIAN)


def test_the_figures_are_the_same() -> None:
    """One program writes both tables; nobody else does."""
    tables = [text.partition(BEGIN)[2].partition(END)[0] for text in (ENGLISH, RUSSIAN)]
    assert tables[0] == tables[1] != ""
