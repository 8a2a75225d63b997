"""Our histogram counts as the library's own does."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from taskd.telemetry.lateness import BOUNDS_MS, LatenessHistogram


@given(st.lists(st.integers(0, 400_000) | st.sampled_from([int(bound_ms) for bound_ms in BOUNDS_MS]), max_size=50))
def test_the_histogram_reads_like_the_librarys_own(observed_ms: list[int]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = LatenessHistogram()
    ours.register(histogram)
    reference = Histogram(
        "taskd_task_lateness_seconds",
        "From when a task was due to when it was handed to the runtime.",
        buckets=[bound_ms / 1000 for bound_ms in BOUNDS_MS],
        registry=theirs,
    )
    for late_ms in observed_ms:
        histogram.observe(late_ms)
        reference.observe(late_ms / 1000)
    assert counts(ours) == counts(theirs)


def counts(registry: CollectorRegistry) -> list[str]:
    """The exposition, but for when the metric was made and for the rounding of the sum."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line and "_sum" not in line]
