"""Functions as child processes, confined. Programs of others speak the real Lambda Runtime API; ours, a channel."""
