"""How much is in flight: a limit that gives way to throttling, and pauses of single functions.

Both go by a clock that is never set, ``steady_ms``: the wall clock would end a pause early, or make it last for hours.
Both are a node's own: each learns from the answers to its own calls, and a service that pushes back tells all nodes.
"""

import random
from collections.abc import Collection

from msgspec import Struct

_DECREASE = 0.5
_DECREASE_INTERVAL_MS = 1_000
"""One burst of refusals is one sign of overload, however many calls it hits."""
_PAUSE_MIN_MS = 100
_PAUSE_MAX_MS = 10_000
_PAUSES_MAX = 1_000
"""Pauses that are remembered after their end, so that the next one of the same function is longer."""
EVERY_FUNCTION = ""
"""The name to pause all functions by: none has it."""


class InFlightLimit:
    """Additive increase, multiplicative decrease: halves when the service pushes back, regains a call per round.

    A round is as many successes as the limit allows calls, so a limit of 100 takes 100 successes to become 101.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._allowed = float(maximum)
        self._decreased_ms = -_DECREASE_INTERVAL_MS

    @property
    def allowed(self) -> int:
        """How many calls may be in flight now; never less than one."""
        return int(self._allowed)

    def succeeded(self) -> None:
        """A call got through."""
        if self._allowed < self._maximum:
            self._allowed = min(self._maximum, self._allowed + 1 / self._allowed)

    def refused(self, steady_ms: int) -> None:
        """A call was refused because there are too many."""
        if steady_ms - self._decreased_ms >= _DECREASE_INTERVAL_MS:
            self._allowed = max(1.0, self._allowed * _DECREASE)
            self._decreased_ms = steady_ms


class _Pause(Struct):
    until_ms: int = 0
    length_ms: int = _PAUSE_MIN_MS // 2
    not_ready_since_ms: int | None = None


class FunctionPauses:
    """Functions that were refused wait a while before the next attempt, longer each time, with jitter.

    The jitter spreads tasks that were refused over the time after the pause, so that they do not come back as one wave.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._pauses: dict[str, _Pause] = {}

    def wait_ms(self, function_name: str, steady_ms: int) -> int | None:
        """In how long a task of the function may be tried, if not now."""
        pause = self._pauses.get(function_name)
        if pause is None or pause.until_ms <= steady_ms:
            return None
        return self._jittered(pause, steady_ms)

    def paused(self, steady_ms: int) -> Collection[str]:
        """The functions whose tasks are better not claimed now."""
        if not self._pauses:  # nearly always
            return ()
        return {name for name, pause in self._pauses.items() if pause.until_ms > steady_ms}

    def first_end_in_ms(self, steady_ms: int) -> int | None:
        """In how long the first pause ends; ``None`` if there is none."""
        ends = (pause.until_ms - steady_ms for pause in self._pauses.values() if pause.until_ms > steady_ms)
        return min(ends, default=None)

    def refused(self, function_name: str, steady_ms: int, retry_after_s: float | None) -> int:
        """Begins or prolongs the pause; gives in how long the refused task may be tried again."""
        if len(self._pauses) >= _PAUSES_MAX:  # functions come and go, and one that is gone never succeeds
            self._pauses = {name: pause for name, pause in self._pauses.items() if pause.until_ms > steady_ms}
        pause = self._pauses.setdefault(function_name, _Pause())
        if pause.until_ms <= steady_ms:  # the first refusal since the last pause; more of one burst change nothing
            pause.length_ms = min(pause.length_ms * 2, _PAUSE_MAX_MS)
            pause.until_ms = steady_ms + max(pause.length_ms, int((retry_after_s or 0) * 1000))
        return self._jittered(pause, steady_ms)

    def not_ready_for_ms(self, function_name: str, steady_ms: int) -> int:
        """How long no call of the function has got through since it was first said not to be ready; else from now."""
        pause = self._pauses.setdefault(function_name, _Pause())
        if pause.not_ready_since_ms is None:
            pause.not_ready_since_ms = steady_ms
        return steady_ms - pause.not_ready_since_ms

    def succeeded(self, function_name: str) -> None:
        """A call got through: the next pause begins small again."""
        if self._pauses:  # nearly always empty
            self._pauses.pop(function_name, None)
            self._pauses.pop(EVERY_FUNCTION, None)

    def _jittered(self, pause: _Pause, steady_ms: int) -> int:
        return pause.until_ms - steady_ms + self._rng.randrange(pause.length_ms)
