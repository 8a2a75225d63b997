"""Debian's Chromium, headless, on one page."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
TIMEOUT_S = 60
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")


@asynccontextmanager
async def browser_on(url: str, profile: Path, name: str) -> AsyncIterator[None]:
    """A browser that shows ``url``, and for which ``name`` leads to this machine."""
    browser = await asyncio.create_subprocess_exec(
        *(CHROMIUM or "", "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"),
        *(f"--host-resolver-rules=MAP {name} 127.0.0.1", url),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        await browser.wait()
