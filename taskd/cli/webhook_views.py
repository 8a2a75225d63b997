"""Webhooks and deliveries as people read them. Fetches nothing."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from taskd.cli import output
from taskd.cli.client import Json
from taskd.cli.output import safe
from taskd.cli.views import relative


def table(webhooks: list[Json], now_ms: int) -> Table:
    """A listing of webhooks."""
    listing = output.listing("ID", "URL~", "EVENTS~", "STATE", "UPDATED")
    for webhook in webhooks:
        listing.add_row(
            safe(webhook["id"]),
            safe(webhook["url"]),
            safe(" ".join(webhook["events"])),
            "enabled" if webhook["enabled"] else "disabled",
            relative(webhook["updateTimestamp"], now_ms),
        )
    return listing


def delivery_table(deliveries: list[Json], now_ms: int) -> Table:
    """A listing of deliveries."""
    listing = output.listing("ID", "EVENT~", "ABOUT", "STATUS", ">ATTEMPTS", "NEXT", "ERROR~")
    for delivery in deliveries:
        listing.add_row(
            safe(delivery["id"]),
            safe(delivery["event"]),
            safe(delivery["subjectId"]),
            safe(delivery["status"]),
            str(delivery["attempts"]),
            relative(delivery["nextTimestamp"], now_ms) if "nextTimestamp" in delivery else "",
            safe(delivery.get("error", "")),
        )
    return listing


def secret_lines(webhook: Json) -> Iterator[Text]:
    """Which webhook it is, and what its bodies are signed with."""
    yield Text.assemble("Webhook ", (safe(webhook["id"]), "bold"), f" calls {safe(webhook['url'])}.")
    newest, *before = webhook["secrets"]
    yield Text.assemble("Its bodies are signed with ", (safe(newest), "bold"), ", which is not shown again.")
    for secret in before:
        yield Text(f"For now also with {safe(secret)}.")


def delivery_line(delivery: Json) -> Text:
    """That something is to be delivered."""
    return Text.assemble("Delivery ", (safe(delivery["id"]), "bold"), f" of {safe(delivery['event'])} is under way.")
