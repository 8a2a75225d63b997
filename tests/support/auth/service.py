"""The accounts of a test in force, with a clock of the test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct
from support.auth.accounts import EVERYBODY, write_accounts
from support.clocks import FakeClock
from support.http.service import Service, http_service

from taskd.api.settings import ServerSettings
from taskd.auth.account_source import AccountFiles
from taskd.auth.accounts import Accounts
from taskd.auth.service import AuthService
from taskd.auth.settings import AuthSettings


class SecuredService(Struct):
    """A server that asks callers who they are."""

    service: Service
    auth: AuthService
    clock: FakeClock
    accounts_file: Path

    def change(self, accounts: Accounts) -> None:
        """Brings other accounts into force."""
        write_accounts(self.accounts_file, accounts)
        self.auth.reload()


@asynccontextmanager
async def secured_service(
    directory: Path,
    accounts: Accounts = EVERYBODY,
    settings: AuthSettings | None = None,
    server: ServerSettings | None = None,
) -> AsyncIterator[SecuredService]:
    """A server on a free port that knows ``accounts``."""
    clock = FakeClock()
    accounts_file = directory / "auth" / "auth.toml"
    write_accounts(accounts_file, accounts)
    settings = settings or AuthSettings()
    auth = AuthService(settings, AccountFiles(settings, accounts_file.parent), clock)
    auth.start()
    try:
        async with http_service(directory, server, auth=auth) as service:
            yield SecuredService(service, auth, clock, accounts_file)
    finally:
        await auth.stop()
