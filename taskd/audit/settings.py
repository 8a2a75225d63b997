"""What can be set about the audit trail."""

from typing import Annotated

from msgspec import Struct

from taskd.model import limits


class AuditSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[audit]`` table of the configuration."""

    keep_days: Annotated[int, limits.Range(1, 36_500)] = 400
    """Entries go with the month they are of, once all of it is older than this."""
    max_mib: Annotated[int, limits.Range(8, 1024 * 1024)] = 256
    """Past this the oldest entries go early, and the log says so."""
