"""Functions as child processes of this machine, confined, speaking the real Lambda Runtime API."""
