"""Packages that functions of tests bring along: installed once per machine, outside of the repository."""

import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from support.functions.node_project import cache_folder
from support.functions.zips import unix_entry

INSTALL_TIMEOUT_S = 300


def npm_packages(*names: str) -> Path:
    """A folder with ``node_modules``; a name may pin a version (``express@5.1.0``)."""
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *names]
    return _installed(f"npm {' '.join(names)}", lambda folder: _run([*command, "--prefix", str(folder)]))


def pip_packages(*names: str) -> Path:
    """A folder of Python packages; a name may pin a version (``mangum==0.22.0``)."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", *names]
    return _installed(f"pip {' '.join(names)}", lambda folder: _run([*command, "--target", str(folder)]))


def zip_with(packages: Path, **files: str) -> bytes:
    """A zip of what is in ``packages`` and of source files, by name with ``_`` for the last dot."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in packages.rglob("*"):
            if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(packages))
        for name, source in files.items():
            archive.writestr(unix_entry(".".join(name.rsplit("_", 1)), 0o100644), source)
    return buffer.getvalue()


def _installed(key: str, install: Callable[[Path], None]) -> Path:
    """All or nothing: a run that is killed leaves no half-filled folder, and two at a time do not mix."""
    home = cache_folder() / f"packages-{hashlib.sha256(f'{sys.version_info[:2]} {key}'.encode()).hexdigest()[:16]}"
    if not home.is_dir():
        fresh = Path(tempfile.mkdtemp(prefix="packages-", dir=home.parent))
        try:
            install(fresh)
            if not home.is_dir():
                fresh.rename(home)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return home


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    assert done.returncode == 0, f"these tests need a package registry:\n{done.stdout}{done.stderr}"
