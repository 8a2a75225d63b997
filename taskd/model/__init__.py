"""Pure data and rules: what a task, a function and a schedule are, and what may become of them.

Nothing in this room does I/O, knows of HTTP, of files or of an event loop.
"""
