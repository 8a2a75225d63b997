"""What contributors are told is true: paths, commands, the map of rooms, and what is checked before a commit."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from unit.test_floors import FLOORS, GROUND, NEIGHBOURS, SHOWN

from taskd import __version__

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
GUIDE = (GITHUB / "CONTRIBUTING.md").read_text()
DECISIONS = sorted((GITHUB / "decisions").glob("*.md"))
PAGES = {path.stem: path.read_text() for path in (GITHUB / "CONTRIBUTING.md", *DECISIONS)}
SECTIONS = ["Context", "Decision", "Alternatives considered", "Consequences"]
GLOSSARY = {
    *("task", "run", "claim", "settle", "frame", "segment"),
    *("catalogue", "sandbox", "zombie", "node", "lease"),
}
QUICK_TESTS_MIN = 500
PATH = re.compile(r"`((?:[\w.*-]+/)+[\w.*-]*|[\w.-]+\.(?:py|md|toml|yaml))(?:::(\w+))?`")
"""A path from the root of the checkout, and perhaps the name of a test in it."""


def section(title: str) -> str:
    """The text below a heading, up to the next one of the same rank."""
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table that begins with ``heading``."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\|\n)+)", GUIDE, re.MULTILINE)
    assert table, heading
    return [line.strip("|").split("|") for line in table[1].splitlines()]


def modules(cell: str) -> set[str]:
    """The modules that a cell names."""
    return {f"taskd.{name}" for name in re.findall(r"`([\w.]+)`", cell)}


def commands() -> list[list[str]]:
    """Every command of the guide, split into words."""
    blocks = "\n".join(re.findall(r"^```bash\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
    return [shlex.split(command) for command in re.split(r"\n+| && ", blocks.strip())]


def quick_tests() -> list[str]:
    """The arguments that select the tests of the quick command."""
    (found,) = [words for words in commands() if words[0].endswith("/pytest") and "-k" in words]
    return found[found.index("tests/unit") :]


def program(word: str) -> str | None:
    """Where the program is that a command begins with, in the environment that runs this test."""
    folder, _, name = word.rpartition("/")
    if folder == ".venv/bin":
        return shutil.which(name, path=str(Path(sys.executable).parent))
    return shutil.which(ROOT / word if folder else word)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_is_named_is_there(page: str) -> None:
    named = PATH.findall(PAGES[page])
    assert named
    for path, test in named:
        found = list(ROOT.glob(path.rstrip("/")))
        assert found, path
        assert not test or f"def {test}(" in found[0].read_text(), test


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_page(page: str) -> None:
    for target in re.findall(r"\]\((?!https://)([^)#]+)", PAGES[page]):
        assert (GITHUB / target).exists(), target


def test_the_map_has_every_room_on_its_floor() -> None:
    drawn = {f"taskd.{room.strip(' `')}": int(floor) for floor, room, *_ in rows("floor")}
    assert drawn == {room: floor for room, floor in FLOORS.items() if room != "taskd"}


def test_the_map_says_what_rooms_of_one_floor_import_and_what_seams_show() -> None:
    below, shown = set(), {}
    for _, room, beside, above, *_ in rows("floor"):
        (name,) = modules(room)
        below |= {(name, other) for other in modules(beside)}
        assert modules(beside) or beside.strip() == "nothing"
        if above.strip() != "all":
            shown[name] = {name + part.removeprefix("taskd") for part in modules(above)}
    assert below == GROUND
    assert shown == SHOWN


def test_the_map_says_what_packages_side_by_side_import() -> None:
    drawn = {f"taskd.{re.findall('`(.*?)`', package)[0]}": modules(others) for package, others in rows("package")}
    assert drawn == NEIGHBOURS


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_can_be_run(words: list[str]) -> None:
    settings = [word.partition("=")[0] for word in words if re.match(r"[A-Z_]+=", word)]
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert all(f'"{name}"' in tests for name in settings)
    first, *arguments = words[len(settings) :]
    assert program(first), first
    assert all((ROOT / word).exists() for word in arguments if word.startswith("tests/"))
    if arguments[:2] == ["-m", "benchmarks"]:
        assert (ROOT / "benchmarks" / f"{arguments[2]}.py").exists()


def test_the_quick_command_runs_many_tests_and_leaves_out_what_it_names() -> None:
    selection = quick_tests()
    files = list((ROOT / "tests" / "unit").glob("test_*.py"))
    names = [path.stem for path in files] + re.findall(r"def (test_\w+)", "".join(path.read_text() for path in files))
    for word in set(re.findall(r"\w+", selection[-1])) - {"not", "or"}:
        assert any(word in name for name in names), word
    listing = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *selection]
    collected = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout
    assert collected.count("::test_") > QUICK_TESTS_MIN


def test_lint_is_that_of_the_gate_and_of_every_commit() -> None:
    gate = (ROOT / ".ci" / "run").read_text().splitlines()
    lint = [" ".join(words) for words in commands() if re.search("/(ruff|mypy)$", words[0])]
    assert lint == [line for line in gate if re.match(r"\.venv/bin/(ruff|mypy)", line)]
    hooks = re.findall(r"entry: (.*)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    assert [hook.split()[:2] for hook in hooks] == [command.split()[:2] for command in lint]


def test_the_glossary_has_the_terms_that_everything_is_told_in() -> None:
    assert set(re.findall(r"^- \*\*(\w+)\*\*: ", section("Glossary"), re.MULTILINE)) >= GLOSSARY


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_says_why_and_what_else_there_was(decision: Path) -> None:
    assert re.findall(r"^## (.*)$", decision.read_text(), re.MULTILINE) == SECTIONS
    assert f"](decisions/{decision.name})" in section("The map")


def test_the_changelog_tells_of_this_version() -> None:
    changelog = (GITHUB / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0] == __version__
