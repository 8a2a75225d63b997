"""Whatever happens, in whatever order: reading the journal back gives the live state, after any prefix of it."""

import asyncio
import contextlib
import functools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.clocks import FakeClock
from support.disk.in_memory import memory_directory

from taskd.model import recurrence
from taskd.model import schedule as rules
from taskd.model import webhook as webhooks
from taskd.model.delivery import Attempt
from taskd.model.dispatcher import Action, ActionType, DispatcherDraft
from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.event import EventDraft, ServiceVersion, SubscriptionDraft
from taskd.model.function import Function
from taskd.model.idempotency import IdempotencyKey
from taskd.model.limits import IDEMPOTENCY_KEY_TTL_MS
from taskd.model.operation import OperationAction, OperationDraft
from taskd.model.pause import Pause
from taskd.model.retry import unknown_outcome
from taskd.model.schedule import Overlap, Schedule, ScheduleDraft
from taskd.model.start_rules import Concurrency, StartRules, Throttle
from taskd.model.status import Status
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.task_extras import OnConflict, TaskExtras, UniqueKey, WhileKind, inherited
from taskd.model.uniqueness import UniqueConflictError
from taskd.model.webhook import Webhook, WebhookDraft, WebhookSecret
from taskd.rql.parser import parse, parse_filter
from taskd.store.base import Completed, Failed, Outcome, Requeued, Retried
from taskd.store.embedded.events import decode_events
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.replay import Replay
from taskd.store.embedded.live_tasks import LiveTasks
from taskd.store.embedded.queue.usage import Usage
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.state import LiveState
from taskd.store.embedded.store import EmbeddedStore
from taskd.store.embedded.stored_data import IN_MEMORY_MAX_BYTES, without_large_data
from taskd.store.embedded.unique_keys import UniqueKeys

TYPES = ("task_failed", "t")
FILTERS = ("status=new", "in(status,complete,failed,canceled)", "functionName=f")
COUNTED = ("stored", "loaded_bytes", "_beyond_bytes", "_count")
ERROR = TaskError(ErrorType.RUNTIME, "E", "m")
RULES = (
    *(None, StartRules(Concurrency(3, 2, "data.a")), StartRules(throttle=Throttle(5, 10, 2))),
    StartRules(Concurrency(total=4), Throttle(2, 3, 1, "data.a")),
)

adding = st.tuples(st.just("add"), st.lists(st.tuples(st.integers(-5, 20), st.integers(-2, 2)), min_size=1, max_size=3))
claiming = st.tuples(st.just("claim"), st.integers(1, 4))
executing = st.tuples(st.just("execute"), st.integers(-2, 2))
settling = st.tuples(st.just("settle"), st.lists(st.integers(0, 3), min_size=1, max_size=4))
cancelling = st.tuples(st.just("cancel"), st.integers(0, 9))
passing = st.tuples(st.just("pass"), st.integers(0, 10))
putting = st.tuples(st.just("put"), st.sampled_from("fgh"))
removing = st.tuples(st.just("remove"), st.sampled_from("fgh"))
rules_of_schedules = st.fixed_dictionaries(
    {
        "overlap": st.sampled_from(Overlap),
        "catch_up_ms": st.sampled_from((None, 0, 5)),
        "jitter_ms": st.sampled_from((0, 4)),
        "remaining": st.sampled_from((None, None, 1, 3)),
    }
)
scheduling = st.tuples(st.just("schedule"), st.tuples(st.integers(-5, 20), st.integers(1, 10), rules_of_schedules))
unscheduling = st.tuples(st.just("unschedule"), st.integers(0, 9))
pausing = st.tuples(st.just("pause"), st.tuples(st.integers(0, 9), st.booleans()))
firing = st.tuples(st.just("fire"), st.integers(1, 4))
KEEPING = tuple(action for action in OperationAction if action is not OperationAction.ERASE)
operating = st.tuples(st.just("operate"), st.tuples(st.sampled_from(KEEPING), st.sampled_from(FILTERS)))
erasing = st.tuples(st.just("operate"), st.tuples(st.just(OperationAction.ERASE), st.sampled_from(FILTERS)))
advancing = st.tuples(st.just("advance"), st.integers(1, 3))
aborting = st.tuples(st.just("abort"), st.integers(0, 9))
keyed = st.tuples(st.just("keyed"), st.tuples(st.sampled_from("klm"), st.integers(1, 3)))
unique = st.tuples(
    st.just("unique"),
    st.lists(
        st.tuples(
            st.sampled_from("klm"),
            st.sampled_from((WhileKind.PENDING, WhileKind.ACTIVE, 1, 2)),
            st.sampled_from(OnConflict),
            st.integers(-2, 2),
        ),
        min_size=1,
        max_size=3,
    ),
)
deleting = st.tuples(st.just("delete"), st.integers(0, 9))
publishing = st.tuples(st.just("publish"), st.tuples(st.sampled_from(TYPES), st.sampled_from((None, None, "i", "j"))))
dispatching = st.tuples(st.just("dispatch"), st.tuples(st.sampled_from(TYPES), st.integers(0, 3)))
undispatching = st.tuples(st.just("undispatch"), st.integers(0, 9))
cramping = st.tuples(st.just("cramp"), st.booleans())
repaying = st.tuples(st.just("repay"), st.integers(1, 4))
pausing_all = st.tuples(st.just("pause_all"), st.booleans())
deleting = st.tuples(st.sampled_from(("delete", "erase")), st.integers(0, 9))
purging = st.tuples(st.just("purge"), st.none())
hooking = st.tuples(
    st.just("hook"), st.lists(st.sampled_from([*webhooks.TASK_EVENTS, *TYPES, "task_failed"]), min_size=1, unique=True)
)
switching = st.tuples(st.just("switch"), st.tuples(st.integers(0, 3), st.sampled_from(("enable", "disable", "remove"))))
fanning = st.tuples(st.just("fan"), st.integers(1, 4))
delivering = st.tuples(st.just("deliver"), st.tuples(st.integers(1, 3), st.sampled_from((None, "error"))))
redelivering = st.tuples(st.just("redeliver"), st.integers(0, 3))
forgetting = st.tuples(st.just("forget"), st.integers(0, 3))
compacting = st.tuples(st.just("compact"), st.none())
anything = st.one_of(
    *(adding, claiming, executing, settling, cancelling, passing, putting, removing),
    *(scheduling, unscheduling, pausing, firing, keyed, unique, deleting),
    *(publishing, dispatching, undispatching, cramping, repaying),
    *(scheduling, unscheduling, pausing, firing, keyed, unique, deleting, pausing_all),
    *(operating, advancing, aborting),
    *(hooking, switching, fanning, delivering, redelivering, forgetting),
)
operations = st.lists(anything, min_size=1, max_size=25)
operations_with_compaction = st.lists(anything | compacting | purging | erasing, min_size=1, max_size=25)


def data_for(priority: int) -> bytes:
    """Some of it is so large that it does not stay in memory while the task waits."""
    return b'{"a":"%b"}' % (b"x" * (IN_MEMORY_MAX_BYTES * (priority > 0) + priority))


class Driver:
    """Does operations to a store, each as well as the state allows."""

    def __init__(self, directory: Path, segment_mib: int) -> None:
        self.clock = FakeClock()
        self.fatal: list[BaseException] = []
        data = StoreSettings(data=str(directory), segment_mib=segment_mib)
        self.store = EmbeddedStore(data, self.clock, self.fatal.append)
        self.ended: dict[str, Task] = {}
        self.deleted: set[str] = set()

    @property
    def state(self) -> LiveState:
        return self.store._commits.state

    async def do(self, name: str, argument: Any) -> None:
        await getattr(self, name)(argument)

    async def add(self, specs: list[tuple[int, int]]) -> None:
        await self.store.add(
            [TaskDraft("f", data_for(priority), self.clock() + delay, priority) for delay, priority in specs]
        )

    async def execute(self, priority: int) -> None:
        if self.store.pause() is not None:
            return
        with contextlib.suppress(ContractError):  # there may be no room for it
            await self.store.add_started(TaskDraft("f", data_for(priority), self.clock(), priority, direct=True))

    async def claim(self, limit: int) -> None:
        await self.store.claim(limit)

    async def settle(self, choices: list[int]) -> None:
        outcomes: list[Outcome] = []
        running = [task for task in self.state.tasks.values() if task.status is Status.IN_PROGRESS]
        for task, choice in zip(running, choices, strict=False):
            successor = TaskDraft(
                *("f", task.data, self.clock() + 5),
                retry_for_task_ids=(task.id,),
                extras=inherited(task.extras),
            )
            possible: list[Outcome] = [
                Completed(task.id),
                Failed(task.id, unknown_outcome("why") if task.seq % 2 else ERROR),
                Retried(task.id, ERROR, successor),
                Requeued(task.id, self.clock() + 3),
            ]
            outcomes.append(possible[choice])
        self.remember([task for task in await self.store.settle(outcomes) if task is not None])

    async def cancel(self, index: int) -> None:
        waiting = [task for task in self.state.tasks.values() if task.status is Status.NEW]
        if waiting:
            self.remember([await self.store.cancel(waiting[index % len(waiting)].id)])

    async def put(self, name: str) -> None:
        rules = RULES[(self.clock() + len(self.state.functions)) % len(RULES)]
        function = Function(name, "index.handler", "python3.11", self.clock(), "v", start_rules=rules)
        await self.store.put_function(function, self.store.function(name))

    async def remove(self, name: str) -> None:
        if self.store.function(name):
            await self.store.remove_function(name)

    async def schedule(self, spec: tuple[int, int, dict[str, Any]]) -> None:
        delay_ms, interval_ms, more = spec
        await self.store.add_schedule(ScheduleDraft("f", b"{}", interval_ms, self.clock() + delay_ms, **more))

    async def unschedule(self, index: int) -> None:
        schedules = list(self.state.schedules)
        if schedules:
            await self.store.remove_schedule(schedules[index % len(schedules)])

    async def pause(self, spec: tuple[int, bool]) -> None:
        """Pauses or resumes a schedule."""
        index, paused = spec
        schedules, now_ms = list(self.state.schedules), self.clock()

        def change(kept: Schedule) -> Schedule:
            return rules.pause(kept, now_ms, "why") if paused else recurrence.resume(kept, now_ms)

        if schedules:
            await self.store.change_schedule(schedules[index % len(schedules)], change)

    async def fire(self, limit: int) -> None:
        await self.store.fire(limit)

    async def keyed(self, spec: tuple[str, int]) -> None:
        """With one of a few keys, which come again; sometimes a day later, sometimes with the clock set back."""
        name, count = spec
        self.clock.advance({1: 0, 2: IDEMPOTENCY_KEY_TTL_MS // 2, 3: -IDEMPOTENCY_KEY_TTL_MS // 3}[count])
        drafts = [TaskDraft("f", b"{}", self.clock()) for _ in range(count)]
        try:
            await self.store.add(drafts, IdempotencyKey(name.encode(), b"the same request"))
        except ContractError as error:
            if not self.deleted or error.kind is not RESOURCE_UNKNOWN:
                raise

    async def delete(self, index: int) -> None:
        if self.ended:
            task_id = list(self.ended)[index % len(self.ended)]
            assert await self.store.delete_tasks([task_id]) == 1
            del self.ended[task_id]
            self.deleted.add(task_id)

    async def unique(self, specs: list[tuple[str, WhileKind | int, OnConflict, int]]) -> None:
        """With one of a few keys, some for a time that passes meanwhile; every other time under a key of the request's
        own."""
        self.clock.advance(500)
        drafts = [
            TaskDraft(
                *("f", data_for(priority), self.clock() + priority, priority),
                extras=TaskExtras(unique=UniqueKey(key, lasts)),
                on_conflict=on_conflict,
            )
            for key, lasts, on_conflict, priority in specs
        ]
        request = IdempotencyKey(b"unique", b"the same request") if len(specs) == 2 else None
        try:
            await self.store.add_unique(drafts, request)
        except UniqueConflictError:
            pass
        except ContractError as error:
            if not self.deleted or error.kind is not RESOURCE_UNKNOWN:
                raise

    async def publish(self, spec: tuple[str, str | None]) -> None:
        """Sometimes with an id that comes again; the content grows too large to stay in memory."""
        type_, event_id = spec
        with suppress(ContractError):  # no room
            await self.store.publish(EventDraft(type_, data_for(type_ == "t"), event_id))

    async def dispatch(self, spec: tuple[str, int]) -> None:
        """Makes a dispatcher of so many actions, or has one that there is take one more."""
        type_, count = spec
        kept = list(self.state.events.dispatchers)
        if count or not kept:
            actions = tuple(Action("", ActionType.TASK, function_name="f") for _ in range(count))
            await self.store.add_dispatcher(DispatcherDraft(type_, actions))
            await self.store.add_subscription(SubscriptionDraft("s", ServiceVersion(1, 2, count), (type_,)))
        else:
            await self.store.change_dispatcher(kept[0], lambda each: replace(each, event_type=type_, update_ms=9))

    async def undispatch(self, index: int) -> None:
        kept = list(self.state.events.dispatchers)
        if kept:
            await self.store.remove_dispatcher(kept[index % len(kept)])

    async def cramp(self, is_cramped: bool) -> None:
        """From now on there is no room for tasks that are made of events, or there is again."""
        self.store._publishing._live_tasks_max = 0 if is_cramped else 1_000_000

    async def repay(self, limit: int) -> None:
        with suppress(ContractError):
            await self.store.publish_owed(limit)

    async def pause_all(self, paused: bool) -> None:
        if paused:
            await self.store.pause_all(Pause(self.clock(), "why"))
        else:
            await self.store.resume_all()

    async def operate(self, spec: tuple[OperationAction, str]) -> None:
        action, rql = spec
        where = parse_filter(rql)
        assert where is not None
        await self.store.add_operation(OperationDraft(action, rql, data=b"{}"), where)

    async def advance(self, limit: int) -> None:
        before = set(self.state.tasks)
        await self.store.advance_operations(limit)
        gone = [task_id for task_id in before if task_id not in self.state.tasks]
        self.remember([row for task_id in gone for row in (await self.store.find(parse(f"id={task_id}"))).rows])
        self.deleted.update(set(gone).difference(self.ended))
        for task_id in list(self.ended):
            if not (await self.store.find(parse(f"id={task_id}"))).rows:
                del self.ended[task_id]
                self.deleted.add(task_id)

    async def abort(self, index: int) -> None:
        running = [operation.id for operation in self.state.operations.values() if operation.is_running]
        if running:
            await self.store.abort_operation(running[index % len(running)])

    async def purge(self, _: None) -> None:
        await self.store.purge()

    async def erase(self, index: int) -> None:
        if self.ended:
            task_id = list(self.ended)[index % len(self.ended)]
            assert await self.store.erase_tasks([task_id]) == 1
            self.deleted.add(task_id)
            del self.ended[task_id]
            self.ended = {task_id: await self.store.get(task_id) for task_id in self.ended}

    async def hook(self, events: list[str]) -> None:
        secrets = (WebhookSecret("whsec_"),)
        await self.store.add_webhook(WebhookDraft("https://example.com", tuple(events), secrets))

    async def switch(self, spec: tuple[int, str]) -> None:
        """Enables, disables or removes a webhook."""
        index, how = spec
        if (webhook := self.some_webhook(index)) is None:
            return
        if how == "remove":
            await self.store.remove_webhook(webhook.id)
        else:
            now_ms = self.clock()
            change = webhooks.enable if how == "enable" else functools.partial(webhooks.disable, reason="why")
            await self.store.change_webhook(webhook.id, lambda kept: change(kept, now_ms=now_ms))

    async def fan(self, limit: int) -> None:
        await self.store.fan_out(limit)

    async def deliver(self, spec: tuple[int, str | None]) -> None:
        limit, error = spec
        for webhook_id in self.store.due_webhooks():
            begun = await self.store.begin_deliveries(webhook_id, limit)
            await self.store.settle_deliveries([Attempt(each.id, self.clock(), 200, error) for each in begun])

    async def redeliver(self, index: int) -> None:
        """Of what has ended, or waits."""
        if (webhook := self.some_webhook(index)) is not None:
            for delivery in (await self.store.find_deliveries(webhook.id, parse("limit(1)"))).rows:
                await self.store.redeliver(webhook.id, delivery.id)

    async def forget(self, index: int) -> None:
        state = self.state.webhooks
        about = [*state.owed, *(each.subject_id for each in state.waiting.values())]
        await self.store.forget_deliveries(about[index : index + 1])

    def some_webhook(self, index: int) -> Webhook | None:
        kept = list(self.state.webhooks.webhooks.values())
        return kept[index % len(kept)] if kept else None

    async def compact(self, _: None) -> None:
        await self.store.compact()

    async def _pass(self, ms: int) -> None:
        self.clock.advance(ms)

    def remember(self, tasks: list[Task]) -> None:
        self.ended |= {task.id: task for task in tasks if task.status is not Status.NEW}


setattr(Driver, "pass", Driver._pass)


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    with memory_directory() as root:
        yield root


def replayed(journal: Path) -> LiveState:
    state = LiveState()
    for _, payload in Replay(segments(journal)[0]):
        state.apply_all(decode_events(payload))
    return state


def used_up(usage: Usage) -> tuple[object, ...]:
    """But for places of zombies: they end by the clock, and are then forgotten sooner or later."""
    keyed = Counter(place.keys.at_once for place in usage.places.values() if place.is_keyed)
    assert usage.by_key == (keyed if usage.per_key is not None else {})
    assert usage.unkeyed == sum(not place.is_keyed for place in usage.places.values())
    running = {key: place for key, place in usage.places.items() if not place.is_zombie}
    return usage.rules, running, dict(usage.arrivals_ns)


def contents(state: LiveState) -> tuple[object, ...]:
    """What two states have in common that are the same but for whose data is in memory at the moment."""
    tasks = {task.id: without_large_data(task) for task in state.tasks.values()}
    assert len(tasks) == len(state.tasks)
    counted_anew = LiveTasks()
    counted_anew.put(state.tasks.values())
    assert [vars(counted_anew)[key] for key in COUNTED] == [vars(state.tasks)[key] for key in COUNTED]
    alive = (
        *(tasks, dict(state.functions), list(state.schedules.items()), list(state.used_keys.items())),
        list(state.operations.items()),
    )
    keys_anew = UniqueKeys(counted_anew)
    for task in state.tasks.values():
        keys_anew.added(task)
    keys_anew.keep(state.unique.kept.values())
    assert [state.unique.holders, state.unique.kept] == [keys_anew.holders, keys_anew.kept]
    assert dict(state.unique.shares.all()) == dict(keys_anew.shares.all())
    assert counted_anew.beside_bytes == state.tasks.beside_bytes
    assert state.active == Counter(task.schedule_id for task in tasks.values() if task.schedule_id is not None)
    reacting: list[Any] = [list(state.events.dispatchers.items()), list(state.events.subscriptions.items())]
    by_type = {each.event_type: list(state.events.dispatchers_of(each.event_type)) for _, each in reacting[0]}
    reacting.append(by_type)
    kept = (dict(state.unique.kept), list(state.events.owed), state.events.count, state.pause)
    used = {name: used_up(usage) for name, usage in state.usages.by_function.items()}
    return *alive, *reacting, *kept, *told(state), used, state.last_seq, state.last_id, state.ended


def told(state: LiveState) -> tuple[object, ...]:
    """What is to be delivered."""
    kept = state.webhooks
    held = Counter(each.webhook_id for each in kept.waiting.values())
    assert dict(kept.shares.all()) == held
    for webhook_id in kept.webhooks:
        assert kept.due_ms(webhook_id) is None or webhook_id in held
    assert (kept.owed_bytes == 0) == (not kept.owed)
    owed = {task_id: replace(task, data=b"") for task_id, task in kept.owed.items()}
    return list(kept.webhooks.items()), kept.wanted, owed, dict(kept.waiting)


@settings(max_examples=200, deadline=None)
@given(script=operations)
def test_replay_equals_the_live_state_after_any_prefix(memory: Path, script: list[tuple[str, Any]]) -> None:
    directory = Path(tempfile.mkdtemp(dir=memory))
    journal = directory / "journal"

    async def live() -> dict[int, tuple[object, ...]]:
        driver = Driver(directory, segment_mib=64)
        await driver.store.start()
        path = segments(journal)[0][0].path
        seen = {path.stat().st_size: contents(driver.state)}
        for name, argument in script:
            await driver.do(name, argument)
            seen[path.stat().st_size] = contents(driver.state)
        await driver.store.stop()
        assert not driver.fatal
        return seen

    seen = asyncio.run(live())
    path = segments(journal)[0][0].path
    whole = path.read_bytes()
    for length, expected in seen.items():
        path.write_bytes(whole[:length])
        assert contents(replayed(journal)) == expected
        path.write_bytes(whole[: length + 11])  # and a beginning of the next frame changes nothing
        assert contents(replayed(journal)) == expected
    shutil.rmtree(directory)


@settings(max_examples=150, deadline=None)
@given(script=operations_with_compaction)
def test_compaction_changes_nothing_that_a_restart_can_see(memory: Path, script: list[tuple[str, Any]]) -> None:
    """With a segment for every commit, so that there is always something to compact."""
    directory = Path(tempfile.mkdtemp(dir=memory))

    async def live_then_restart() -> None:
        driver = Driver(directory, segment_mib=0)
        await driver.store.start()
        for name, argument in script:
            await driver.do(name, argument)
            await driver.store._compactor.stop()  # files must not change while they are read
            assert contents(replayed(directory / "journal")) == contents(driver.state)
        await driver.store.compact()
        before = contents(driver.state)
        listed = (await driver.store.find(parse("limit(100)"))).rows
        published = (await driver.store.find_events(parse("limit(100)"))).rows
        await driver.store.stop()
        again = Driver(directory, segment_mib=0)
        await again.store.start()
        assert contents(again.state) == before
        assert (await again.store.find(parse("limit(100)"))).rows == listed
        assert not driver.deleted.intersection(task.id for task in listed)
        assert (await again.store.find_events(parse("limit(100)"))).rows == published
        for task in driver.ended.values():
            # whether it was executed directly decides about retries alone, and so is not kept
            found = await again.store.get(task.id)
            # which replays there are of it, it may have learned afterwards
            assert replace(found, extras=None) == replace(task, direct=False, extras=None)
        await again.store.stop()
        assert not driver.fatal
        assert not again.fatal

    asyncio.run(live_then_restart())
    shutil.rmtree(directory)
