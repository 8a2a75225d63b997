"""``taskd config check`` and ``taskd config show``."""

import tomllib
from pathlib import Path

import pytest

from taskd.cli import main
from taskd.cli.config import render_toml
from taskd.cli.exit_codes import ExitCode
from taskd.config import Config, Overrides, load_config


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "taskd.toml"


def test_a_good_configuration_is_ok(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file.write_text("[dispatch]\nmax_in_flight = 9\n")
    assert main(["config", "check", str(config_file)]) == ExitCode.OK
    assert capsys.readouterr().out == f"{config_file}: OK\n"


def test_a_bad_configuration_is_listed_whole(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file.write_text("nonsense = 1\n[dispatch]\nmax_in_flight = 'x'\n")
    assert main(["config", "check", str(config_file)]) == ExitCode.FAILED
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{config_file}: nonsense: there is no such setting")
    assert second == f"{config_file}: dispatch.max_in_flight: Expected `int`, got `str`"


def test_a_public_address_is_checked_as_it_will_be_served(config_file: Path) -> None:
    config_file.write_text('[server]\nlisten = "0.0.0.0:8080"\n[auth]\nmode = "disabled"\n')
    assert main(["config", "check", str(config_file)]) == ExitCode.FAILED
    assert main(["config", "check", str(config_file), "--insecure"]) == ExitCode.OK


def test_what_is_shown_can_be_read_back(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file.write_text('[dispatch]\nmax_in_flight = 9\n[store]\ndata = "/a \\"b\\" \\\\ é \\u007f"\n')
    assert main(["config", "show", "--config", str(config_file)]) == ExitCode.OK
    shown = config_file.with_name("shown.toml")
    shown.write_text(capsys.readouterr().out)
    assert load_config(shown) == load_config(config_file)


def test_the_defaults_are_shown_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show"]) == ExitCode.OK
    assert capsys.readouterr().out == render_toml(Config())


def test_settings_without_a_value_are_shown_as_such() -> None:
    text = render_toml(Config())
    assert "# region is not set\n" in text
    assert "region" not in tomllib.loads(text)["aws"]


def test_a_broken_configuration_cannot_be_shown(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file.write_text("[")
    assert main(["config", "show", "--config", str(config_file)]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"taskd: {config_file}: is not TOML:")


def test_overrides_are_shown_as_they_will_be() -> None:
    config = load_config(None, Overrides(listen="[::1]:1"))
    assert 'listen = "[::1]:1"' in render_toml(config)
