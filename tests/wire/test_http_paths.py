"""A path that is written in another way leads to where it says, or nowhere: never past the permission of a route."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import SecuredService, secured_service
from support.http.raw import send_raw
from support.http.service import BASE, function_body, zipped

ADMIN = holder(60, "ALL")
ONE_FUNCTION = holder(61, "EXECUTE_API_FUNCTION:public", "EXECUTE_TASK_FUNCTION:public")
SAYS = "def handler(event, context):\n    return {{'statusCode': 200, 'body': {!r}}}\n"
CLOSED = [
    ("GET", f"{BASE}"),
    ("POST", f"{BASE}"),
    ("POST", f"{BASE}/bulk"),
    ("GET", f"{BASE}/functions"),
    ("DELETE", f"{BASE}/functions/closed"),
    ("POST", f"{BASE}/functions/closed/execute"),
    ("GET", f"{BASE}/api/closed/x"),
    ("GET", f"{BASE}/schedules"),
    ("GET", f"{BASE}/apiRequests"),
    ("POST", f"{BASE}/{'0' * 24}/cancel"),
]
OPEN = [f"{BASE}/api/public", f"{BASE}/docs", f"{BASE}/openapi.json", "/health"]
UP = ["..", "%2e%2e", ".%2e", "..%2f", "%2e%2e%2f", "..;", "%252e%252e", "..%c0%af", "..%5c", "..%00"]


def written_otherwise(path: str) -> Iterator[str]:
    """``path`` as some server or proxy may read it."""
    yield from (
        path + end for end in ("/", "//", "/.", "/..;/", ";a=b", "%00", "%2f", "%20", "%0a", "#", ".json", "%3f")
    )
    yield from (path.replace("/", other) for other in ("//", "/./", "%2f", "%252f", "\\"))
    yield from (path.upper(), path.replace("tasks", "t%61sks"), path.replace("v1", "v1;x"), f"http://localhost{path}")
    yield from (path.replace("closed", other) for other in ("CLOSED", "%63losed", "closed%00", "public;closed"))
    yield from (path.replace("closed", f"public{between}closed") for between in ("/../", "%2f..%2f", "%00", "/..;/"))
    for start in OPEN:
        yield from (start + f"/{up}" * start.count("/") + path for up in UP)
        yield from (f"{start}/{path}", f"{start}%2f..{path}", f"{start}?{path}", f"http://localhost{start}/..{path}")


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    """A service with a function for everybody, and one that is closed."""
    async with secured_service(tmp_path, with_holders(EVERYBODY, ADMIN, ONE_FUNCTION)) as secured:
        for name, mode in (("public", "public"), ("closed", "permissionRequired")):
            code, options = zipped(index=SAYS.format(name)), {"permissionMode": mode}
            body = function_body(name=name, code=code, executionOptions=options)
            headers = {"Authorization": f"Bearer {ADMIN.token}"}
            async with secured.service.client.post(f"{BASE}/functions", json=body, headers=headers) as response:
                assert response.status == 200
        yield secured


async def answer(url: str, method: str, path: str, token: str | None) -> tuple[int, bytes]:
    credentials = f"Authorization: Bearer {token}\r\n" if token else ""
    body = '{"functionName": "closed"}' if method == "POST" else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    sent = f"{head}{credentials}Content-Length: {len(body)}\r\n\r\n{body}"
    lines, _, content = (await send_raw(url, sent.encode())).partition(b"\r\n\r\n")
    return int(lines.split()[1]), content


def is_open(status: int, content: bytes) -> bool:
    """Whether what was answered is refused, or is for everybody."""
    everybodys = (b"public", b"<!doctype html>", b'{"openapi":', b'{"status":')
    return status in (400, 401, 404) or (status == 200 and content.startswith(everybodys))


@pytest.mark.parametrize("token", [None, ONE_FUNCTION.token], ids=["nobody", "one function"])
async def test_no_way_to_write_a_path_leads_past_its_permission(secured: SecuredService, token: str | None) -> None:
    url = secured.service.url
    for method, path in CLOSED:
        for written in {path, *written_otherwise(path)}:
            assert is_open(*await answer(url, method, written, token)), (method, written)
    assert [function.name for function in secured.service.store.functions()] == ["closed", "public"]
    assert (await secured.service.store.status()).due == 0
