"""``python -m benchmarks``: every benchmark as a subcommand, and ``all`` of them in a row."""

import importlib
import sys
from typing import Any

import click

from benchmarks.harness.harness import Harness, benchmark_options

_BENCHMARKS = (
    "dispatch",
    "limits",
    "local",
    "create",
    "events",
    "bulk",
    "lateness",
    "recovery",
    "memory",
    "listing",
    "mixed",
    "compaction",
    "growth",
)
_APART = ("auth-cost",)
"""Those that are not part of ``all``."""


class _Benchmarks(click.Group):
    """Imports a benchmark when it is asked for: each is a module with a click ``command``.

    Its ``QUICK`` are the sizes that only show that it works.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All that there are, then what runs several or goes its own way."""
        return [*_BENCHMARKS, *_APART, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The benchmark of this name."""
        if cmd_name not in (*_BENCHMARKS, *_APART):
            return super().get_command(ctx, cmd_name)
        command: click.Command = _module(cmd_name).command
        return command


@click.command(cls=_Benchmarks)
def main() -> None:
    """Measures taskd on this machine, each time beside a yardstick in the same run. Nothing is asserted."""


@main.command("all")
@click.option("--quick", is_flag=True, help="Tiny sizes, once: shows that all benchmarks work, and no more.")
@benchmark_options
def run_all(harness: Harness, *, quick: bool) -> None:
    """All benchmarks, one after the other."""
    ctx = click.get_current_context()
    shared = {"runs": 1 if quick else harness.runs, "folder": harness.folder, "results": harness.results}
    for name in _BENCHMARKS:
        module = _module(name)
        ctx.invoke(module.command, **shared, **(module.QUICK if quick else {}))


@main.command("soak", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run_soak(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """A daemon under load for as long as wanted, with or without faults."""
    sys.argv[1:] = arguments
    ctx.exit(_module("soak").main())


def _module(name: str) -> Any:
    return importlib.import_module(f"benchmarks.{name.replace('-', '_')}")


if __name__ == "__main__":
    main()
