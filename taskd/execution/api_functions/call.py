"""API functions: an HTTP request in, the function's own answer out, and a record of it left behind. No task is made."""

from msgspec import Struct

from taskd.execution.api_functions.event import ApiCall, encode_event
from taskd.execution.api_functions.result import ApiAnswer, answer_of
from taskd.execution.attendant import Attendant
from taskd.execution.attending import failure_of, final, require_callable
from taskd.execution.outcome import answer_within_s, error_of
from taskd.execution.synchronous import Slots
from taskd.model import errors
from taskd.model.api_request import ApiErrorType, ApiRequest, ApiRequestError
from taskd.model.errors import ContractError
from taskd.model.function import Function
from taskd.model.logline import LogLine
from taskd.runtime.base import FunctionError, Invocation, Success


class _Trace(Struct):
    """What is known of a call under way, for its record."""

    id: str
    began_ms: int
    logs: tuple[LogLine, ...] = ()
    error: ApiRequestError | None = None


class ApiFunctions(Attendant):
    """Calls API functions."""

    def _set_up(self) -> None:
        self._slots = Slots(self._settings.max_api_calls, errors.CONCURRENT_API_CALLS, "dispatch.max_api_calls")

    async def call(self, function: Function, call: ApiCall) -> ApiAnswer:
        """The function's answer. The call is recorded however it ends, also if nobody waits any more.

        :raises ContractError: ``UNAVAILABLE``, which leaves no record; ``FUNCTION_DISABLED``, ``API_TIME_LIMIT``,
            ``CONCURRENT_API_CALLS``, ``BODY_TOO_LARGE``, ``NOT_INVOKED``, ``FUNCTION_FAILED``, ``INVALID_API_RESULT``.
        """
        return await self._attended.attend(self._recorded(function, call))

    async def _recorded(self, function: Function, call: ApiCall) -> ApiAnswer:
        trace = _Trace(await self._store.begin_api_request(), self._clock())
        try:
            answer = await self._answer(function, call, trace)
        except ContractError as failure:
            if trace.error is None:
                trace.error = _as_told(ApiErrorType.INVOCATION, failure)
            await self._record(function, call, trace, failure.kind.http_status)
            raise
        await self._record(function, call, trace, answer.status)
        return answer

    async def _answer(self, function: Function, call: ApiCall, trace: _Trace) -> ApiAnswer:
        require_callable(function, errors.API_TIME_LIMIT)
        event = encode_event(call, trace.id, trace.began_ms, query_mark=self._settings.api_query_mark)
        with self._slots.slot():
            result = await self._runtime.invoke(
                Invocation(trace.id, function.name, event, answer_within_s(function)),
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

    async def _record(self, function: Function, call: ApiCall, trace: _Trace, status_code: int) -> None:
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
        await self._store.end_api_request(request, trace.logs)
        self._telemetry.called(None if trace.error is None else trace.error.type)


def _as_told(kind: ApiErrorType, failure: ContractError) -> ApiRequestError:
    return ApiRequestError(kind, failure.kind.name, failure.message)
