"""The unit and the example configuration that are shipped: they must work as they stand."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from taskd.auth.settings import AuthSettings
from taskd.config import Config, load_config, parse_listen, settings
from taskd.store.embedded.settings import StoreSettings

DATA = "/var/lib/taskd"
SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "taskd.service"
SOCKET = SYSTEMD / "taskd.socket"
EXAMPLE = SYSTEMD / "taskd.toml"
INSTALLED = "/opt/taskd/bin/taskd"
EXPOSURE_MAX = 2.0

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed (Debian: apt install systemd)",
)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def directives(name: str, unit: Path = UNIT) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def uncommented(text: str) -> str:
    return re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)


def hashable(config: Config) -> list[tuple[str, object]]:
    return [(key, None if value is None else str(value)) for key, value in settings(config)]


@needs_systemd_analyze
@pytest.mark.parametrize("shipped", [UNIT, SOCKET], ids=lambda path: path.name)
def test_the_units_pass_systemd_verification(tmp_path: Path, shipped: Path) -> None:
    """The program is looked for where it would be installed, so copies of the units name one that is here."""
    for unit in (UNIT, SOCKET):
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, sys.executable))
    result = analyze("verify", tmp_path / shipped.name)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@needs_systemd_analyze
def test_the_unit_is_hardened() -> None:
    result = analyze("security", "--offline=true", UNIT)
    exposure = re.search(r"exposure level for taskd.service: ([0-9.]+)", result.stdout)
    assert exposure, result.stdout + result.stderr
    assert float(exposure[1]) <= EXPOSURE_MAX


def test_the_unit_starts_the_installed_program() -> None:
    (command,) = directives("ExecStart")
    assert command.split()[:2] == [INSTALLED, "serve"]


def test_the_unit_waits_longer_than_the_grace_for_running_functions() -> None:
    (timeout_stop_s,) = directives("TimeoutStopSec")
    assert float(timeout_stop_s) > Config().dispatch.grace_s


def test_the_unit_reloads_what_it_started() -> None:
    (start,), (reload,) = directives("ExecStart"), directives("ExecReload")
    assert reload == start.replace(" serve ", " reload ")


@pytest.mark.parametrize("name", ["MemoryMax", "TasksMax", "LimitNOFILE", "LimitCORE", "WatchdogSec", "StateDirectory"])
def test_the_unit_bounds_what_the_daemon_may_take(name: str) -> None:
    (value,) = directives(name)
    assert value not in ("", "infinity")


def test_the_socket_is_where_the_daemon_would_listen_itself() -> None:
    (address,) = directives("ListenStream", SOCKET)
    assert parse_listen(address) == Config().listen


def test_the_unit_does_not_forbid_what_node_needs() -> None:
    assert not directives("MemoryDenyWriteExecute")


@pytest.mark.parametrize(
    "call", ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp", "mount_setattr"]
)
def test_the_unit_allows_what_functions_are_confined_by(call: str) -> None:
    assert call in " ".join(directives("SystemCallFilter")).split()


def test_the_example_configuration_asks_who_calls_names_the_data_directory_and_changes_nothing_else() -> None:
    assert load_config(EXAMPLE) == Config(auth=AuthSettings(mode="required"), store=StoreSettings(data=DATA))


def test_the_example_configuration_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "taskd.toml"
    path.write_text(uncommented(EXAMPLE.read_text()))
    shown = load_config(path)
    assert all(value is not None for _, value in settings(shown))
    unset = {key for key, value in settings(Config()) if value is None}
    expected = Config(store=StoreSettings(data=DATA))
    assert {(key, None if key in unset else value) for key, value in hashable(shown)} == set(hashable(expected))


@pytest.mark.parametrize("key", [key for key, _ in settings(Config())])
def test_every_setting_is_in_the_example_configuration(key: str) -> None:
    document = tomllib.loads(uncommented(EXAMPLE.read_text()))
    *table, name = key.split(".")
    assert name in (document[table[0]] if table else document)
