"""The Node project in ``tests/sdk``: its packages, installed once per machine, and its tests, run against a daemon."""

import asyncio
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct
from support.functions.zips import node_zip

PROJECT = Path(__file__).parents[2] / "sdk"
NODE_RUNTIME = "nodejs20.x"
INSTALL_TIMEOUT_S = 120
RUN_TIMEOUT_S = 60
_MANIFESTS = ("package.json", "package-lock.json")


class NodeProject(Struct):
    """A project whose packages are installed; they lie outside of the repository, in ``modules``."""

    modules: Path

    async def run(
        self, test: str, daemon_url: str, scratch: Path, *, token: str | None = None, within: tuple[str, ...] = ()
    ) -> None:
        """Runs ``<test>.test.js`` against a daemon; a failure is told in the words of Node's own report.

        ``token`` is shown where the tests bring no accounts of their own. ``within`` is a command that runs another one
        where the daemon can be reached.
        """
        __tracebackhide__ = True
        target = scratch / f"{test}.json"
        target.write_text(json.dumps(_environment(daemon_url, token)))
        status, report = await _output(
            *(*within, "node", "--test", "--test-reporter=spec", f"{test}.test.js"),
            cwd=PROJECT,
            env={
                **os.environ,
                "NODE_PATH": str(self.modules),
                # Before Node 20 only the first address of localhost is tried, and that is ::1 on a stock Debian.
                "NODE_OPTIONS": "--dns-result-order=ipv4first",
                "TASKD_TEST_ENVIRONMENT": str(target),
            },
        )
        assert status == 0, _failures(report)

    async def browser_bundle(self) -> str:
        """The SDK for browsers in one script, which makes it known as ``sdk``."""
        entry = self.modules / "@extrahorizon" / "javascript-sdk" / "build" / "index.mjs"
        options = ("--bundle", "--platform=browser", "--format=iife", "--global-name=sdk", "--log-level=error")
        command = (str(self.modules / ".bin" / "esbuild"), str(entry), *options)
        status, script = await _output(*command, cwd=PROJECT, env=dict(os.environ))
        assert status == 0, script
        return script


def installed_project() -> NodeProject:
    """The project; its packages come from npm unless they were installed before from the same manifests."""
    digest = hashlib.sha256(b"".join((PROJECT / name).read_bytes() for name in _MANIFESTS)).hexdigest()[:16]
    home = cache_folder() / f"sdk-{digest}"
    if not home.is_dir():
        _install(home)
    return NodeProject(home / "node_modules")


def cache_folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taskd-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _install(home: Path) -> None:
    """All or nothing: a run that is killed leaves no half-filled ``home``, and two at a time do not mix."""
    fresh = Path(tempfile.mkdtemp(prefix="install-", dir=home.parent))
    try:
        for name in _MANIFESTS:
            shutil.copy(PROJECT / name, fresh)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        npm = subprocess.run(command, check=False, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, cwd=fresh)
        assert npm.returncode == 0, f"the SDK's tests need npm and its registry:\n{npm.stdout}{npm.stderr}"
        fresh.rename(home)
    except OSError:
        if not home.is_dir():  # else another run was first
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


async def _output(*command: str, cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode(errors="replace")


def _environment(daemon_url: str, token: str | None) -> dict[str, object]:
    """What the tests read: where the daemon is, under the one name that the SDK leaves alone, and functions' code."""
    sources = (PROJECT / "functions").glob("*.js")
    zips = {path.stem: base64.b64encode(node_zip(path.read_text())).decode() for path in sources}
    host = daemon_url.replace("127.0.0.1", "localhost")
    return {"host": host, "token": token, "zips": zips, "runtime": NODE_RUNTIME}


def _failures(report: str) -> str:
    """The part of Node's report that tells of failures; all of it, where there is no such part."""
    _, heading, failures = report.partition("✖ failing tests:")
    return heading + failures if heading else report
