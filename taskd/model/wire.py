"""The JSON shapes of the contract, made from the model: what clients and functions read."""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import asdict

from taskd.model import limits
from taskd.model.api_request import ApiRequest, ApiRequestError
from taskd.model.function import Function, PermissionMode, RetryPolicy
from taskd.model.logline import LogLine
from taskd.model.retention import Retention
from taskd.model.schedule import NEVER_MS, Overlap, Schedule
from taskd.model.start_rules import StartRules
from taskd.model.task import Task, TaskError
from taskd.model.task_extras import OnConflict, TaskExtras, UniqueRule, WhileKind
from taskd.model.timestamps import format_ms


class AffectedRecords(Struct, rename="camel"):
    """How many records a call changed."""

    affected_records: int = 1


class ErrorView(Struct, gc=False):
    """Why a task or an API request failed."""

    type: str
    name: str
    message: str


class UniqueView(Struct, gc=False):
    """The key of a task, and while it keeps others of that key out: ``pending``, ``active``, or seconds."""

    key: str
    while_: WhileKind | int = msgspec.field(name="while")


def _unique_view(extras: TaskExtras | None) -> UniqueView | UnsetType:
    return UNSET if extras is None or extras.unique is None else UniqueView(extras.unique.key, extras.unique.lasts)


class TaskView(Struct, rename="camel", gc=False):
    """A task as clients see it, and as functions get it for their event."""

    id: str
    status: str
    status_changed_timestamp: str
    function_name: str
    data: Raw
    start_timestamp: str
    tags: tuple[str, ...]
    priority: int
    creation_timestamp: str
    update_timestamp: str
    created_by_application_id: str | UnsetType = UNSET
    created_by_user_id: str | UnsetType = UNSET
    retried_by_task_id: str | UnsetType = UNSET
    retry_for_task_ids: tuple[str, ...] | UnsetType = UNSET
    error: ErrorView | UnsetType = UNSET
    schedule_id: str | UnsetType = UNSET
    unique: UniqueView | UnsetType = UNSET
    replay_of_task_id: str | UnsetType = UNSET
    replayed_by_task_id: str | UnsetType = UNSET
    """The newest of its replays."""


def task_view(task: Task) -> TaskView:
    """``task`` in the contract's shape; fields that are not set are left out."""
    changed, extras = format_ms(task.status_changed_ms), task.extras
    return TaskView(
        id=task.id,
        status=task.status.value,
        status_changed_timestamp=changed,
        function_name=task.function_name,
        data=Raw(task.data),
        start_timestamp=format_ms(task.start_ms),
        tags=task.tags,
        priority=task.priority,
        creation_timestamp=format_ms(task.creation_ms),
        update_timestamp=changed,
        created_by_application_id=task.created_by_application_id or UNSET,
        created_by_user_id=task.created_by_user_id or UNSET,
        retried_by_task_id=task.retried_by_task_id or UNSET,
        retry_for_task_ids=task.retry_for_task_ids or UNSET,
        error=_error_view(task.error),
        schedule_id=task.schedule_id or UNSET,
        unique=UNSET if task.extras is None else _unique_view(task.extras),
        replay_of_task_id=(extras and extras.replay_of_task_id) or UNSET,
        replayed_by_task_id=(extras and extras.replayed_by_task_id) or UNSET,
    )


class ApiRequestView(Struct, rename="camel", gc=False):
    """An API request as clients see it; ``duration`` is in seconds."""

    id: str
    function_name: str
    method: str
    path: str
    timestamp: str
    status_code: int
    duration: float
    user_id: str | UnsetType = UNSET
    application_id: str | UnsetType = UNSET
    error: ErrorView | UnsetType = UNSET


def api_request_view(request: ApiRequest) -> ApiRequestView:
    """``request`` in the contract's shape; fields that are not set are left out."""
    return ApiRequestView(
        id=request.id,
        function_name=request.function_name,
        method=request.method,
        path=request.path,
        timestamp=format_ms(request.timestamp_ms),
        status_code=request.status_code,
        duration=request.duration_ms / 1000,
        user_id=request.user_id or UNSET,
        application_id=request.application_id or UNSET,
        error=_error_view(request.error),
    )


def _error_view(error: TaskError | ApiRequestError | None) -> ErrorView | UnsetType:
    if error is None:
        return UNSET
    return ErrorView(type=error.type.value, name=error.name, message=error.message)


_encoder = msgspec.json.Encoder()


def encode_task(task: Task) -> bytes:
    """The JSON text of ``task`` in the contract's shape."""
    return _encoder.encode(task_view(task))


class ExecutedTaskView(TaskView, kw_only=True, rename="camel", gc=False):
    """A task that was executed directly, and what its function returned."""

    result: Raw


def executed_task_view(task: Task, result: bytes) -> ExecutedTaskView:
    """``task`` with the ``result`` of its function; one that is not JSON becomes a string."""
    try:
        msgspec.json.decode(result, type=Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        result = _encoder.encode(result.decode(errors="replace"))
    return ExecutedTaskView(**asdict(task_view(task)), result=Raw(result))


class CreatedTaskView(TaskView, kw_only=True, rename="camel", gc=False):
    """A task that was created; or, with ``conflict``, who has its unique key."""

    conflict: bool | UnsetType = UNSET
    """Left out where there is none."""


def created_task_view(task: Task, *, conflict: bool) -> CreatedTaskView:
    """``task`` as the answer to a creation."""
    return CreatedTaskView(**asdict(task_view(task)), conflict=conflict or UNSET)


class UniqueRuleView(Struct, rename="camel", gc=False):
    """The key of a schedule's tasks."""

    key: str
    on_conflict: OnConflict
    while_: WhileKind | int = msgspec.field(name="while")


class ScheduleView(Struct, rename="camel", kw_only=True, gc=False):
    """A schedule as clients see it."""

    id: str
    interval: int | float | UnsetType = UNSET
    """Seconds; left out where there is a cron expression."""
    function_name: str
    data: Raw
    priority: int
    start_timestamp: str
    next_timestamp: str | UnsetType = UNSET
    """Left out where nothing is to come."""
    creation_timestamp: str
    update_timestamp: str
    created_by_application_id: str | UnsetType = UNSET
    created_by_user_id: str | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    """Left out where it is not."""
    pause_reason: str | UnsetType = UNSET
    cron: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    overlap: Overlap | UnsetType = UNSET
    """Left out where it is ``allow``."""
    catch_up_seconds: int | float | UnsetType = UNSET
    jitter_seconds: int | float | UnsetType = UNSET
    end_timestamp: str | UnsetType = UNSET
    remaining: int | UnsetType = UNSET
    note: str | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    buffered_timestamp: str | UnsetType = UNSET
    """When an occurrence was due that waits for the end of an earlier task."""
    unique: UniqueRuleView | UnsetType = UNSET


def schedule_view(schedule: Schedule) -> ScheduleView:
    """``schedule`` in the contract's shape; fields that are not set are left out."""
    has_next = not schedule.paused and schedule.next_ms != NEVER_MS
    return ScheduleView(
        id=schedule.id,
        interval=_seconds(schedule.interval_ms) if schedule.cron is None else UNSET,
        function_name=schedule.function_name,
        data=Raw(schedule.data),
        priority=schedule.priority,
        start_timestamp=format_ms(schedule.start_ms),
        next_timestamp=format_ms(schedule.next_ms) if has_next else UNSET,
        creation_timestamp=format_ms(schedule.creation_ms),
        update_timestamp=format_ms(schedule.update_ms),
        created_by_application_id=schedule.created_by_application_id or UNSET,
        created_by_user_id=schedule.created_by_user_id or UNSET,
        paused=schedule.paused or UNSET,
        pause_reason=schedule.pause_reason or UNSET,
        cron=schedule.cron or UNSET,
        time_zone=schedule.time_zone or UNSET,
        overlap=UNSET if schedule.overlap is Overlap.ALLOW else schedule.overlap,
        catch_up_seconds=UNSET if schedule.catch_up_ms is None else _seconds(schedule.catch_up_ms),
        jitter_seconds=_seconds(schedule.jitter_ms) or UNSET,
        end_timestamp=UNSET if schedule.end_ms is None else format_ms(schedule.end_ms),
        remaining=UNSET if schedule.remaining is None else schedule.remaining,
        note=schedule.note or UNSET,
        tags=schedule.tags or UNSET,
        buffered_timestamp=UNSET if schedule.buffered_ms is None else format_ms(schedule.buffered_ms),
        unique=UNSET if schedule.unique is None else unique_rule_view(schedule.unique),
    )


def unique_rule_view(rule: UniqueRule) -> UniqueRuleView:
    """``rule`` in the contract's shape."""
    return UniqueRuleView(rule.key, rule.on_conflict, rule.lasts)


class ScheduleTimes(Struct):
    """When tasks of a schedule are due."""

    data: list[str]


class FunctionRow(Struct, rename="camel"):
    """A function as a listing shows it."""

    name: str
    description: str
    update_timestamp: str


def function_row(function: Function) -> FunctionRow:
    """``function`` as a listing shows it."""
    return FunctionRow(function.name, function.description, format_ms(function.update_ms))


class EnvironmentValue(Struct):
    """The value of one environment variable."""

    value: str


class RetentionView(Struct, rename="camel", omit_defaults=True):
    """For how many seconds what a function's tasks leave is kept, where the function says so itself."""

    complete: float | UnsetType = UNSET
    failed: float | UnsetType = UNSET
    canceled: float | UnsetType = UNSET
    retried: float | UnsetType = UNSET
    api_requests: float | UnsetType = UNSET
    logs: float | UnsetType = UNSET


def _retention_view(retention: Retention) -> RetentionView | UnsetType:
    if not retention:
        return UNSET
    kept_ms = {name: getattr(retention, f"{name}_ms") for name in RetentionView.__struct_fields__}
    return RetentionView(**{name: _seconds(ms) for name, ms in kept_ms.items() if ms is not None})


class ConcurrencyView(Struct, rename="camel"):
    """How many tasks of a function run at once."""

    total: int | UnsetType = UNSET
    per_key: int | UnsetType = UNSET
    key: str | UnsetType = UNSET


class ThrottleView(Struct, rename="camel"):
    """How many tasks of a function start in a time."""

    limit: int
    period_seconds: int | float
    burst: int
    key: str | UnsetType = UNSET


class ExecutionOptionsView(Struct, rename="camel"):
    """Who may execute a function, how urgent its tasks are, and how long what they leave is kept."""

    permission_mode: PermissionMode
    default_priority: int
    retention: RetentionView | UnsetType = UNSET
    """Left out where the function says nothing of it."""
    concurrency: ConcurrencyView | UnsetType = UNSET
    """Left out where there is no such rule."""
    throttle: ThrottleView | UnsetType = UNSET
    """Left out where there is no such rule."""


class RetryPolicyView(Struct, rename="camel"):
    """Which failures are tried again, no names at all meaning every one; and when, where that was said.

    ``delays`` are seconds; each is longer by up to ``jitter`` of itself.
    """

    enabled: bool
    errors_to_retry: tuple[str, ...]
    delays: tuple[int | float, ...] | UnsetType = UNSET
    jitter: float | UnsetType = UNSET


def _retry_policy_view(policy: RetryPolicy) -> RetryPolicyView:
    is_usual = policy.delays_ms == limits.RETRY_DELAYS_MS
    delays = UNSET if is_usual else tuple(_seconds(delay_ms) for delay_ms in policy.delays_ms)
    return RetryPolicyView(policy.enabled, policy.errors_to_retry, delays, policy.jitter or UNSET)


def _seconds(ms: int) -> int | float:
    """Whole where it is."""
    whole, rest = divmod(ms, 1000)
    return ms / 1000 if rest else whole


class FunctionView(Struct, rename="camel"):
    """Everything about a function but its code."""

    name: str
    description: str
    enabled: bool
    entry_point: str
    runtime: str
    time_limit: int
    """Seconds."""
    memory_limit: int
    """Megabytes."""
    environment_variables: dict[str, EnvironmentValue]
    execution_options: ExecutionOptionsView
    retry_policy: RetryPolicyView
    update_timestamp: str
    paused: bool | UnsetType = UNSET
    """Left out where it is not."""
    pause_reason: str | UnsetType = UNSET
    external: bool | UnsetType = UNSET
    """Left out where it was deployed through this service."""


def _execution_options_view(function: Function) -> ExecutionOptionsView:
    rules = function.start_rules or StartRules()
    at_once, in_time = rules.concurrency, rules.throttle
    return ExecutionOptionsView(
        function.permission_mode,
        function.default_priority,
        _retention_view(function.retention),
        UNSET
        if at_once is None
        else ConcurrencyView(at_once.total or UNSET, at_once.per_key or UNSET, at_once.key or UNSET),
        UNSET
        if in_time is None
        else ThrottleView(in_time.limit, _seconds(in_time.period_ms), in_time.burst, in_time.key or UNSET),
    )


def function_view(function: Function) -> FunctionView:
    """``function`` in the contract's shape."""
    return FunctionView(
        name=function.name,
        description=function.description,
        enabled=function.enabled,
        entry_point=function.entry_point,
        runtime=function.runtime,
        time_limit=function.time_limit_s,
        memory_limit=function.memory_limit_mb,
        environment_variables={name: EnvironmentValue(value) for name, value in function.environment.items()},
        execution_options=_execution_options_view(function),
        retry_policy=_retry_policy_view(function.retry_policy),
        update_timestamp=format_ms(function.update_ms),
        paused=function.paused or UNSET,
        pause_reason=function.pause_reason or UNSET,
        external=function.external or UNSET,
    )


class FunctionLogLineView(Struct, rename="camel"):
    """A line of a function's log."""

    message: str
    event_timestamp: str


def function_log_line_view(line: LogLine) -> FunctionLogLineView:
    """``line`` in the log of its function."""
    return FunctionLogLineView(line.message, format_ms(line.timestamp_ms))


class LogLineView(Struct):
    """A line of a log."""

    message: str
    timestamp: str


def log_line_view(line: LogLine) -> LogLineView:
    """``line`` in the log of what printed it."""
    return LogLineView(line.message, format_ms(line.timestamp_ms))
