"""The HTTP API: aiohttp handlers, one file a resource. Thin: they decode, ask the packages below, encode."""
