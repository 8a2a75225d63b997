"""The table of fixed paths, and what goes through the router all the same."""

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiohttp.typedefs import Handler

from taskd.api.http.route_table import TableRouter, route_table


async def handler(request: web.Request) -> web.Response:
    return web.Response(text="handler")


async def router(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="router")


@web.middleware
async def outer(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    response.headers["Order"] += " outer"
    return response


@web.middleware
async def inner(request: web.Request, handler: Handler) -> web.StreamResponse:
    response = await handler(request)
    response.headers["Order"] = "inner"
    return response


ROUTES = [web.get("/fixed", handler), web.post("/{variable}", handler), web.route("*", "/any", handler)]


async def answered_by(method: str, path: str, **headers: str) -> str:
    table_router = TableRouter(route_table(ROUTES, []), router)
    response = await table_router(make_mocked_request(method, path, headers))
    assert isinstance(response, web.Response)
    return response.text or ""


def test_only_fixed_paths_are_in_the_table() -> None:
    assert set(route_table(ROUTES, [])) == {("GET", "/fixed")}


async def test_a_fixed_path_needs_no_router() -> None:
    assert await answered_by("GET", "/fixed") == "handler"
    assert await answered_by("GET", "/fixed?with=a&query") == "handler"


async def test_everything_else_goes_through_the_router() -> None:
    for method, path in [("POST", "/fixed"), ("HEAD", "/fixed"), ("GET", "/fixed/"), ("GET", "/f%69xed"), ("GET", "/")]:
        assert await answered_by(method, path) == "router"


async def test_an_expectation_is_answered_by_the_router() -> None:
    assert await answered_by("GET", "/fixed", Expect="100-continue") == "router"


async def test_the_first_middleware_is_the_outermost() -> None:
    response = await route_table(ROUTES, [outer, inner])["GET", "/fixed"](make_mocked_request("GET", "/fixed"))
    assert response.headers["Order"] == "inner outer"
