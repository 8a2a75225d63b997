"""Web applications of well-known frameworks, each behind its usual adapter for AWS, run unchanged as API functions."""

import base64
import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from support.functions.packages import npm_packages, pip_packages, zip_with
from support.http.service import BASE, Service, function_body, http_service
from support.http.synchronous_calls import call_api

from taskd.execution.settings import DispatchSettings

EXPRESS = """
const express = require("express");
const serverless = require("serverless-http");

const app = express();
app.use(express.json());
app.get("/hello/:name", (req, res) => {
  res.cookie("first", "1").cookie("second", "2");
  res.json({ name: req.params.name, query: req.query, cookie: req.get("cookie"), ip: req.ip, url: req.url });
});
app.post("/sum", (req, res) => res.status(201).send(String(req.body.numbers.reduce((a, b) => a + b, 0))));
app.put("/bytes", express.raw({ type: "*/*" }), (req, res) => res.type("image/png").send(req.body.reverse()));
app.get("/stream", (req, res) => { res.write("one "); res.write("two"); res.end(); });
app.get("/elsewhere", (req, res) => res.redirect("/hello/there"));
app.get("/who", (req, res) => res.json({ user: req.get("x-exh-requesting-user-id") ?? null }));
module.exports.handler = serverless(app, { binary: ["image/*"] });
"""
STARLETTE = """
from mangum import Mangum
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route


async def hello(request):
    answer = JSONResponse({
        "name": request.path_params["name"],
        "query": dict(request.query_params),
        "cookies": request.cookies,
        "client": request.client.host,
    })
    answer.set_cookie("first", "1")
    answer.set_cookie("second", "2")
    return answer


async def total(request):
    return PlainTextResponse(str(sum((await request.json())["numbers"])), status_code=201)


async def octets(request):
    return Response((await request.body())[::-1], media_type="image/png")


async def elsewhere(request):
    return RedirectResponse("/hello/there")


app = Starlette(routes=[
    Route("/hello/{name}", hello),
    Route("/sum", total, methods=["POST"]),
    Route("/bytes", octets, methods=["PUT"]),
    Route("/elsewhere", elsewhere),
])
handler = Mangum(app, lifespan="off")
"""
OCTETS = bytes(range(256))


@pytest.fixture(scope="session")
def express_zip() -> bytes:
    if shutil.which("npm") is None:
        pytest.skip("Node.js is not installed")
    return zip_with(npm_packages("express@5.1.0", "serverless-http@4.0.0"), index_js=EXPRESS)


@pytest.fixture(scope="session")
def starlette_zip() -> bytes:
    return zip_with(pip_packages("mangum==0.22.0", "starlette==0.46.0"), index_py=STARLETTE)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """Mangum takes the query string as AWS has it: without the question mark."""
    async with http_service(tmp_path, dispatch=DispatchSettings(api_query_mark=False)) as running:
        yield running


async def deploy(service: Service, code: bytes, runtime: str) -> None:
    body = function_body(name="app", code=base64.b64encode(code).decode(), runtime=runtime, memoryLimit=512)
    async with service.client.post(f"{BASE}/functions", data=io.BytesIO(orjson.dumps(body))) as response:
        assert response.status == 200, await response.text()


async def holds_for_any_framework(service: Service) -> None:
    """What a client of either application sees, besides the answer to ``/hello``."""
    response = await call_api(service, "app/sum", "POST", json={"numbers": [1, 2, 3]})
    assert (response.status, await response.text()) == (201, "6")
    assert response.content_type.startswith("text/")
    response = await call_api(service, "app/bytes", "PUT", data=OCTETS, headers={"Content-Type": "image/png"})
    assert (await response.read(), response.content_type) == (OCTETS[::-1], "image/png")
    response = await call_api(service, "app/elsewhere", allow_redirects=False)
    assert (response.status // 100, response.headers["Location"]) == (3, "/hello/there")
    assert (await call_api(service, "app/nowhere")).status == 404
    assert (await call_api(service, "app/hello/you", "HEAD")).status == 200


async def test_an_express_application_runs_unchanged(service: Service, express_zip: bytes) -> None:
    await deploy(service, express_zip, "nodejs20.x")
    response = await call_api(service, "app/hello/you%20two?a=1&b=%C3%A9", headers={"Cookie": "x=1; y=2"})
    assert await response.json() == {
        "name": "you two",
        "query": {"a": "1", "b": "é"},
        "cookie": "x=1; y=2",
        "ip": "127.0.0.1",
        "url": "/hello/you%20two?a=1&b=%C3%A9",
    }
    assert [cookie.partition(";")[0] for cookie in response.headers.getall("Set-Cookie")] == ["first=1", "second=2"]
    await holds_for_any_framework(service)
    assert await (await call_api(service, "app/stream")).text() == "one two"


async def test_an_express_application_reads_the_query_as_upstream_gives_it(tmp_path: Path, express_zip: bytes) -> None:
    async with http_service(tmp_path) as service:
        await deploy(service, express_zip, "nodejs20.x")
        response = await call_api(service, "app/hello/you?a=1")
        assert (await response.json())["query"] == {"a": "1"}


async def test_a_python_application_runs_unchanged(service: Service, starlette_zip: bytes) -> None:
    await deploy(service, starlette_zip, "python3.11")
    response = await call_api(service, "app/hello/you%20two?a=1&b=%C3%A9", headers={"Cookie": "x=1; y=2"})
    assert await response.json() == {
        "name": "you two",
        "query": {"a": "1", "b": "é"},
        "cookies": {"x": "1", "y": "2"},
        "client": "127.0.0.1",
    }
    assert [cookie.partition(";")[0] for cookie in response.headers.getall("Set-Cookie")] == ["first=1", "second=2"]
    await holds_for_any_framework(service)
