"""Listings that look at everything: those of one caller do not make another's wait for all of them."""

import asyncio
from pathlib import Path

import pytest
from support.auth.accounts import EVERYBODY, holder, with_holders
from support.auth.service import secured_service
from support.http.service import Service

from taskd.model.task import TaskDraft

GREEDY = holder(7, "VIEW_TASKS", "VIEW_API_FUNCTION_REQUESTS")
MODEST = holder(8, "VIEW_TASKS", "VIEW_API_FUNCTION_REQUESTS")
LISTINGS = 100
TASKS = 2_000


async def listing(service: Service, path: str, token: str) -> None:
    async with service.client.get(path, headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.status == 200, await response.text()
        await response.read()


@pytest.mark.parametrize("path", ["/tasks/v1?sort(-priority)&data.n=7", "/tasks/v1/apiRequests?sort(-timestamp)"])
async def test_a_crowd_of_scanning_listings_of_one_caller_holds_up_another_by_one(tmp_path: Path, path: str) -> None:
    async with secured_service(tmp_path, with_holders(EVERYBODY, GREEDY, MODEST)) as secured:
        service = secured.service
        await service.store.add([TaskDraft("f", b'{"n":7}', 0) for _ in range(TASKS)])
        # the client has 100 connections, one of them for the other caller
        crowd = [
            asyncio.create_task(listing(service, "/tasks/v1?sort(-priority)", GREEDY.token))
            for _ in range(LISTINGS - 1)
        ]
        await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
        await listing(service, path, MODEST.token)
        ended = sum(task.done() for task in crowd)
        await asyncio.gather(*crowd)
        assert ended < LISTINGS // 4
