"""A schedule acts in the name of who created it, and only as long as they exist and may create tasks."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.auth.accounts import ADA, BOB, CLIENT, EVERYBODY, holder, with_holders
from support.auth.service import SecuredService, secured_service
from support.http.error_shape import assert_error
from support.http.service import BASE

from taskd.auth.accounts import Accounts
from taskd.auth.settings import AuthSettings
from taskd.auth.task_creators import TaskCreators
from taskd.model.schedule import Schedule, ScheduleDraft
from taskd.triggers.scheduler import Scheduler

OWNER, OTHER = holder(1001, "ALL"), holder(1002, "ALL")
ACCOUNTS = with_holders(EVERYBODY, OWNER, OTHER)


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[SecuredService]:
    async with secured_service(tmp_path, ACCOUNTS) as secured:
        yield secured


async def call(secured: SecuredService, token: str, method: str, path: str, body: object = None) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    async with secured.service.client.request(method, BASE + path, json=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def create(secured: SecuredService) -> Any:
    return await call(secured, OWNER.token, "POST", "/schedules", {"functionName": "hello", "interval": 3600})


async def fire(secured: SecuredService) -> int:
    """How many tasks the scheduler makes in one step."""
    scheduler = Scheduler(secured.service.store, objection=TaskCreators(secured.auth).objection)
    before = (await secured.service.store.status()).due
    await scheduler._step()
    return (await secured.service.store.status()).due - before


def without(accounts: Accounts, user_id: str) -> Accounts:
    users = tuple(user for user in accounts.users if user.id != user_id)
    tokens = tuple(token for token in accounts.tokens if token.owner != user_id)
    return replace(accounts, users=users, tokens=tokens)


def with_permissions(accounts: Accounts, user_id: str, *permissions: str) -> Accounts:
    changed = (replace(user, permissions=permissions) if user.id == user_id else user for user in accounts.users)
    return replace(accounts, users=tuple(changed))


async def test_a_schedule_of_somebody_who_is_there_goes_on(secured: SecuredService) -> None:
    await create(secured)
    assert await fire(secured) == 1


async def test_a_schedule_whose_owner_is_gone_pauses_and_says_so(
    secured: SecuredService, caplog: pytest.LogCaptureFixture
) -> None:
    schedule = await create(secured)
    secured.change(without(ACCOUNTS, OWNER.user.id))
    with caplog.at_level(logging.WARNING):
        assert await fire(secured) == 0
    path = f"/schedules/{schedule['id']}"
    seen = await call(secured, OTHER.token, "GET", path)
    assert seen["paused"] is True
    assert seen["pauseReason"] == f"The user {OWNER.user.id} that it makes tasks for is gone."
    assert "nextTimestamp" not in seen
    assert f"Schedule {schedule['id']} (hello) is paused: {seen['pauseReason']}" in caplog.text
    assert await fire(secured) == 0
    assert caplog.text.count("is paused") == 1


async def test_a_schedule_whose_owner_may_no_longer_create_tasks_pauses(secured: SecuredService) -> None:
    schedule = await create(secured)
    secured.change(with_permissions(ACCOUNTS, OWNER.user.id, "CREATE_TASK_SCHEDULE", "VIEW_TASK_SCHEDULES"))
    assert await fire(secured) == 0
    seen = await call(secured, OTHER.token, "GET", f"/schedules/{schedule['id']}")
    assert seen["pauseReason"] == f"The user {OWNER.user.id} that it makes tasks for lacks CREATE_TASKS."


async def test_resumed_by_somebody_else_it_goes_on_in_their_name(secured: SecuredService) -> None:
    schedule = await create(secured)
    secured.change(without(ACCOUNTS, OWNER.user.id))
    await fire(secured)
    resumed = await call(secured, OTHER.token, "POST", f"/schedules/{schedule['id']}/resume")
    assert resumed["createdByUserId"] == OTHER.user.id
    assert not {"paused", "pauseReason"} & set(resumed)
    changed = await secured.service.store.change_schedule(schedule["id"], lambda kept: replace(kept, next_ms=1))
    assert not changed.paused
    assert await fire(secured) == 1


async def test_an_owner_who_may_again_keeps_what_another_resumes(secured: SecuredService) -> None:
    schedule = await create(secured)
    await call(secured, OTHER.token, "POST", f"/schedules/{schedule['id']}/pause", {"reason": "for the night"})
    resumed = await call(secured, OTHER.token, "POST", f"/schedules/{schedule['id']}/resume")
    assert resumed["createdByUserId"] == OWNER.user.id


async def test_pausing_is_answered_with_the_schedule_and_its_reason(secured: SecuredService) -> None:
    schedule = await create(secured)
    path = f"/schedules/{schedule['id']}/pause"
    paused = await call(secured, OWNER.token, "POST", path, {"reason": "for the night"})
    assert (paused["paused"], paused["pauseReason"]) == (True, "for the night")
    assert "pauseReason" not in await call(secured, OWNER.token, "POST", path)


@pytest.mark.parametrize(("body", "code"), [({"reason": 1}, 15), ({"reason": "x" * 1001}, 15), ([], 22)])
async def test_a_bad_reason_is_refused(secured: SecuredService, body: object, code: int) -> None:
    schedule = await create(secured)
    headers = {"Authorization": f"Bearer {OWNER.token}"}
    path = f"{BASE}/schedules/{schedule['id']}/pause"
    async with secured.service.client.post(path, json=body, headers=headers) as response:
        await assert_error(response, code)
    assert not (await secured.service.store.schedule(schedule["id"])).paused


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize(("schedule_id", "code"), [("0" * 24, 16), ("nonsense", 12)])
async def test_what_is_not_there_cannot_be_paused(
    secured: SecuredService, verb: str, schedule_id: str, code: int
) -> None:
    headers = {"Authorization": f"Bearer {OWNER.token}"}
    path = f"{BASE}/schedules/{schedule_id}/{verb}"
    async with secured.service.client.post(path, headers=headers) as response:
        await assert_error(response, code)


def schedule_of(user_id: str | None, application_id: str | None) -> Schedule:
    draft = ScheduleDraft("f", b"{}", 1000, 1, 0, user_id, application_id)
    return Schedule("s", 1000, "f", draft.data, 0, 1, 1, 1, 1, user_id, application_id)


@pytest.mark.parametrize(
    ("user_id", "application_id", "reason"),
    [
        (None, None, None),
        (ADA.id, None, None),
        (ADA.id, "gone", None),
        (BOB.id, None, f"The user {BOB.id} that it makes tasks for lacks CREATE_TASKS."),
        ("gone", CLIENT.id, "The user gone that it makes tasks for is gone."),
        (None, "gone", "The application gone that it makes tasks for is gone."),
        (None, CLIENT.id, f"The application {CLIENT.id} that it makes tasks for lacks CREATE_TASKS."),
    ],
)
async def test_who_may_have_tasks_made(
    secured: SecuredService, user_id: str | None, application_id: str | None, reason: str | None
) -> None:
    assert TaskCreators(secured.auth).objection(schedule_of(user_id, application_id)) == reason


async def test_users_of_an_issuer_need_no_account(tmp_path: Path) -> None:
    issuer = AuthSettings(oidc_issuer="https://issuer.example", oidc_audience="taskd")
    async with secured_service(tmp_path, ACCOUNTS, issuer) as secured:
        creators = TaskCreators(secured.auth)
        assert creators.objection(schedule_of("auth0|somebody", None)) is None
        assert creators.objection(schedule_of(BOB.id, None)) is not None
