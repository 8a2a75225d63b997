"""The lock file that the service is installed from: it has all that taskd needs, in versions that it takes."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "systemd" / "requirements.lock"
UNIT = ROOT / "systemd" / "taskd.service"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NEEDED = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]


def entries() -> dict[str, tuple[Version, str]]:
    """The version of each package, and the text of its entry."""
    text = re.sub(r"^#.*\n", "", LOCK.read_text(), flags=re.MULTILINE)
    found = re.findall(r"^([\w.-]+)==([\w.]+)(.*(?:\n[ ].*)*)$", text, re.MULTILINE)
    return {canonicalize_name(name): (Version(version), rest) for name, version, rest in found}


def needed_by(requirement: Requirement) -> Iterator[Requirement]:
    """What an installed package needs here, for the extras that ``requirement`` asks for."""
    for text in metadata.requires(requirement.name) or ():
        further = Requirement(text)
        extras = {"", *requirement.extras}
        if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
            yield further


@pytest.mark.parametrize("text", NEEDED)
def test_the_lock_satisfies_what_the_project_asks_for(text: str) -> None:
    requirement = Requirement(text)
    version, _ = entries()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_the_lock_has_all_that_its_packages_need() -> None:
    """Of those that are installed here in the version of the lock; others may need something else."""
    locked, seen = entries(), set()
    waiting = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        version, _ = locked[name]
        assert requirement.specifier.contains(version), (str(requirement), str(version))
        if str(requirement) not in seen and metadata.version(name) == str(version):
            waiting += needed_by(requirement)
        seen.add(str(requirement))
    assert len(seen) >= len(PROJECT["project"]["dependencies"])


def test_every_package_in_the_lock_has_hashes() -> None:
    locked = entries()
    assert len(locked) == len(re.findall(r"^\w.*==", LOCK.read_text(), re.MULTILINE))
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", rest) for _, rest in locked.values())


def test_the_unit_says_to_install_and_to_upgrade_from_the_lock_and_nothing_else() -> None:
    installing = re.findall(r"^#   /opt/taskd/bin/pip install (.*)$", UNIT.read_text(), re.MULTILINE)
    assert installing == 2 * ["--require-hashes -r systemd/requirements.lock", "--no-deps --no-build-isolation ."]
