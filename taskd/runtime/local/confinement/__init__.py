"""What keeps a sandbox to itself: the means of the Linux kernel, put together before a function's program runs.

Knows nothing of functions and calls. Imports nothing but the standard library, because it runs in the launcher.
"""
