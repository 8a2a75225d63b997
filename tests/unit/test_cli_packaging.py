"""A function's folder made into a zip and its settings."""

import base64
import io
import json
import os
from pathlib import Path
from zipfile import ZipFile

import pytest

from taskd.cli import packaging
from taskd.cli.packaging import PackagingError, package

DESCRIPTOR = {"name": "hello", "entryPoint": "index.handler", "runtime": "python3.12"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "function.json").write_text(json.dumps(DESCRIPTOR))
    (folder / "index.py").write_text("def handler(event, context):\n    return event\n")
    return folder


def names(code: bytes) -> list[str]:
    with ZipFile(io.BytesIO(code)) as archive:
        return archive.namelist()


def test_the_code_is_every_file_but_the_descriptor(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "deep.py").touch()
    (folder / "lib" / "function.json").write_text("{}")
    packed = package(folder)
    assert names(packed.code) == ["index.py", "lib/deep.py", "lib/function.json"]
    assert packed.file_count == 3


def test_the_body_has_the_settings_given_and_the_code(folder: Path) -> None:
    descriptor = {**DESCRIPTOR, "timeLimit": 9, "environmentVariables": {"A": {"value": "b"}}}
    descriptor |= {"retryPolicy": {"enabled": True}, "executionOptions": {"permissionMode": "public"}}
    (folder / "function.json").write_text(json.dumps(descriptor))
    packed = package(folder)
    assert packed.body() == {**descriptor, "code": base64.b64encode(packed.code).decode()}


def test_the_code_may_be_in_a_folder_that_the_descriptor_names(folder: Path) -> None:
    (folder / "build").mkdir()
    (folder / "build" / "main.py").touch()
    (folder / "function.json").write_text(json.dumps({**DESCRIPTOR, "path": "./build"}))
    packed = package(folder)
    assert names(packed.code) == ["main.py"]
    assert "path" not in packed.body()


def test_a_folder_named_by_the_descriptor_may_hold_the_descriptor(folder: Path) -> None:
    (folder / "function.json").write_text(json.dumps({**DESCRIPTOR, "path": "."}))
    assert names(package(folder).code) == ["index.py"]


@pytest.mark.parametrize("path", ["missing", "index.py"])
def test_a_path_that_is_no_folder_is_refused(folder: Path, path: str) -> None:
    (folder / "function.json").write_text(json.dumps({**DESCRIPTOR, "path": path}))
    with pytest.raises(PackagingError, match=rf'"path" \'{path}\' is not a folder'):
        package(folder)


def test_the_zip_depends_on_the_files_alone(folder: Path) -> None:
    for name in ("b.py", "a.py", "z.py"):
        (folder / name).write_text(name)
    before = package(folder).code
    (folder / "b.py").unlink()
    (folder / "b.py").write_text("b.py")
    for path in folder.iterdir():
        os.utime(path, (1, 1))
    assert package(folder).code == before


def test_modes_are_kept(folder: Path) -> None:
    bootstrap = folder / "bootstrap"
    bootstrap.write_text("#!/bin/sh\n")
    bootstrap.chmod(0o755)
    (folder / "index.py").chmod(0o640)
    with ZipFile(io.BytesIO(package(folder).code)) as archive:
        modes = {entry.filename: oct(entry.external_attr >> 16) for entry in archive.infolist()}
    assert modes == {"bootstrap": "0o100755", "index.py": "0o100640"}


def test_what_is_no_part_of_a_function_is_skipped_wherever_it_is(folder: Path) -> None:
    for skipped in packaging.SKIPPED:
        (folder / "lib" / skipped).mkdir(parents=True)
        (folder / "lib" / skipped / "file").touch()
    assert names(package(folder).code) == ["index.py"]


def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "util.py").write_text("x = 1\n")
    (folder / "shared").symlink_to(shared)
    (folder / "again.py").symlink_to(folder / "index.py")
    assert names(package(folder).code) == ["again.py", "index.py", "shared/util.py"]


def test_a_link_back_to_its_own_folder_is_refused(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)
    with pytest.raises(PackagingError, match=r"loop is a link to a folder that it is in"):
        package(folder)


def test_a_broken_link_is_refused(folder: Path) -> None:
    (folder / "gone").symlink_to("/nowhere")
    with pytest.raises(PackagingError, match=r"gone is neither a file nor a folder"):
        package(folder)


def test_a_pipe_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(PackagingError, match=r"pipe is neither a file nor a folder"):
        package(folder)


def test_a_folder_without_code_is_refused(folder: Path) -> None:
    (folder / "index.py").unlink()
    with pytest.raises(PackagingError, match=r"no file besides function\.json"):
        package(folder)


def test_a_folder_far_too_large_is_refused_early(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaging, "CODE_FILES_MAX", 3)
    for number in range(4):
        (folder / f"{number}.py").touch()
    with pytest.raises(PackagingError, match=r"is it the right folder\?"):
        package(folder)


def test_a_sparse_file_larger_than_a_function_may_be_is_not_read(folder: Path) -> None:
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PackagingError, match=r"10,000 files and 250 MiB"):
        package(folder)


def test_a_missing_descriptor_is_told_with_an_example(folder: Path) -> None:
    (folder / "function.json").unlink()
    with pytest.raises(PackagingError, match=r'function\.json is missing: .*"entryPoint"'):
        package(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON is malformed|truncated"),
        ("{", "truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"name": "x"}', "missing required field `entryPoint`"),
        (json.dumps({**DESCRIPTOR, "timelimit": 3}), "unknown field `timelimit`"),
        (json.dumps({**DESCRIPTOR, "timeLimit": "3"}), r"Expected `int`, got `str` - at `\$\.timeLimit`"),
        (json.dumps({**DESCRIPTOR, "environmentVariables": {"A": "b"}}), r"at `\$\.environmentVariables"),
        ("\udcff", "malformed|Invalid|surrogates"),
    ],
)
def test_a_wrong_descriptor_is_told_by_its_path(folder: Path, text: str, message: str) -> None:
    (folder / "function.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(PackagingError, match=message) as caught:
        package(folder)
    assert str(folder / "function.json") in str(caught.value)


def test_a_descriptor_that_is_a_folder_is_refused(folder: Path) -> None:
    (folder / "function.json").unlink()
    (folder / "function.json").mkdir()
    with pytest.raises(PackagingError, match=r"function\.json: cannot be read: Is a directory"):
        package(folder)
