"""``taskd config``: checks a configuration before it is put to use, and shows what is in force."""

from pathlib import Path

import click

from taskd.cli.exit_codes import ExitCode, help_lines
from taskd.config import Config, ConfigError, Overrides, load_config, settings
from taskd.system.toml import toml_literal

_SYSTEM_FILE = Path("/etc/taskd/taskd.toml")

insecure_option = click.option("--insecure", is_flag=True, help="As for `taskd serve`.")


@click.group(epilog=help_lines())
def config() -> None:
    """Check a configuration, or show the one in force."""


@config.command()
@click.argument("path", metavar="[FILE]", type=click.Path(path_type=Path), default=_SYSTEM_FILE)
@insecure_option
def check(*, path: Path, insecure: bool) -> ExitCode:
    """Say whether FILE can be used, or what is to be put right in it.

    Without FILE, /etc/taskd/taskd.toml is checked. The exit code is 0 if it can be used, else 1.
    """
    try:
        load_config(path, Overrides(insecure=insecure))
    except ConfigError as error:
        for line in str(error).splitlines():
            click.echo(line)
        return ExitCode.FAILED
    click.echo(f"{path}: OK")
    return ExitCode.OK


@config.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="A TOML file; without it, the defaults.")
@insecure_option
def show(*, path: Path | None, insecure: bool) -> None:
    """Print the configuration in force as TOML: the file's values, and the default of every other setting."""
    click.echo(render_toml(load_config(path, Overrides(insecure=insecure))), nl=False)


def render_toml(config: Config) -> str:
    """``config`` as TOML, every setting in it; those without a value as comments."""
    lines: list[str] = []
    table = ""
    for key, value in settings(config):
        *path, name = key.split(".")
        if path and path[0] != table:
            table = path[0]
            lines += ["", f"[{table}]"]
        lines.append(f"# {name} is not set" if value is None else f"{name} = {toml_literal(value)}")
    return "\n".join(lines) + "\n"
