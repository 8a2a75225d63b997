"""Other Python task queues doing the same work: each file is what a user of that library would write."""
