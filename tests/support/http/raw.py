"""HTTP as no client library would send it."""

import asyncio
from urllib.parse import urlsplit


async def send_raw(url: str, sent: bytes) -> bytes:
    """Sends bytes, and gives all that comes back until the server closes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sent)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
