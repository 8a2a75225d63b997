"""The face: aiohttp handlers, one file a resource. Thin: they decode, ask the rooms below, encode."""
