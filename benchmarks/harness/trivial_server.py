"""The yardstick of creating: an aiohttp server that decodes the body of a new task, and answers, and does no more.

``python -m benchmarks.harness.trivial_server`` takes a free port, prints ``READY <url>`` and serves until it is ended.
"""

import asyncio

import msgspec
import uvloop
from aiohttp import web

from taskd.api.validation.task_body import TaskBody

_decode = msgspec.json.Decoder(TaskBody).decode
_ANSWER = (
    b'{"id":"614b1f2d8f3c2a0012345678","status":"new","statusChangedTimestamp":"2021-09-29T15:17:07.051Z",'
    b'"functionName":"noop","data":{"patient":0,"number":0,"pad":"' + b"x" * 60 + b'"},'
    b'"startTimestamp":"2021-09-29T15:17:07.051Z","tags":[],"priority":0,'
    b'"creationTimestamp":"2021-09-29T15:17:07.051Z","updateTimestamp":"2021-09-29T15:17:07.051Z"}'
)


async def create(request: web.Request) -> web.Response:
    """Answers as if a task had been created."""
    _decode(await request.read())
    return web.Response(body=_ANSWER, content_type="application/json")


async def _serve() -> None:
    app = web.Application()
    app.router.add_post("/tasks/v1", create)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(f"READY http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
