"""The one place that says how an error looks over HTTP."""

from typing import Any

from aiohttp import ClientResponse

from taskd.model.errors import CATALOGUE


async def assert_error(response: ClientResponse, code: int) -> dict[str, Any]:
    """Asserts that ``response`` is the catalogue's error ``code`` in the contract's shape; gives its body."""
    kind = CATALOGUE[code]
    text = await response.text()
    assert response.status == kind.http_status, text
    assert response.content_type == "application/json"
    body: dict[str, Any] = await response.json()
    assert body["code"] == kind.code, text
    assert body["name"] == kind.name
    assert isinstance(body["message"], str)
    assert body["message"].strip()
    assert "Traceback" not in text
    return body
