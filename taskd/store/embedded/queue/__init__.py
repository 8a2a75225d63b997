"""Waiting tasks in the order of work: what is due in heaps, the future in buckets by second."""
