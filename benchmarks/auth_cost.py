"""What asking callers who they are costs, beside a ``POST /`` that asks nobody.

A bearer token is checked in this process, many thousand times over, since what it takes would drown in the noise of a
whole request. The whole request is measured as well, also with a token that is not looked at: its head is longer to
parse. A task of someone known says besides who created it, which is written, indexed and answered.

OAuth 1 is there for comparison: each request has a signature of its own, which no cache can save.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import uvloop
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Request as WebRequest
from oauthlib.oauth1 import Client

from benchmarks.create import posted
from benchmarks.harness.daemons import BASE_PATH, running_daemon
from benchmarks.harness.harness import Harness, benchmark_options
from benchmarks.harness.load import Request
from benchmarks.harness.populate import HOUR_MS, body
from benchmarks.harness.study import Comparison, Figures, Study, Subject
from taskd.api.http.authentication import Authentication
from taskd.api.http.client_address import ClientAddresses
from taskd.auth import account_changes
from taskd.auth.account_file import render
from taskd.auth.account_source import AccountFiles
from taskd.auth.accounts import Accounts
from taskd.auth.secret_files import write_secret
from taskd.auth.service import AuthService
from taskd.auth.settings import AuthSettings
from taskd.model.clock import system_clock_ms

QUICK = {"seconds": 0.1, "connections": 2, "checks": 10}
UNASKED = "POST / that asks nobody"
_FIGURE = "CPU µs"
_EMAIL = "ada@example.com"
_PASSWORD = "only for this benchmark"
_HOST = "tasks.example.com"


class Callers:
    """A user with everything allowed, an API token, and an application of each kind."""

    def __init__(self) -> None:
        accounts = account_changes.grant(
            account_changes.add_user(Accounts(), _EMAIL, _PASSWORD, "", ""), _EMAIL, ["ALL"]
        )
        accounts, self.oauth1, self.consumer_secret = account_changes.add_application(
            accounts, "cli", "oauth1", public=False
        )
        accounts, self.oauth2, _ = account_changes.add_application(accounts, "web", "oauth2", public=True)
        self.accounts, self.api_token = account_changes.add_token(accounts, "ci", _EMAIL, (), expiry_ms=0)
        self.user = account_changes.find_user(accounts, _EMAIL)

    def write_accounts(self, data: Path) -> None:
        """Writes the accounts where a daemon finds them."""
        write_secret(data / "auth.toml", render(self.accounts))


async def _checked(requests: Sequence[WebRequest], authentication: Authentication) -> Figures:
    began_s = time.process_time()
    for request in requests:
        await authentication(request)
    return {_FIGURE: (time.process_time() - began_s) / len(requests) * 1e6}


def _bearer(token: str) -> WebRequest:
    return make_mocked_request("POST", BASE_PATH, headers={"Authorization": f"Bearer {token}", "Host": _HOST})


class Bench:
    """Measures checks of each kind of credentials, in this process."""

    def __init__(self, harness: Harness, callers: Callers, checks: int) -> None:
        self._harness = harness
        self._callers = callers
        self._checks = checks

    def api_token(self) -> Figures:
        """The same API token, again and again."""
        return self._measured(lambda _: [_bearer(self._callers.api_token)] * self._checks)

    def access_token(self) -> Figures:
        """The same access token, again and again."""
        return self._measured(lambda service: [_bearer(self._issued(service))] * self._checks)

    def new_access_token(self) -> Figures:
        """Access tokens that were not seen before."""
        return self._measured(lambda service: [_bearer(self._issued(service)) for _ in range(self._checks)])

    def signature(self) -> Figures:
        """Requests signed with OAuth 1."""
        return self._measured(lambda service: [self._signed(service) for _ in range(self._checks)])

    def _measured(self, requests: Callable[[AuthService], list[WebRequest]]) -> Figures:
        with self._harness.scratch() as folder:
            return uvloop.run(self._run(Path(folder), requests))

    async def _run(self, folder: Path, requests: Callable[[AuthService], list[WebRequest]]) -> Figures:
        self._callers.write_accounts(folder)
        service = AuthService(AuthSettings(), AccountFiles(AuthSettings(), folder), system_clock_ms)
        service.start()
        try:
            return await _checked(requests(service), Authentication(service, ClientAddresses(())))
        finally:
            await service.stop()

    def _issued(self, service: AuthService) -> str:
        return service.logins.grant(self._callers.user, self._callers.oauth2).access_token

    def _signed(self, service: AuthService) -> WebRequest:
        application = self._callers.oauth1
        login = service.logins.oauth1(self._callers.user, application)
        client = Client(application.key, self._callers.consumer_secret, login.token, login.secret)
        header = client.sign(f"http://{_HOST}{BASE_PATH}", "POST")[1]["Authorization"]
        return make_mocked_request("POST", BASE_PATH, headers={"Authorization": header, "Host": _HOST})


@click.command()
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--connections", default=64, show_default=True)
@click.option("--checks", default=5_000, show_default=True, help="Credentials checked, of each kind.")
@benchmark_options
def command(harness: Harness, seconds: float, connections: int, checks: int) -> None:
    """What asking callers who they are costs."""
    callers = Callers()
    start_ms = system_clock_ms() + HOUR_MS

    def post(mode: str, token: str) -> Figures:
        bodies = (body(number, start_ms, 100).decode() for number in range(100))
        requests = [Request("POST", BASE_PATH, text, token) for text in bodies]
        with harness.scratch() as folder:
            callers.write_accounts(Path(folder) / "data")
            with running_daemon(Path(folder), more=f'[auth]\nmode = "{mode}"\n') as daemon:
                return {_FIGURE: posted(daemon, requests, connections, seconds)["CPU µs/request"]}

    bench = Bench(harness, callers, checks)
    study = Study(
        name="auth-cost",
        title="Asking callers who they are",
        subjects=[
            Subject(UNASKED, lambda: post("disabled", "")),
            Subject("POST / that asks nobody, sent a token", lambda: post("disabled", callers.api_token)),
            Subject("POST / that asks for an API token", lambda: post("required", callers.api_token)),
            Subject("checking an API token", bench.api_token),
            Subject("checking an access token", bench.access_token),
            Subject("checking a new access token", bench.new_access_token),
            Subject("checking an OAuth 1 signature", bench.signature),
        ],
        settings={"connections": connections, "seconds": seconds, "checks": checks},
        plotted=(_FIGURE,),
        comparisons=[Comparison(_FIGURE, [UNASKED])],
    )
    harness.conduct(study)
