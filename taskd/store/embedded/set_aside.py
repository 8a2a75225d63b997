"""Damaged files that were put aside in the data directory, for people to look at."""

import logging
import shutil
from pathlib import Path

from taskd.system.files import sync_directory

log = logging.getLogger(__name__)


def remove_set_aside(data: Path) -> None:
    """Deletes catalogues and journals that were put aside as damaged: nobody knows what is in them.

    :raises OSError: not all of them could be deleted.
    """
    paths = [*data.glob("catalogue.db.broken-*"), *data.glob("journal.damaged-*")]
    for path in paths:
        log.warning("Deleting %s for good, which was put aside as damaged: it may hold what was erased.", path)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if paths:
        sync_directory(data)
