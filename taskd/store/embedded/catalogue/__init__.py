"""The catalogue: an SQLite projection of the journal, for listings; and where log lines are kept.

One thread writes it in batches, always together with the journal position reached; readers are separate,
read-only connections, so a heavy listing blocks nobody.
"""
