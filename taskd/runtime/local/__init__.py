"""Functions as child processes of this machine, speaking the real Lambda Runtime API. For trusted code."""
