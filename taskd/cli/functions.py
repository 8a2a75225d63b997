"""``taskd functions``: deploy a folder as a function, and look at those there are."""

from pathlib import Path
from typing import Any

import click

from taskd.cli import output, views
from taskd.cli.client import ApiClient, ApiError, segment
from taskd.cli.exit_codes import CommandError, help_lines
from taskd.cli.options import client_options, json_option
from taskd.cli.packaging import Package, package
from taskd.model.errors import ENDPOINT, RESOURCE_UNKNOWN
from taskd.model.function import PermissionMode

_FORMER_ENDPOINT_CODE = 11
"""What services answered instead of ``ENDPOINT`` before 11 turned out to mean something else to clients."""


@click.group(epilog=help_lines())
def functions() -> None:
    """Deploy functions, and look at those there are."""


@functions.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
@client_options
def deploy(client: ApiClient, *, folder: Path, as_json: bool) -> None:
    """Deploy FOLDER: its function.json says what it is, all its other files are the code.

    A function that is there already gets the new code and the settings that function.json names; its other
    settings stay.
    """
    with output.stderr().status("") as spinner:
        spinner.update(f"packing {folder}")
        packed = package(folder)
        size = _size(packed)
        spinner.update(f"deploying {packed.descriptor.name} ({size})")
        verb = deploy_package(client, packed)
    if as_json:
        output.print_json(client.get(f"/functions/{segment(packed.descriptor.name)}"))
    else:
        click.echo(f"{verb} {packed.descriptor.name}: {size}.")


def _size(packed: Package) -> str:
    return f"{output.counted(packed.file_count, 'file')}, {len(packed.code) / 1024:,.1f} KiB"


def deploy_package(client: ApiClient, packed: Package) -> str:
    """Creates the function or updates the one there is; returns ``Created`` or ``Updated``."""
    body = packed.body()
    if not _exists(client, packed.descriptor.name):
        client.post("/functions", body)
        return "Created"
    del body["name"]
    _update(client, packed.descriptor.name, body)
    return "Updated"


def _update(client: ApiClient, name: str, body: dict[str, Any]) -> None:
    try:
        client.put(f"/functions/{segment(name)}", body)
    except ApiError as error:
        if error.code not in (ENDPOINT.code, _FORMER_ENDPOINT_CODE):
            raise
        hint = f"`taskd functions delete {name}` first; tasks that come due meanwhile fail"
        raise CommandError(f"{name} is there, and this server cannot change a function. {hint}.") from error


def _exists(client: ApiClient, name: str) -> bool:
    try:
        client.get(f"/functions/{segment(name)}")
    except ApiError as error:
        if error.code == RESOURCE_UNKNOWN.code:
            return False
        raise
    return True


@functions.command(epilog=help_lines())
@click.argument("name")
@click.option("--time-limit", type=int, help="Seconds, for where AWS does not tell.")
@click.option("--permission-mode", type=click.Choice([mode.value for mode in PermissionMode]), help="Who may call it.")
@click.option("--priority", type=int, help="Of its tasks, where they have none of their own.")
@json_option
@client_options
def adopt(
    client: ApiClient,
    *,
    name: str,
    time_limit: int | None,
    permission_mode: str | None,
    priority: int | None,
    as_json: bool,
) -> None:
    """Make NAME known, a function that others deployed at AWS.

    Nothing is ever changed there; its time limit and memory are read. Then it can be paused, called directly, limited
    and the like. `taskd functions delete` only forgets it.
    """
    options = {"permissionMode": permission_mode, "defaultPriority": priority}
    body = {"name": name, "external": True, "timeLimit": time_limit, "executionOptions": options}
    function = client.post("/functions", body)
    if as_json:
        output.print_json(function)
    else:
        limits = f"{function['timeLimit']} s, {function['memoryLimit']} MB"
        click.echo(f"Adopted {name}: {limits}{'' if function['entryPoint'] else ', as AWS did not tell'}.")


@functions.command("list")
@json_option
@client_options
def list_(client: ApiClient, *, as_json: bool) -> None:
    """List all functions."""
    rows = client.get("/functions")["data"]
    empty = "No functions. `taskd functions deploy FOLDER` makes one."
    output.print_listing(rows, views.function_table, empty, as_json=as_json)


@functions.command()
@click.argument("name")
@json_option
@client_options
def show(client: ApiClient, *, name: str, as_json: bool) -> None:
    """Show everything about a function but its code."""
    output.print_record(client.get(f"/functions/{segment(name)}"), views.details, as_json=as_json)


@functions.command(epilog=help_lines())
@click.argument("name")
@click.option("--reason", help="Kept with the function, for people.")
@client_options
def pause(client: ApiClient, *, name: str, reason: str | None) -> None:
    """Have tasks of a function wait until it is resumed; those that run go on."""
    client.post(f"/functions/{segment(name)}/pause", {"reason": reason})
    click.echo(f"Paused {name}.")


@functions.command(epilog=help_lines())
@click.argument("name")
@client_options
def resume(client: ApiClient, *, name: str) -> None:
    """Have tasks of a paused function run again."""
    client.post(f"/functions/{segment(name)}/resume")
    click.echo(f"Resumed {name}.")


@functions.command()
@click.argument("name")
@client_options
def delete(client: ApiClient, *, name: str) -> None:
    """Delete a function; its tasks and logs stay."""
    client.delete(f"/functions/{segment(name)}")
    click.echo(f"Deleted {name}.")
