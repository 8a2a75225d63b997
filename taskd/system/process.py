"""Ending this process when it must not go on."""

import logging
import os
import sys

log = logging.getLogger(__name__)

EXIT_INTERNAL_FAULT = 70
"""``EX_SOFTWARE``: a part that the daemon cannot be without has failed; a restart recovers."""
EXIT_STORE_FAILED = 74
"""``EX_IOERR``: the store can go on no longer; a restart recovers what the disk holds."""


def end_process(error: BaseException, status: int = EXIT_INTERNAL_FAULT) -> None:
    """Ends at once: going on half-way would lose tasks without a word, and a restart recovers."""
    log.critical("taskd ends because a part of it failed; a restart recovers. Reason: %r", error)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


def end_after_store_failure(error: BaseException) -> None:
    """As :func:`end_process`, with the status that says that it was the store."""
    end_process(error, EXIT_STORE_FAILED)
