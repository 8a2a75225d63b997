"""What any zip of function code must be, wherever it is to run: readable, harmless and not empty.

Knows nothing of where the code goes: reads a zip's directory, never its contents.
"""

import io
import warnings
import zipfile
import zlib
from pathlib import PurePosixPath

from taskd.model import limits
from taskd.model.errors import INVALID_CODE, ContractError

UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OverflowError, UserWarning)
"""What reading a zip raises when the zip is at fault."""
# What Python merely warns of, such as two entries for the same bytes, is no zip that any program writes.
warnings.filterwarnings("error", "Overlapped entries|Empty unicode path", UserWarning)
_ENCRYPTED_FLAG = 0x1
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""What every program packs with unless it is told otherwise. The rest fails in ways of its own, and takes what memory
the zip asks for."""


def check_code(code: bytes) -> None:
    """Reads the directory of the zip ``code``, and trusts the sizes it claims.

    :raises ContractError: ``INVALID_CODE`` for what is no zip, or is hostile, empty or too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(code)) as archive:
            entries = checked_entries(archive)
    except UNREADABLE as error:
        raise unreadable(error) from error
    if sum(entry.file_size for _, entry in entries) > limits.CODE_UNPACKED_MAX_BYTES:
        raise too_large()


def checked_entries(archive: zipfile.ZipFile) -> list[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """The entries with their paths, none of which leads out of the directory that it is unpacked into.

    :raises ContractError: ``INVALID_CODE`` for a path that does, for encryption, and for no or too many files.
    """
    entries = [(_safe_path(entry), entry) for entry in archive.infolist()]
    if not any(not entry.is_dir() for _, entry in entries):
        raise invalid_code("The zip is empty; put the function's files into it.")
    if len(entries) > limits.CODE_FILES_MAX:
        raise invalid_code(f"The zip holds {len(entries)} files; the limit is {limits.CODE_FILES_MAX}.")
    return entries


def _safe_path(entry: zipfile.ZipInfo) -> PurePosixPath:
    path = PurePosixPath(entry.filename)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise invalid_code(f"The entry {entry.filename!r} would be written outside the function's own directory.")
    if len(path.parts) > limits.CODE_DEPTH_MAX:
        raise invalid_code(f"The zip nests directories over {limits.CODE_DEPTH_MAX} deep.")
    if entry.flag_bits & _ENCRYPTED_FLAG:
        raise invalid_code(f"The entry {entry.filename!r} is encrypted; make the zip without a password.")
    if entry.compress_type not in _METHODS:
        raise invalid_code(f"The entry {entry.filename!r} is not packed by deflate, as zips are by default.")
    return path


def unreadable(error: Exception) -> ContractError:
    """What one of :data:`UNREADABLE` is to the one who sent the zip."""
    return invalid_code(f"The code is not a readable zip: {error}.")


def too_large() -> ContractError:
    """The code is over the limit when unpacked."""
    limit_mib = limits.CODE_UNPACKED_MAX_BYTES // limits.MIB
    return invalid_code(f"The code is larger than {limit_mib} MiB when unpacked; leave out what it does not need.")


def invalid_code(message: str) -> ContractError:
    """``INVALID_CODE``."""
    return ContractError(INVALID_CODE, message)
