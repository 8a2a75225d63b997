"""What several tests of units begin with."""

from pathlib import Path

import pytest


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """An empty directory for a journal."""
    directory = tmp_path / "journal"
    directory.mkdir()
    return directory
