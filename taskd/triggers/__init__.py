"""Whatever makes tasks by itself: the scheduler."""
