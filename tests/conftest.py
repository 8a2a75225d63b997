"""What holds for every test."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Time is no measure of a strategy on a machine that has other things to do.
settings.register_profile("taskd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("taskd")

_NO_SLOW = "no_slow"
_USUAL_MARKS = "not boot"
"""What ``pyproject.toml`` asks for where nobody asks for anything else."""


def pytest_configure(config: pytest.Config) -> None:
    """Leaves out what is slow where nobody asked for it: by a path, ``-k`` or ``-m``."""
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker[_NO_SLOW] if worker is not None else _is_nothing_named(config):
        config.option.markexpr = f"{_USUAL_MARKS} and not slow"


def _is_nothing_named(config: pytest.Config) -> bool:
    is_all = config.args == config.getini("testpaths") and not config.option.keyword
    return is_all and config.option.markexpr == _USUAL_MARKS


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of ``-n`` what is left out: it does not see what was named."""
    node.workerinput[_NO_SLOW] = node.config.option.markexpr.endswith("not slow")


@pytest.fixture(scope="session", autouse=True)
def settings_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Daemons leave tokens for commands here, and not where those of whoever runs the tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        yield
