"""Measures that people can run: ``python benchmarks/<name>.py``. They print figures; they assert nothing."""
