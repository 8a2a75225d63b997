"""Which command line runs which runtime on this machine, and what each needs to find in the zip.

Knows nothing of processes, sandboxes or calls.
"""

import asyncio
import platform
import shutil
import sys
from collections.abc import Iterable
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Protocol

from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, ContractError
from taskd.model.function import Function
from taskd.runtime.local.confinement import visible

PROGRAMS_DIRECTORY = Path(__file__).parent
"""Holds the programs that run a function's handler."""


class Language(Protocol):
    """A family of runtimes that are all run in the same way."""

    prefix: str
    """What the names of its runtimes begin with."""
    has_channel: bool
    """Whether the program that runs them speaks on a channel; else it speaks the Runtime API."""

    def describe(self) -> str:
        """What really runs the family's functions."""

    def runs_instead(self, function: Function) -> str | None:
        """What runs ``function`` if it is not the version that it asks for."""

    def check_machine(self, function: Function) -> None:
        """Refuses a function that cannot run here.

        :raises ContractError: ``INVALID_CONFIGURATION``.
        """

    def check_code(self, function: Function, code: Path) -> None:
        """Refuses code that lacks what the function's entry point names.

        :raises ContractError: ``INVALID_CODE``, naming the file.
        """

    def command_line(self, function: Function, code: Path) -> list[str]:
        """The command that runs ``function``, which has been checked, from the directory ``code``."""

    def readable(self) -> Iterable[str]:
        """What that command needs to read, besides the code and the system's own files."""


class Python:
    """AWS's own ``awslambdaric`` on our channel and on taskd's own interpreter, whatever minor version is asked for.

    What is installed for that interpreter can be imported too; the function's own modules come first.
    """

    prefix = "python3."
    has_channel = True

    def describe(self) -> str:
        """The interpreter."""
        return f"{self.prefix}* on Python {platform.python_version()} ({sys.executable})"

    def runs_instead(self, function: Function) -> str | None:
        """Another minor version may lack modules, or read the code differently."""
        same = function.runtime == f"python{sys.version_info.major}.{sys.version_info.minor}"
        return None if same else f"Python {platform.python_version()}"

    def check_machine(self, function: Function) -> None:
        """There always is a Python; the entry point has to be one."""
        _handler_file(function)

    def check_code(self, function: Function, code: Path) -> None:
        """Looks for the handler's module or package."""
        module = "".join(_handler_file(function)).replace(".", "/")
        candidates = (f"{module}.py", f"{module}/__init__.py", f"{module}.pyc", f"{module}.so")
        if not any((code / file).is_file() for file in candidates) and not any(code.glob(f"{escape(module)}.*.so")):
            raise _missing(f"{module}.py", function, code)

    def command_line(self, function: Function, code: Path) -> list[str]:
        """``-P`` keeps taskd's own modules off the function's import path."""
        return [sys.executable, "-P", str(PROGRAMS_DIRECTORY / "bootstrap.py")]

    def readable(self) -> Iterable[str]:
        """The interpreter with what is installed for it."""
        return [str(PROGRAMS_DIRECTORY), *visible.python()]


class Node:
    """A small bootstrap of ours on the machine's ``node``, whatever major version is asked for."""

    prefix = "nodejs"
    has_channel = True
    _OUTSIDE_HEAP_MB = 64
    """What Node needs beside its heap; a heap that may fill the whole memory limit is killed, not collected."""
    _YOUNG_MAX_MB = 16
    """Half of what new objects may take. That is what it was up to Node 20; newer ones let it grow past the limit."""

    def __init__(self) -> None:
        self._node = shutil.which("node")
        self._version = "of some version"

    async def detect_version(self) -> None:
        """Asks ``node`` for its version, so that :meth:`describe` can name it."""
        if self._node is not None:
            process = await asyncio.create_subprocess_exec(self._node, "--version", stdout=asyncio.subprocess.PIPE)
            answer, _ = await process.communicate()
            self._version = answer.decode().strip()

    def describe(self) -> str:
        """The ``node`` found on the ``PATH``, and its version."""
        if self._node is None:
            return f"{self.prefix}* not at all (install Node.js so that `node` is on the PATH, then restart taskd)"
        return f"{self.prefix}* on Node {self._version} ({self._node})"

    def runs_instead(self, function: Function) -> str | None:
        """Another major version."""
        same = function.runtime == f"{self.prefix}{self._version.removeprefix('v').partition('.')[0]}.x"
        return None if same else f"Node {self._version}"

    def check_machine(self, function: Function) -> None:
        """Node may not be installed."""
        _handler_file(function)
        if self._node is None:
            raise _unrunnable(f"This machine runs {self.describe()}")

    def check_code(self, function: Function, code: Path) -> None:
        """Looks for the handler's module."""
        folder, name = _handler_file(function)
        module = f"{folder}{name.partition('.')[0]}"
        if not any((code / f"{module}{suffix}").is_file() for suffix in (".js", ".mjs", ".cjs")):
            raise _missing(f"{module}.js", function, code)

    def command_line(self, function: Function, code: Path) -> list[str]:
        """Node with a heap that fits the function's memory limit.

        Node 18 would call ``localhost`` at ``::1`` alone, where a daemon that listens on 127.0.0.1 is not: functions
        that call back what they were told to call find it by either address.
        """
        assert self._node is not None
        heap_mb = max(self._OUTSIDE_HEAP_MB, function.memory_limit_mb - self._OUTSIDE_HEAP_MB)
        young_mb = min(self._YOUNG_MAX_MB, function.memory_limit_mb // 20)
        sizes = (f"--max-old-space-size={heap_mb}", f"--max-semi-space-size={young_mb}")
        return [self._node, *sizes, "--dns-result-order=ipv4first", str(PROGRAMS_DIRECTORY / "bootstrap.mjs")]

    def readable(self) -> Iterable[str]:
        """``node``, wherever it is."""
        return [str(PROGRAMS_DIRECTORY), *(visible.program(self._node) if self._node else ())]


class Provided:
    """Whatever executable ``bootstrap`` the zip holds; it speaks the Runtime API itself."""

    prefix = "provided."
    has_channel = False

    def describe(self) -> str:
        """The zip's own program."""
        return f"{self.prefix}* by the bootstrap in the zip"

    def runs_instead(self, function: Function) -> str | None:
        """There is but the one."""
        return None

    def check_machine(self, function: Function) -> None:
        """Every machine will do."""

    def check_code(self, function: Function, code: Path) -> None:
        """Looks for the program and its executable bit."""
        bootstrap = code / "bootstrap"
        if not bootstrap.is_file():
            raise _missing("bootstrap", function, code)
        if not bootstrap.stat().st_mode & 0o100:
            message = "The zip's bootstrap is not executable: `chmod +x bootstrap`, then zip it again."
            raise ContractError(INVALID_CODE, message)

    def command_line(self, function: Function, code: Path) -> list[str]:
        """The program itself."""
        return [str(code / "bootstrap")]

    def readable(self) -> Iterable[str]:
        """It brings what it needs, or finds it among the system's files."""
        return ()


class Languages:
    """All that this machine runs."""

    def __init__(self) -> None:
        self._node = Node()
        self._all: tuple[Language, ...] = (Python(), self._node, Provided())

    async def detect_version(self) -> None:
        """Finds out what :meth:`describe` says."""
        await self._node.detect_version()

    def describe(self) -> str:
        """One line that says what really runs each family of runtimes."""
        return "; ".join(language.describe() for language in self._all)

    def all(self) -> Iterable[Language]:
        """Each family of runtimes."""
        return self._all

    def of(self, function: Function) -> Language:
        """The language of ``function``.

        :raises ContractError: ``INVALID_CONFIGURATION`` when there is none, saying what this machine runs.
        """
        for language in self._all:
            if function.runtime.startswith(language.prefix):
                return language
        raise _unrunnable(
            f"The local runtime does not run {function.runtime}. It runs {self.describe()}. "
            "For another language bring a bootstrap of its own as provided.al2023, or use the AWS runtime"
        )


def _handler_file(function: Function) -> tuple[str, str]:
    """The ``folder/`` and the ``name`` of the entry point ``folder/name.handler``."""
    file, _, handler = function.entry_point.rpartition(".")
    path = PurePosixPath(file)
    if not file or not handler or path.is_absolute() or ".." in path.parts:
        raise _unrunnable(
            f"The entry point {function.entry_point!r} is not of the form file.function, like index.handler"
        )
    folder, slash, name = file.rpartition("/")
    return folder + slash, name


def _missing(file: str, function: Function, code: Path) -> ContractError:
    top = sorted(entry.name + "/" * entry.is_dir() for entry in code.iterdir())
    found = ", ".join(top[:10]) + ", ..." * (len(top) > 10)
    hint = " Zip the folder's contents, not the folder." if len(top) == 1 and top[0].endswith("/") else ""
    return ContractError(
        INVALID_CODE,
        f"The zip has no {file}, which {function.runtime} with the entry point {function.entry_point!r} needs; "
        f"at its top it has {found}.{hint}",
    )


def _unrunnable(message: str) -> ContractError:
    return ContractError(INVALID_CONFIGURATION, f"{message}.")
