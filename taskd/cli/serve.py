"""``taskd serve``: runs the daemon in the foreground."""

from pathlib import Path
from typing import get_args

import click

from taskd.cli.exit_codes import CommandError, ExitCode, help_lines
from taskd.config import ListenAddress, Overrides, RuntimeName, load_config
from taskd.daemon import run
from taskd.system import systemd


@click.command(epilog=help_lines())
@click.option("--config", "path", type=click.Path(path_type=Path), help="A TOML file; see `taskd config show`.")
@click.option("--data", help="The data directory; made if it is not there.  [default: ./taskd-data]")
@click.option("--listen", metavar="HOST:PORT", help="Port 0 takes a free one.  [default: 127.0.0.1:8080]")
@click.option("--runtime", type=click.Choice(get_args(RuntimeName)), help="Where functions run.  [default: local]")
@click.option("--insecure", is_flag=True, help="Ask nobody who they are, also beyond this machine.")
def serve(
    *, path: Path | None, data: str | None, listen: str | None, runtime: RuntimeName | None, insecure: bool
) -> int:
    """Run the daemon.

    When it can be called it prints `taskd listening on http://HOST:PORT`. SIGTERM stops it once the running
    functions have ended; a second one at once. SIGHUP reads credentials anew. A socket that systemd listens on for
    it takes the place of the address that is set.
    """
    try:
        listener = systemd.listening_socket()
    except systemd.ActivationError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    if listener is not None:
        listen = ListenAddress(*listener.getsockname()[:2]).text
    config = load_config(path, Overrides(data=data, listen=listen, runtime=runtime, insecure=insecure))
    return run(config, listener=listener)
