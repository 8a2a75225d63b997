"""From what is on the disk to a store that goes on: replay, lost history, inspection and repair."""
