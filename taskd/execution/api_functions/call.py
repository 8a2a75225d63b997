"""API functions: an HTTP request in, the function's own answer out, and a record of it left behind. No task is made."""

import logging

from msgspec import Struct

from taskd.execution.api_functions.event import ApiCall, encode_event
from taskd.execution.api_functions.result import ApiAnswer, answer_of
from taskd.execution.outcome import answer_within_s, error_of
from taskd.execution.settings import DispatchSettings
from taskd.execution.slots import Slots
from taskd.execution.synchronous import SynchronousCalls, failure_of, final, require_callable
from taskd.model import errors
from taskd.model.api_request import ApiErrorType, ApiRequest, ApiRequestError
from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.function import Function
from taskd.model.logline import LogLine
from taskd.model.pause import require_unpaused
from taskd.runtime.base import FunctionError, Invocation, Runtime, Success
from taskd.store.base import StoreUnavailableError, TaskStore
from taskd.telemetry.metrics import Telemetry

log = logging.getLogger(__name__)


class _Trace(Struct):
    """What is known of a call under way, for its record."""

    id: str
    began_ms: int
    logs: tuple[LogLine, ...] = ()
    error: ApiRequestError | None = None


class ApiFunctions:
    """Calls API functions of one store on one runtime."""

    def __init__(
        self,
        store: TaskStore,
        runtime: Runtime,
        settings: DispatchSettings,
        calls: SynchronousCalls,
        *,
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._calls = calls
        self._query_mark = settings.api_query_mark
        self._slots = Slots(settings.max_api_calls, errors.CONCURRENT_API_CALLS, "dispatch.max_api_calls")
        self._clock = clock or store.now_ms
        self._telemetry = telemetry or Telemetry()

    async def call(self, function: Function, call: ApiCall) -> ApiAnswer:
        """The function's answer, before the call is recorded; that is done however it ends, also if nobody waits.

        :raises ContractError: ``UNAVAILABLE``, which leaves no record; ``FUNCTION_DISABLED``, ``API_TIME_LIMIT``,
            ``CONCURRENT_API_CALLS``, ``BODY_TOO_LARGE``, ``NOT_INVOKED``, ``FUNCTION_FAILED``, ``INVALID_API_RESULT``.
        """
        require_unpaused(self._store.pause())
        return await self._calls.run(self._recorded(function, call))

    async def _recorded(self, function: Function, call: ApiCall) -> ApiAnswer:
        trace = _Trace(await self._store.begin_api_request(), self._clock())
        try:
            answer = await self._answer(function, call, trace)
        except ContractError as failure:
            if trace.error is None:
                trace.error = _as_told(ApiErrorType.INVOCATION, failure)
            self._record(function, call, trace, failure.kind.http_status)
            raise
        self._record(function, call, trace, answer.status)
        return answer

    async def _answer(self, function: Function, call: ApiCall, trace: _Trace) -> ApiAnswer:
        require_callable(function, errors.API_TIME_LIMIT)
        event = encode_event(call, trace.id, trace.began_ms, query_mark=self._query_mark)
        owner = call.user_id or call.application_id or ""
        with self._slots.slot(owner):
            result = await self._runtime.invoke(
                Invocation(trace.id, function.name, event, answer_within_s(function), owner),
            )
        ended = final(result)
        if isinstance(ended, Success | FunctionError):
            trace.logs = ended.logs
        if isinstance(ended, Success):
            return self._read(ended.payload, trace)
        error = error_of(ended)
        trace.error = ApiRequestError(ApiErrorType(error.type), error.name, error.message)
        raise failure_of(error)

    def _read(self, result: bytes, trace: _Trace) -> ApiAnswer:
        try:
            return answer_of(result)
        except ContractError as failure:
            trace.error = _as_told(ApiErrorType.RESPONSE, failure)
            raise

    def _record(self, function: Function, call: ApiCall, trace: _Trace, status_code: int) -> None:
        request = ApiRequest(
            id=trace.id,
            function_name=function.name,
            method=call.method,
            path=call.target.removeprefix("/"),
            timestamp_ms=trace.began_ms,
            duration_ms=max(0, self._clock() - trace.began_ms),
            status_code=status_code,
            user_id=call.user_id,
            application_id=call.application_id,
            error=trace.error,
        )
        self._telemetry.called(None if trace.error is None else trace.error.type)
        self._calls.follow_up(self._keep(request, trace.logs))

    async def _keep(self, request: ApiRequest, logs: tuple[LogLine, ...]) -> None:
        try:
            await self._store.end_api_request(request, logs)
        except StoreUnavailableError as error:
            log.warning("The API request %s (%s) is not kept: %s", request.id, request.function_name, error)


def _as_told(kind: ApiErrorType, failure: ContractError) -> ApiRequestError:
    return ApiRequestError(kind, failure.kind.name, failure.message)
