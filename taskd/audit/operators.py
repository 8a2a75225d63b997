"""Entries of commands on the daemon's own machine, whose callers the operating system knows."""

import os
import pwd

from taskd.audit.entry import Action, Entry, plain


def by_operator(action: Action, subject_type: str, subject_id: str = "", **detail: str) -> Entry:
    """What the user of the operating system does; with ``sudo``, the one who called it."""
    texts = {name: plain(text) for name, text in detail.items() if text}
    return Entry(
        "",
        action=action.value,
        operator=plain(_user_name()),
        subject_type=subject_type,
        subject_id=plain(subject_id),
        detail=texts,
    )


def _user_name() -> str:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name
        name = str(os.getuid())
    called_by = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo of {called_by})" if called_by and os.geteuid() == 0 else name
