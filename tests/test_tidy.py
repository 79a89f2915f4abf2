"""Style is a test: the layout's arrows, sizes, and what is left behind."""

import ast
import http.client
import re
from pathlib import Path

import pytest
from support.repository import ROOT, tracked

from ostatok_db.queries import queries

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
PACKAGES = {
    "ostatok": ROOT / "ostatok",
    "ostatok_db": ROOT / "db" / "ostatok_db",
    "ostatok_http": ROOT / "http" / "ostatok_http",
    "ostatok_stream": ROOT / "stream" / "ostatok_stream",
}
# Data flows one way: http → db → ostatok, stream → db → ostatok. CONTRIBUTING.md draws it.
MAY_IMPORT = {
    "ostatok": set(),
    "ostatok_db": {"ostatok"},
    "ostatok_http": {"ostatok", "ostatok_db"},
    "ostatok_stream": {"ostatok", "ostatok_db"},
}
COMPOSITION_ROOT = ("cli.py", "commands/", "__main__.py", "local/")
FOREIGN_TO = {  # What a package must not know of.
    "ostatok_db": {"aiohttp", "aiokafka", "confluent_kafka", "faust"},
    "ostatok_http": {"faust"},
}
READS_SETTINGS_AT_IMPORT = {"stream/ostatok_stream/app.py"}
PUT_OFF = re.compile(r"\b(TODO|FIXME|XXX|HACK|TBD)\b")


PYTHON = tracked("*.py")
DOCUMENTS = tracked("docs/*.md", "README*.md")


def imports_of(tree: ast.AST) -> set[str]:
    """The modules a file imports, whole names."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_arrows_of_the_layout() -> None:
    """No package imports one behind it; nothing imports the composition root."""
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            place = path.relative_to(folder).as_posix()
            imported = imports_of(ast.parse(path.read_text(encoding="utf-8")))
            tops = {name.partition(".")[0] for name in imported}
            assert not tops & FOREIGN_TO.get(package, set()), path
            if package == "ostatok" and place.startswith(COMPOSITION_ROOT):
                continue
            ours = tops & set(PACKAGES) - {package}
            assert ours <= MAY_IMPORT[package], path
            assert not {
                one
                for one in imported
                if one.startswith(("ostatok.cli", "ostatok.commands", "ostatok.local"))
            }, path


def test_nothing_shadows_the_standard_library() -> None:
    """The folders at the root are no packages: `import http` is Python's own."""
    assert "ostatok" not in (http.client.__file__ or "")
    for name in ("http", "stream", "db"):
        assert not (ROOT / name / "__init__.py").exists()


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_can_be_read_at_a_sitting(path: Path) -> None:
    """A file stays below 300 lines, a function below 70."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_leftovers(path: Path) -> None:
    """Nothing is put off, no breakpoint stays, no setting is read but by settings.py."""
    if path == Path(__file__):
        return
    text = path.read_text(encoding="utf-8")
    assert not PUT_OFF.search(text)
    assert "breakpoint(" not in text
    place = path.relative_to(ROOT).as_posix()
    if place.startswith(("db/", "http/", "stream/")):
        assert not re.search(r"environ[^\n]*(OSTATOK_|PREFIX)|getenv", text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_leftovers_in_documents(path: Path) -> None:
    """Nothing is put off, and no word in capitals alone holds a place for what is to come."""
    text = path.read_text(encoding="utf-8")
    assert not PUT_OFF.search(text)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not [line for line in prose.splitlines() if line.isupper() and line.strip().isalpha()]


def test_tests_say_what_must_hold() -> None:
    """Every test has a sentence."""
    for path in tracked("tests/*.py", "tests/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_settings_are_loaded_in_few_places() -> None:
    """Only the Faust app reads the settings at import; all else is given them."""
    for path in PYTHON:
        place = path.relative_to(ROOT).as_posix()
        if place.startswith("tests/") or place in READS_SETTINGS_AT_IMPORT:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            for call in ast.walk(node):
                is_function = isinstance(
                    node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
                )
                if not is_function and isinstance(call, ast.Call):
                    assert getattr(call.func, "id", "") != "load", place


def test_every_query_is_used_and_described() -> None:
    """The .sql files hold no dead statement, and each use names one that is there."""
    used: set[str] = set()
    for path in PACKAGES["ostatok_db"].rglob("*.py"):
        used |= set(re.findall(r'queries\["(\w+)"\]', path.read_text(encoding="utf-8")))
    assert used == set(queries)
    assert all(text.startswith("-- ") for text in queries.values())


def test_no_addresses_of_this_world_in_lock_files() -> None:
    """A mirror of the user's own is used as configured: versions and hashes, no index."""
    for path in tracked("requirements/*.txt"):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        for block in re.split(r"\n(?=\S)", text.strip()):
            assert "--hash=sha256:" in block, block.split("\n", 1)[0]
