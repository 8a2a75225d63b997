"""The services that most tests over HTTP talk to; a test file that needs another one defines its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.http.service import Service, http_service
from support.http.synchronous_calls import from_test_header


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service that takes everybody for an administrator."""
    async with http_service(tmp_path) as running:
        yield running


@pytest.fixture
async def header_auth_service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service that asks who is calling."""
    async with http_service(tmp_path, authenticate=from_test_header) as running:
        yield running
