"""The journal: an append-only record of what happened, from which everything can be rebuilt.

Knows frames, segments and disks; knows events only as opaque payloads (``store/embedded/events.py`` gives them
meaning).
"""
