"""``taskd demo``: the first thing a newcomer runs. Starts a daemon, gives it work, and shows what becomes of it."""

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from taskd.auth.header_files import HEADER_FILE, read_token
from taskd.cli import demo_view, output, polling
from taskd.cli.client import ApiClient, Json
from taskd.cli.demo_daemon import DemoDaemon, running_daemon
from taskd.cli.demo_tasks import EXAMPLES, NODE, PYTHON, Run, create_tasks, read_tasks
from taskd.cli.exit_codes import ExitCode, help_lines
from taskd.cli.functions import deploy_package
from taskd.cli.moments import format_duration
from taskd.cli.packaging import package
from taskd.cli.polling import is_final
from taskd.config import Overrides, load_config
from taskd.model.clock import system_clock_ms
from taskd.model.status import Status

_CONFIG = "[dispatch]\nmax_in_flight = 1\n"
"""One task at a time, so that the order in which they run can be seen."""
_LEAD_MS = 1_500
"""How far ahead all tasks are due: time enough to create them all before."""
_REFRESH_S = 0.05
_NODE_HINT = f"{NODE} is skipped, as there is no node here. Install Node.js (https://nodejs.org) to see it too."


@click.command(epilog=help_lines())
@click.option("--exit", "exit_after", is_flag=True, help="Stop when the tasks are done, instead of serving on.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="A data directory to keep.  [default: a new one, removed at the end]",
)
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:0", help="[default: a free port of this machine]")
@click.option("--insecure", is_flag=True, help="As for `taskd serve`.")
def demo(*, exit_after: bool, data: Path | None, listen: str, insecure: bool) -> ExitCode:
    """See it work: functions, priorities, logs, and what to try next.

    The exit code is 1 if a task failed.
    """
    _require_trusted(listen, insecure=insecure)
    console = output.stdout()
    console.print(demo_view.header())
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="taskd-demo-") as scratch:
        folder = Path(scratch)
        directory = data or folder / "data"
        arguments = _serve_arguments(folder, directory, listen, insecure=insecure)
        began_ms = system_clock_ms()
        with console.status("starting the daemon") as spinner, running_daemon(arguments, folder / "log") as daemon:
            spinner.stop()
            took = format_duration(system_clock_ms() - began_ms)
            console.print(demo_view.step(f"the daemon listens on {daemon.url}", f"after {took}"))
            return _show(console, daemon, directory / HEADER_FILE, exit_after=exit_after)


def _require_trusted(listen: str, *, insecure: bool) -> None:
    """Raises ``BadParameter`` where other machines could call: then the daemon makes no account by itself."""
    if not insecure and not load_config(None, Overrides(listen=listen)).listen.is_loopback:
        message = (
            f"{listen} can be reached by other machines, and for those the demo has no accounts. "
            "Pass --insecure if the network itself is trusted: then nobody is asked who they are"
        )
        raise click.BadParameter(message, param_hint="--listen")


def _serve_arguments(folder: Path, data: Path, listen: str, *, insecure: bool) -> list[str]:
    config = folder / "demo.toml"
    config.write_text(_CONFIG)
    flags = ["--insecure"] if insecure else []
    return ["--config", str(config), "--data", str(data), "--listen", listen, "--runtime", "local", *flags]


def _show(console: Console, daemon: DemoDaemon, header: Path, *, exit_after: bool) -> ExitCode:
    client = ApiClient(daemon.url, read_token(header))
    run = _create_work(console, client)
    tasks = _watch(console, client, run)
    _print_logs(console, client, tasks, run)
    console.print()
    console.print(demo_view.summary(tasks))
    if not exit_after:
        _keep_serving(console, daemon, header, tasks)
    complete = all(task["status"] == Status.COMPLETE for task in tasks)
    return ExitCode.OK if complete else ExitCode.FAILED


def _create_work(console: Console, client: ApiClient) -> Run:
    functions = {PYTHON, NODE} if shutil.which("node") else {PYTHON}
    for name in sorted(functions):
        with console.status(f"deploying {name}"):
            packed = package(EXAMPLES / name)
            deploy_package(client, packed)
        console.print(demo_view.step(f"{name} is deployed", packed.descriptor.runtime))
    if NODE not in functions:
        console.print(demo_view.skipped(_NODE_HINT))
    run = create_tasks(client, functions, system_clock_ms() + _LEAD_MS)
    how = "to run one at a time, so that the order shows"
    console.print(demo_view.step(f"{len(run.plans)} tasks are created", how))
    return run


def _watch(console: Console, client: ApiClient, run: Run) -> list[Json]:
    watch = _watch_live if console.is_terminal else _watch_lines
    return watch(console, client, run)


def _watch_live(console: Console, client: ApiClient, run: Run) -> list[Json]:
    with Live(console=console, auto_refresh=False) as live:
        for tasks in _states(client, run):
            live.update(demo_view.progress(tasks, run, system_clock_ms()), refresh=True)
    return tasks


def _watch_lines(console: Console, client: ApiClient, run: Run) -> list[Json]:
    shown = 0
    for tasks in _states(client, run):
        ended = [task for task in tasks if is_final(task)]
        for number, task in enumerate(ended[shown:], start=shown + 1):
            console.print(demo_view.result_line(number, task, run))
        shown = len(ended)
    return tasks


def _states(client: ApiClient, run: Run) -> Iterator[list[Json]]:
    """The tasks, again and again until all are final."""
    while True:
        tasks = read_tasks(client, run)
        yield tasks
        if all(map(is_final, tasks)):
            return
        time.sleep(_REFRESH_S)


def _print_logs(console: Console, client: ApiClient, tasks: list[Json], run: Run) -> None:
    console.print("\nWhat they printed, in the order in which they ran", style=f"bold {demo_view.ACCENT}")
    for number, task in enumerate(tasks, start=1):
        console.print()
        console.print(demo_view.logs(number, task, list(polling.log_lines(client, task["id"])), run))


def _keep_serving(console: Console, daemon: DemoDaemon, header: Path, tasks: list[Json]) -> None:
    demo_view.print_next_steps(console, daemon.url, header if header.exists() else None, tasks[0]["id"])
    with suppress(KeyboardInterrupt):
        console.print(f"\nServing on {daemon.url} until Ctrl-C.", style="bold")
        daemon.wait()
    console.print("\nStopping.", style="dim")


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM, and a terminal that goes away, end the demo in order as Ctrl-C does."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
