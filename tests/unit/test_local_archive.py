import io
import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.functions.zips import unix_entry, zip_of

from taskd.model import limits
from taskd.model.errors import INVALID_CODE, ContractError
from taskd.runtime.local.archive import unpack


def archive_of(*entries: tuple[str | zipfile.ZipInfo, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries:
            archive.writestr(name, text)
    return buffer.getvalue()


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, str]:
    return unix_entry(name, stat.S_IFLNK | 0o777), target


def refusal(code: bytes, target: Path) -> str:
    with pytest.raises(ContractError) as caught:
        unpack(code, target)
    assert caught.value.kind is INVALID_CODE
    return caught.value.message


def test_files_and_folders_come_out_as_they_went_in(tmp_path: Path) -> None:
    unpack(zip_of({"index.py": "a", "lib/deep/x.txt": "b"}), tmp_path)
    assert (tmp_path / "index.py").read_text() == "a"
    assert (tmp_path / "lib/deep/x.txt").read_text() == "b"


def test_executable_bits_are_kept_and_setuid_is_not(tmp_path: Path) -> None:
    unpack(archive_of((unix_entry("bootstrap", stat.S_IFREG | 0o4755), "#!")), tmp_path)
    assert stat.S_IMODE((tmp_path / "bootstrap").stat().st_mode) == 0o755


def test_a_zip_made_without_unix_modes_gets_ordinary_ones(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("index.js")
    entry.create_system = 0
    unpack(archive_of((entry, "x")), tmp_path)
    assert stat.S_IMODE((tmp_path / "index.js").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "code", [b"", b"not a zip", b"PK\x03\x04 but no more", zip_of({"a": "x" * 999})[:-30]], ids=range(4)
)
def test_what_is_not_a_zip_is_refused(code: bytes, tmp_path: Path) -> None:
    assert "not a readable zip" in refusal(code, tmp_path)


def test_damaged_content_is_refused(tmp_path: Path) -> None:
    code = bytearray(archive_of(("a.txt", "hello hello hello " * 50)))
    code[40] ^= 0xFF
    assert "not a readable zip" in refusal(bytes(code), tmp_path)


@pytest.mark.parametrize("code", [zip_of({}), archive_of(("folder/", ""))], ids=["nothing", "a folder"])
def test_an_empty_zip_is_refused(code: bytes, tmp_path: Path) -> None:
    assert "empty" in refusal(code, tmp_path)


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../x", "a/../../x", "..", "./"])
def test_an_entry_outside_the_functions_directory_is_refused(name: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    assert "outside" in refusal(archive_of((name, "x"), ("ok", "x")), target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../secret", "sub/../../../x"])
def test_a_link_that_points_out_is_refused(target: str, tmp_path: Path) -> None:
    assert "points out" in refusal(archive_of(("sub/file", "x"), link("sub/link", target)), tmp_path)


def test_a_link_that_points_out_by_way_of_another_is_refused(tmp_path: Path) -> None:
    code = archive_of(("a/b/file", "x"), link("near", "a/b"), link("far", "near/../../.."))
    assert "points out" in refusal(code, tmp_path)


def test_a_link_inside_is_kept(tmp_path: Path) -> None:
    unpack(archive_of(("lib/real.js", "x"), link("alias.js", "lib/real.js")), tmp_path)
    assert (tmp_path / "alias.js").read_text() == "x"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    target = tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    refusal(archive_of(link("door", str(outside)), ("door/file", "x")), target)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("door", ["door", "./door", "door/", "sub//door"])
@pytest.mark.parametrize("inner", ["x", "deep/er/x"])
@pytest.mark.parametrize("is_first", [True, False])
def test_no_name_is_made_through_a_link(door: str, inner: str, is_first: bool, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    target = tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    entries = [link(door.rstrip("/"), str(outside)), link(f"{door}/{inner}", "anything"), ("ok", "x")]
    message = refusal(archive_of(*(entries if is_first else reversed(entries))), target)
    assert "inside of a link" in message
    assert not list(outside.iterdir())


def test_a_link_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    target = tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    with pytest.warns(UserWarning, match="Duplicate name"):
        code = archive_of(("ok", "x"), link("door", "ok"), link("door", str(outside)))
    assert "cannot be unpacked" in refusal(code, target)


def test_links_in_a_circle_hang_nothing(tmp_path: Path) -> None:
    unpack(archive_of(("a.txt", "x"), link("one", "two"), link("two", "one")), tmp_path)


def test_a_file_and_a_folder_of_the_same_name_are_refused(tmp_path: Path) -> None:
    assert "cannot be unpacked" in refusal(archive_of(("a", "x"), ("a/b", "x")), tmp_path)


def test_a_name_too_long_for_the_disk_is_refused(tmp_path: Path) -> None:
    assert "cannot be unpacked" in refusal(archive_of(("n" * 300, "x")), tmp_path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    code = bytearray(archive_of(("secret.py", "x")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", code, code.index(signature) + offset, 0x1)
    assert "encrypted" in refusal(bytes(code), tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 93])
def test_a_zip_packed_in_another_way_is_refused(method: int, tmp_path: Path) -> None:
    """Each fails in its own ways, and LZMA takes the memory that the zip asks for."""
    code = bytearray(archive_of(("index.py", "x" * 1000)))
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", code, code.index(signature) + offset, method)
    assert "'index.py' is not packed by deflate" in refusal(bytes(code), tmp_path)


@pytest.mark.parametrize("name", ["d/" * 100 + "x.py", "d/" * 101])
def test_directories_nested_too_deep_are_refused(name: str, tmp_path: Path) -> None:
    assert "over 100 deep" in refusal(archive_of(("index.py", "x"), (name, "")), tmp_path)


def test_directories_may_be_nested_up_to_the_limit(tmp_path: Path) -> None:
    unpack(archive_of(("d/" * 99 + "x.py", "deep")), tmp_path)
    assert (tmp_path / ("d/" * 99) / "x.py").read_text() == "deep"


def test_a_link_that_points_nowhere_is_refused(tmp_path: Path) -> None:
    assert "points nowhere" in refusal(archive_of(("index.py", "x"), link("l", "")), tmp_path)


def test_links_that_take_minutes_to_check_are_refused(tmp_path: Path) -> None:
    links = [link(f"l{number}", "d/../" * 800) for number in range(100)]
    assert "too many links" in refusal(archive_of(("d/index.py", "x"), *links), tmp_path)


def test_two_entries_for_the_same_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    """Python 3.13 warns of them, and others take them for the same file twice."""
    code = archive_of(("a.py", "x"))
    start = code.index(b"PK\x01\x02")
    end = code.index(b"PK\x05\x06")
    record = code[start:end]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 2 * len(record), start, 0)
    with suppress(ContractError):
        unpack(code[:start] + record * 2 + tail, tmp_path)
        assert (tmp_path / "a.py").read_text() == "x"


def test_more_than_it_may_hold_unpacked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CODE_UNPACKED_MAX_BYTES", limits.MIB)
    unpack(zip_of({"fits": "x" * limits.MIB}), tmp_path)
    assert "larger than 1 MiB" in refusal(zip_of({"a": "x" * limits.MIB, "b": "x"}), tmp_path)


def test_more_files_than_allowed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CODE_FILES_MAX", 2)
    assert "holds 3 files" in refusal(zip_of({"a": "", "b": "", "c": ""}), tmp_path)


@given(position=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_a_zip_damaged_anywhere_is_unpacked_or_refused_and_never_escapes(
    tmp_path_factory: pytest.TempPathFactory, position: int, value: int, cut: int
) -> None:
    root = tmp_path_factory.mktemp("damaged")
    target = root / "target"
    target.mkdir()
    code = bytearray(zip_of({"index.py": "print()\n" * 9, "lib/x.py": "pass"}))
    code[position % len(code)] = value
    with suppress(ContractError):
        unpack(bytes(code[: len(code) - cut]), target)
    assert [path.name for path in root.iterdir()] == ["target"]
