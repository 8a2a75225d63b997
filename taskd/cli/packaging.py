"""A function's folder, made into what the API takes: its settings, and its code as a zip.

The zip is the same byte for byte whenever the files are, so deploying twice changes nothing. Nothing here
talks to the server.
"""

import base64
import io
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from taskd.cli.exit_codes import CommandError, ExitCode
from taskd.model.function import PermissionMode
from taskd.model.limits import CODE_FILES_MAX, CODE_UNPACKED_MAX_BYTES, MIB

DESCRIPTOR = "function.json"
SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store"})
"""Never part of a function, wherever in the folder they are."""
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


class PackagingError(CommandError):
    """The folder cannot be deployed; the message says what to change."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.FAILED)


class _EnvironmentValue(Struct, forbid_unknown_fields=True):
    value: str


class _Concurrency(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    total: int | UnsetType = UNSET
    per_key: int | UnsetType = UNSET
    key: str | UnsetType = UNSET


class _Throttle(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    limit: int | UnsetType = UNSET
    period_seconds: float | UnsetType = UNSET
    burst: int | UnsetType = UNSET
    key: str | UnsetType = UNSET


class _ExecutionOptions(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    permission_mode: PermissionMode | UnsetType = UNSET
    default_priority: int | UnsetType = UNSET
    concurrency: _Concurrency | UnsetType = UNSET
    throttle: _Throttle | UnsetType = UNSET


class _RetryPolicy(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    enabled: bool | UnsetType = UNSET
    errors_to_retry: list[str] | UnsetType = UNSET
    delays: list[float] | UnsetType = UNSET
    jitter: float | UnsetType = UNSET


class Descriptor(Struct, forbid_unknown_fields=True, rename="camel", omit_defaults=True):
    """``function.json``: the API's own fields, refused where misspelt. The server checks their values.

    ``path`` is for us: the folder that holds the code, seen from the descriptor's; that folder itself if absent.
    """

    name: str
    entry_point: str
    runtime: str
    description: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    time_limit: int | UnsetType = UNSET
    memory_limit: int | UnsetType = UNSET
    environment_variables: dict[str, _EnvironmentValue] | UnsetType = UNSET
    execution_options: _ExecutionOptions | UnsetType = UNSET
    retry_policy: _RetryPolicy | UnsetType = UNSET
    path: str | UnsetType = UNSET


class Package(NamedTuple):
    """A function ready to be sent."""

    descriptor: Descriptor
    code: bytes
    """The zip."""
    file_count: int

    def body(self) -> dict[str, Any]:
        """The JSON object that creates the function."""
        fields: dict[str, Any] = msgspec.to_builtins(replace(self.descriptor, path=UNSET))
        return {**fields, "code": base64.b64encode(self.code).decode()}


def package(folder: Path) -> Package:
    """Reads ``folder``: the descriptor, and every other file there, or in the folder it names, as code.

    :raises PackagingError: the descriptor is missing or wrong, or the files cannot be packed.
    """
    descriptor = read_descriptor(folder)
    code = _code_folder(folder, descriptor)
    try:
        files = _collect(code, folder / DESCRIPTOR)
        return Package(descriptor, zip_files(code, files), len(files))
    except OSError as error:
        raise PackagingError(f"{error.filename or code}: cannot be packed: {error.strerror or error}") from error


def read_descriptor(folder: Path) -> Descriptor:
    """The settings in ``folder``'s ``function.json``."""
    path = folder / DESCRIPTOR
    try:
        return msgspec.json.decode(path.read_bytes(), type=Descriptor)
    except FileNotFoundError as error:
        example = '{"name": "hello", "entryPoint": "index.handler", "runtime": "python3.12"}'
        raise PackagingError(f"{path} is missing: a function's folder has one, such as {example}") from error
    except OSError as error:
        raise PackagingError(f"{path}: cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PackagingError(f"{path}: {error}") from error


def zip_files(folder: Path, files: list[Path]) -> bytes:
    """A zip of ``files`` by their paths in ``folder``: sorted, with their modes, and without their times."""
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for path in files:
            entry = ZipInfo(path.relative_to(folder).as_posix(), _ZIP_EPOCH)
            entry.create_system = _UNIX
            entry.compress_type = ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | stat.S_IMODE(path.stat().st_mode) & 0o777) << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _code_folder(folder: Path, descriptor: Descriptor) -> Path:
    code = folder if descriptor.path is UNSET else folder / descriptor.path
    if not code.is_dir():
        raise PackagingError(f'{folder / DESCRIPTOR}: the "path" {descriptor.path!r} is not a folder: {code}')
    return code


def _collect(folder: Path, descriptor: Path) -> list[Path]:
    files: list[Path] = []
    size_bytes = 0
    for path in _walk(folder, frozenset({folder.resolve()})):
        if path == descriptor:
            continue
        files.append(path)
        size_bytes += path.stat().st_size
        if len(files) > CODE_FILES_MAX or size_bytes > CODE_UNPACKED_MAX_BYTES:
            limit = f"{CODE_FILES_MAX:,} files and {CODE_UNPACKED_MAX_BYTES // MIB} MiB"
            raise PackagingError(f"{folder} is over what a function may hold ({limit}): is it the right folder?")
    if not files:
        raise PackagingError(f"{folder} has no file besides {DESCRIPTOR}: there is no code to deploy")
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Every file below ``folder``, links followed; ``above`` are the real folders on the way down to it."""
    for entry in folder.iterdir():
        if entry.name in SKIPPED:
            continue
        if entry.is_dir():
            real = entry.resolve()
            if real in above:
                raise PackagingError(f"{entry} is a link to a folder that it is in: take it away")
            yield from _walk(entry, above | {real})
        elif entry.is_file():
            yield entry
        else:
            raise PackagingError(f"{entry} is neither a file nor a folder (a broken link?): take it away")
