"""The pool of sandboxes: which one runs which call, how many there are, and when one is ended.

Decides only; what a sandbox is made of, and what happens in one, is not its business.
"""

import asyncio
from collections.abc import Callable

from taskd.runtime.local import failures
from taskd.runtime.local.call_queue import Call, CallQueue
from taskd.runtime.local.deployed_function import DeployedFunction
from taskd.runtime.local.sandbox import Sandbox
from taskd.runtime.local.settings import LocalSettings

_AFFINITY_S = 0.5
"""While the call whose turn it is has not waited longer, a free sandbox goes on with calls of its own function.

Strictly in turns would make two busy functions take each other's sandboxes in turns, a cold start each time. And where
starts are slow, nothing but starts would be done once calls wait longer: so a sandbox also goes on for as long as this
since it was ready first.
"""
_TURNAROUND_S = 0.05
"""A sandbox that has answered asks for its next call well within this, which is less than a cold start takes."""


class SandboxPool:
    """Every sandbox there is, and every call that waits for one. Belongs to the running event loop."""

    def __init__(
        self,
        settings: LocalSettings,
        make: Callable[[DeployedFunction], Sandbox],
        on_busy: Callable[[], None],
        on_ended: Callable[[Sandbox], None],
    ) -> None:
        self._settings = settings
        self._make = make
        self._on_busy = on_busy
        self._on_ended = on_ended
        self._deployments: dict[str, DeployedFunction] = {}
        self._sandboxes: dict[Sandbox, asyncio.Task[None]] = {}
        self._cleaning: set[asyncio.Task[None]] = set()
        self._idle: dict[str, list[Sandbox]] = {}
        """Only sandboxes of what is deployed now; the last is the one used last. No list is empty."""
        self._waiting = CallQueue()
        self._wait_end: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._turnaround: asyncio.TimerHandle | None = None
        self._is_stopped = False

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def deployment(self, name: str) -> DeployedFunction | None:
        """What calls of the function run now."""
        return self._deployments.get(name)

    def names(self) -> list[str]:
        """The functions that can be called."""
        return list(self._deployments)

    def uses(self, deployment: DeployedFunction) -> bool:
        """Whether its code is run, or would be by the next call."""
        current = self._deployments.get(deployment.function.name)
        users = [current, *(sandbox.deployment for sandbox in self._sandboxes)]
        return any(user is not None and user.code == deployment.code for user in users)

    def busy(self) -> list[Sandbox]:
        """The sandboxes that have a current call."""
        return [sandbox for sandbox in self._sandboxes if sandbox.is_busy]

    def deploy(self, deployment: DeployedFunction) -> None:
        """New calls of the function run this; the warm sandboxes of what was before end."""
        current = self._deployments.get(deployment.function.name)
        if current is not None and current.is_interchangeable_with(deployment):
            return
        self._deployments[deployment.function.name] = deployment
        self._end_idle(deployment.function.name)

    def remove(self, name: str) -> None:
        """The function is unknown from now on, also to calls that wait; running ones finish."""
        self._deployments.pop(name, None)
        self._end_idle(name)
        self._serve_waiting()

    def _end_idle(self, name: str) -> None:
        for sandbox in self._idle.pop(name, ()):
            sandbox.end()

    def submit(self, call: Call) -> None:
        """Runs ``call`` now or as soon as there is a sandbox for it; its future gets the result."""
        if self._is_stopped:
            call.settle(failures.shutting_down())
        elif self._waiting.first() is not None or not self._serve(call):
            self._wait(call)

    def _wait(self, call: Call) -> None:
        call.waiting_since_s = self._loop.time()
        call.waits_until_s = call.waiting_since_s + min(self._settings.queue_wait_s, call.invocation.timeout_s)
        self._waiting.add(call)
        if self._wait_end is None or self._wait_end.when() > call.waits_until_s:
            self._arm_wait_end(call.waits_until_s)

    def _arm_wait_end(self, when_s: float) -> None:
        """One timer for all that wait: a timer for each call would cost a good part of the call itself."""
        if self._wait_end is not None:
            self._wait_end.cancel()
        self._wait_end = self._loop.call_at(when_s, self._end_waits)

    def _end_waits(self) -> None:
        """Refuses the calls that have waited for as long as they may."""
        self._wait_end = None
        now_s = self._loop.time()
        waiting = list(self._waiting)
        for call in waiting:
            if call.waits_until_s <= now_s:
                call.settle(failures.no_sandbox(call.waits_until_s - call.waiting_since_s))
        left_s = [call.waits_until_s for call in waiting if call.waits_until_s > now_s]
        if left_s:
            self._arm_wait_end(min(left_s))

    def _serve_waiting(self) -> None:
        while (call := self._waiting.first()) is not None and self._serve(call):
            self._waiting.remove(call)

    def _serve(self, call: Call) -> bool:
        """Has ``call`` run or settled with an error; ``False`` when it has to wait for a sandbox."""
        deployment = self._deployments.get(call.function_name)
        if deployment is None:
            call.settle(failures.unknown_function(call.function_name))
        elif deployment.error is not None:
            call.settle(deployment.error)
        elif idle := self._idle.get(call.function_name):
            sandbox = idle[-1]
            self._leave_idle(sandbox)
            self._assign(sandbox, call)
        elif self._is_full_and_busy() or self._is_turning_around(call.function_name):
            return False
        elif len(self._sandboxes) < self._settings.max_sandboxes:
            self._begin(deployment, call)
        else:
            self._make_room()
            return False
        return True

    def _is_full_and_busy(self) -> bool:
        """Whether nothing can be done for a call: most often so under load, and then known at once."""
        return len(self._sandboxes) >= self._settings.max_sandboxes and not self._idle

    def _is_turning_around(self, name: str) -> bool:
        """Whether a sandbox of what is deployed now is about to ask for a call; then it is waited for."""
        deployment, since_s = self._deployments[name], self._loop.time() - _TURNAROUND_S
        is_about_to = any(
            sandbox.deployment is deployment and sandbox.is_between_calls and sandbox.answered_s > since_s
            for sandbox in self._sandboxes
        )
        if is_about_to:
            self._arm_turnaround()
        return is_about_to

    def _arm_turnaround(self) -> None:
        """In case a sandbox takes its time to ask, or never does."""
        if self._turnaround is None:
            self._turnaround = self._loop.call_later(_TURNAROUND_S, self._end_turnaround)

    def _end_turnaround(self) -> None:
        self._turnaround = None
        self._serve_waiting()

    def _assign(self, sandbox: Sandbox, call: Call) -> None:
        sandbox.assign(call)
        self._waiting.began(call)
        self._on_busy()

    def _begin(self, deployment: DeployedFunction, call: Call) -> None:
        sandbox = self._make(deployment)
        self._sandboxes[sandbox] = sandbox.begin(call)
        self._waiting.began(call)
        self._on_busy()

    def _make_room(self) -> None:
        """Ends the sandbox that is idle longest, unless one is on its way out anyway."""
        idle = [sandbox for sandboxes in self._idle.values() for sandbox in sandboxes]
        if idle and not any(sandbox.is_ending for sandbox in self._sandboxes):
            self._end(min(idle, key=lambda sandbox: sandbox.idle_since_s))

    def _end(self, sandbox: Sandbox) -> None:
        self._leave_idle(sandbox)
        sandbox.end()

    def _leave_idle(self, sandbox: Sandbox) -> None:
        """``sandbox`` is no longer idle, if it was."""
        name = sandbox.deployment.function.name
        idle = self._idle.get(name, [])
        if sandbox in idle:
            idle.remove(sandbox)
            if not idle:
                del self._idle[name]

    def sandbox_is_idle(self, sandbox: Sandbox) -> None:
        """It takes the next call of its function, or waits for one, or is ended if its function has changed."""
        name = sandbox.deployment.function.name
        if self._deployments.get(name) is not sandbox.deployment:
            sandbox.end()
            return
        call = self._next_for(sandbox)
        if call is not None:
            self._waiting.remove(call)
            self._assign(sandbox, call)
        else:
            self._keep_idle(sandbox)
        self._serve_waiting()

    def _keep_idle(self, sandbox: Sandbox) -> None:
        sandbox.idle_since_s = self._loop.time()
        self._idle.setdefault(sandbox.deployment.function.name, []).append(sandbox)
        self._arm_expiry()

    def _next_for(self, sandbox: Sandbox) -> Call | None:
        """The waiting call that a free sandbox may take out of turn."""
        first = self._waiting.first()
        if first is None:
            return None
        if self._loop.time() - max(first.waiting_since_s, sandbox.ready_since_s) > _AFFINITY_S:
            return None
        return self._waiting.first_of(sandbox.deployment.function.name)

    def sandbox_has_ended(self, sandbox: Sandbox) -> None:
        """Its place is free."""
        cleaning = self._sandboxes.pop(sandbox)
        self._cleaning.add(cleaning)
        cleaning.add_done_callback(self._cleaning.discard)
        self._leave_idle(sandbox)  # its process ended between calls
        self._on_ended(sandbox)
        self._serve_waiting()

    def _arm_expiry(self) -> None:
        since_s = [sandbox.idle_since_s for sandboxes in self._idle.values() for sandbox in sandboxes]
        if since_s and self._expiry is None:
            self._expiry = self._loop.call_at(min(since_s) + self._settings.idle_expiry_s, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        newest_expired_s = self._loop.time() - self._settings.idle_expiry_s
        idle = [sandbox for sandboxes in self._idle.values() for sandbox in sandboxes]
        for sandbox in [sandbox for sandbox in idle if sandbox.idle_since_s <= newest_expired_s]:
            self._end(sandbox)
        self._arm_expiry()

    async def stop(self) -> None:
        """Refuses what waits, ends every sandbox, and returns when all are gone. Idempotent."""
        self._is_stopped = True
        for timer in (self._wait_end, self._expiry, self._turnaround):
            if timer is not None:
                timer.cancel()
        for call in self._waiting.remove_all():
            call.settle(failures.shutting_down())
        for sandbox in list(self._sandboxes):
            sandbox.end()
        await asyncio.gather(*self._sandboxes.values(), *self._cleaning, return_exceptions=True)
