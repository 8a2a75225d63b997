"""What holds for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Time is no measure of a strategy on a machine that has other things to do.
settings.register_profile("taskd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("taskd")


@pytest.fixture(scope="session", autouse=True)
def settings_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Daemons leave tokens for commands here, and not where those of whoever runs the tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        yield
