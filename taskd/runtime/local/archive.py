"""A function's zip: checked and unpacked without trusting anything it says about itself.

Knows nothing of functions, versions or processes: bytes in, a directory tree out.
"""

import errno
import io
import os
import stat
import zipfile
from pathlib import Path, PurePosixPath

from taskd.model import limits
from taskd.runtime.code import UNREADABLE, checked_entries, invalid_code, too_large, unreadable
from taskd.system.files import sync_directory

_CHUNK_BYTES = 256 * 1024
_UNIX = 3
"""The zip format's number for archives that carry Unix file modes."""
_UNUSABLE_NAME_ERRNOS = frozenset(
    {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.ELOOP, errno.EILSEQ}
)


def unpack(code: bytes, target: Path) -> None:
    """Unpacks the zip ``code`` into the empty directory ``target`` and syncs all of it to the disk.

    :raises ContractError: ``INVALID_CODE`` for a zip that is broken, hostile or too large.
    :raises OSError: the disk is full or fails.
    :raises SyncFailedError: names could not be made durable.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            _Unpacking(archive, target).run()
    except UNREADABLE as error:
        raise unreadable(error) from error
    except OSError as error:
        if error.errno in _UNUSABLE_NAME_ERRNOS:
            raise invalid_code(f"The zip holds a name that cannot be unpacked: {error.strerror}.") from error
        raise


class _Unpacking:
    """One zip on its way into one directory."""

    def __init__(self, archive: zipfile.ZipFile, target: Path) -> None:
        self._archive = archive
        self._target = target
        self._left_bytes = limits.CODE_UNPACKED_MAX_BYTES
        self._left_link_steps = limits.CODE_LINK_STEPS_MAX

    def run(self) -> None:
        entries = checked_entries(self._archive)
        links = [(path, entry) for path, entry in entries if _is_link(entry)]
        _refuse_links_inside_links([path for path, _ in links])
        for path, entry in entries:
            if not _is_link(entry):
                self._write(path, entry)
        # Links come last, and none lies in another, so that nothing is ever written or made through one.
        made = [self._link(path, entry) for path, entry in links]
        for link in made:
            self._check_link(link)
        _sync_directories(self._target)

    def _write(self, path: PurePosixPath, entry: zipfile.ZipInfo) -> None:
        destination = self._target / path
        if entry.is_dir():
            destination.mkdir(parents=True, exist_ok=True)
            return
        destination.parent.mkdir(parents=True, exist_ok=True)
        with self._archive.open(entry) as source, destination.open("wb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                self._charge(len(chunk))
                file.write(chunk)
            file.flush()
            os.fchmod(file.fileno(), _file_mode(entry))
            os.fsync(file.fileno())

    def _charge(self, size_bytes: int) -> None:
        """Counts what really comes out: the sizes in a zip's headers are only claims."""
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise too_large()

    def _link(self, path: PurePosixPath, entry: zipfile.ZipInfo) -> Path:
        link = self._target / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self._link_target(entry))
        return link

    def _link_target(self, entry: zipfile.ZipInfo) -> str:
        with self._archive.open(entry) as source:
            target = os.fsdecode(source.read(os.pathconf(self._target, "PC_PATH_MAX")))
        self._left_link_steps -= 1 + target.count("/")
        if not target:
            raise invalid_code(f"The link {entry.filename!r} points nowhere.")
        if self._left_link_steps < 0:
            raise invalid_code("The zip holds too many links for what they point at to be checked.")
        return target

    def _check_link(self, link: Path) -> None:
        root = os.path.realpath(self._target)
        if not Path(os.path.realpath(link)).is_relative_to(root):
            raise invalid_code(f"The link {link.relative_to(self._target)} points out of the zip.")


def _refuse_links_inside_links(links: list[PurePosixPath]) -> None:
    unique = set(links)
    for path in links:
        if not unique.isdisjoint(path.parents):
            raise invalid_code(f"The entry {str(path)!r} lies inside of a link.")


def _unix_mode(entry: zipfile.ZipInfo) -> int:
    return entry.external_attr >> 16 if entry.create_system == _UNIX else 0


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(_unix_mode(entry))


def _file_mode(entry: zipfile.ZipInfo) -> int:
    """The entry's permissions without setuid and its kin; always readable and writable by the owner."""
    return (_unix_mode(entry) & 0o777 or 0o644) | 0o600


def _sync_directories(root: Path) -> None:
    for directory, _, _ in os.walk(root, onerror=_fail):
        sync_directory(Path(directory))


def _fail(error: OSError) -> None:
    """A directory that cannot be listed is not passed over: what is in it would not be synced."""
    raise error
