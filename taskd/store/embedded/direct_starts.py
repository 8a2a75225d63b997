"""Starts past the queue: they come under their function's start rules like all others, but do not wait."""

from taskd.model.errors import CONCURRENT_EXECUTIONS, ContractError
from taskd.model.start_rules import Keys
from taskd.model.task import Task
from taskd.store.embedded.queue.usage import NO_PLACE, Usages


def take_place(usages: Usages, task: Task, now_ms: int) -> tuple[Keys, ...]:
    """``task``, which has its data, takes its place as it starts now; gives its keys for the event that says so.

    :raises ContractError: ``CONCURRENT_EXECUTIONS`` if a rule has no room; nothing has changed then.
    """
    usage = usages.by_function.get(task.function_name)
    if usage is None:
        return ()
    usages.expire(now_ms)
    keys = usage.read_keys(task.data)
    opens_ms = max(usage.opens_ms(now_ms), usage.key_opens_ms(keys, now_ms))
    if opens_ms > now_ms:
        raise _refusal(task.function_name, opens_ms - now_ms if opens_ms != NO_PLACE else None)
    usage.take(task.id, keys, now_ms)
    return usages.keys_of([task])


def _refusal(name: str, wait_ms: int | None) -> ContractError:
    if wait_ms is None:
        why = "runs as often at once as its executionOptions.concurrency allows; try again when a run has ended"
    else:
        why = f"has started as often as its executionOptions.throttle allows; try again in {wait_ms / 1000:g} s"
    return ContractError(CONCURRENT_EXECUTIONS, f"The function {name} {why}.")
