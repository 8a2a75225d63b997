"""A clock that moves only when a test says so."""


class FakeClock:
    """Milliseconds since the epoch, beginning at a fixed moment."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, ms: int) -> None:
        self.now_ms += ms
