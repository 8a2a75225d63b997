from pathlib import Path
from typing import Any

import pytest
from support.functions.zips import function, zip_of

from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, ContractError
from taskd.model.function import RUNTIMES
from taskd.runtime.local.archive import unpack
from taskd.runtime.local.languages import Languages


def check(files: dict[str, str], tmp_path: Path, mode: int = 0o644, **fields: Any) -> None:
    probe = function(**fields)
    unpack(zip_of(files, mode=mode), tmp_path)
    language = Languages().of(probe)
    language.check_machine(probe)
    language.check_code(probe, tmp_path)


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("index.py", {}),
        ("lib/index.py", {"entry_point": "lib/index.handler"}),
        ("lib/index.py", {"entry_point": "lib.index.handler"}),
        ("app/__init__.py", {"entry_point": "app.handler"}),
        ("fast.cpython-312-x86_64-linux-gnu.so", {"entry_point": "fast.handler"}),
        ("index.js", {"runtime": "nodejs20.x"}),
        ("index.mjs", {"runtime": "nodejs20.x"}),
        ("src/index.cjs", {"runtime": "nodejs20.x", "entry_point": "src/index.api.handler"}),
    ],
)
def test_a_zip_with_the_entry_points_file_is_taken(file: str, fields: dict[str, Any], tmp_path: Path) -> None:
    check({file: "x"}, tmp_path, **fields)


@pytest.mark.parametrize(
    ("runtime", "missing"), [("python3.9", "index.py"), ("nodejs18.x", "index.js"), ("provided.al2", "bootstrap")]
)
def test_a_zip_without_the_entry_points_file_is_refused_and_the_file_named(
    runtime: str, missing: str, tmp_path: Path
) -> None:
    with pytest.raises(ContractError, match=rf"no {missing}.*main\.txt") as caught:
        check({"main.txt": "x"}, tmp_path, runtime=runtime)
    assert caught.value.kind is INVALID_CODE


def test_a_zip_of_the_folder_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="Zip the folder's contents"):
        check({"hello/index.py": "x"}, tmp_path)


def test_a_bootstrap_that_is_not_executable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"chmod \+x"):
        check({"bootstrap": "#!/bin/sh"}, tmp_path, runtime="provided.al2023")
    check({"bootstrap": "#!/bin/sh"}, tmp_path, runtime="provided.al2023", mode=0o755)


@pytest.mark.parametrize("entry_point", ["handler", "index.", ".handler", "/etc/index.handler", "../index.handler"])
def test_an_entry_point_of_another_form_is_refused(entry_point: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"file\.function") as caught:
        check({"index.py": "x"}, tmp_path, entry_point=entry_point)
    assert caught.value.kind is INVALID_CONFIGURATION


@pytest.mark.parametrize("runtime", [name for name in RUNTIMES if name.startswith(("java", "dotnet", "ruby"))])
def test_a_runtime_that_the_machine_lacks_is_refused_with_those_it_has(runtime: str) -> None:
    with pytest.raises(ContractError, match=rf"{runtime}.*python3\.\*.*nodejs\*.*provided\.\*") as caught:
        Languages().of(function(runtime=runtime))
    assert caught.value.kind is INVALID_CONFIGURATION


def test_without_node_its_functions_are_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ContractError, match=r"install Node\.js"):
        check({"index.js": "x"}, tmp_path, runtime="nodejs22.x")


async def test_what_really_runs_is_said() -> None:
    languages = Languages()
    await languages.detect_version()
    assert "Python 3." in languages.describe()
    assert "Node v" in languages.describe()
