"""The application: every resource under its path, every error in the contract's shape."""

from collections.abc import Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry

from taskd.api.http.admission import Admission
from taskd.api.http.auditing import Auditor
from taskd.api.http.authentication import Authentication
from taskd.api.http.authorization import Authenticate, WhoeverItIs, trust_everybody
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.open_logins import open_logins
from taskd.api.http.pages import Pages
from taskd.api.http.request_source import RequestSource
from taskd.api.http.route_table import REQUEST_SOURCE, ROUTE_TABLE, route_table
from taskd.api.http.routing import Mount, mounted, page_paths
from taskd.api.http.services import SERVED_BASES, served_bases
from taskd.api.http.waits import Waits
from taskd.api.openapi.handlers import DocHandlers
from taskd.api.resources.api_functions import ApiFunctionHandlers
from taskd.api.resources.api_requests import ApiRequestHandlers
from taskd.api.resources.audit import AuditHandlers
from taskd.api.resources.bulk import BulkHandlers
from taskd.api.resources.dispatchers import DISPATCHERS_PATH, DispatcherHandlers
from taskd.api.resources.events import EVENTS_PATH, EventHandlers
from taskd.api.resources.execute import ExecuteHandlers
from taskd.api.resources.function_logs import FunctionLogHandlers
from taskd.api.resources.functions import FunctionHandlers
from taskd.api.resources.oauth1_tokens import OAuth1TokenHandlers
from taskd.api.resources.oauth2_tokens import OAuth2TokenHandlers
from taskd.api.resources.operations import OperationHandlers
from taskd.api.resources.pause import PauseHandlers
from taskd.api.resources.probes import HealthCheck, ProbeHandlers
from taskd.api.resources.registration import RegistrationHandlers
from taskd.api.resources.roles import RoleHandlers
from taskd.api.resources.schedule_times import ScheduleTimeHandlers
from taskd.api.resources.schedules import ScheduleHandlers
from taskd.api.resources.task_logs import TaskLogHandlers
from taskd.api.resources.tasks import TaskHandlers
from taskd.api.resources.users import UserHandlers
from taskd.api.resources.webhook_deliveries import WebhookDeliveryHandlers
from taskd.api.resources.webhooks import WebhookHandlers
from taskd.api.settings import ServerSettings
from taskd.audit.trail import AuditTrail
from taskd.auth.service import AuthService
from taskd.auth.task_creators import TaskCreators
from taskd.execution.api_functions.call import ApiFunctions
from taskd.execution.deployment import Deployments
from taskd.execution.direct import DirectExecutions
from taskd.model.clock import Clock
from taskd.runtime.base import Runtime
from taskd.store.base import Objection, TaskStore, no_objection
from taskd.webhooks.addresses import AllowedAddresses

BASE_PATH = "/tasks/v1"
OWN_PATH = "/taskd/v1"
LOGIN_PATH = "/auth/v2"
USERS_PATH = "/users/v1"


def build_app(
    store: TaskStore,
    runtime: Runtime,
    settings: ServerSettings,
    clock: Clock,
    health: HealthCheck,
    *,
    executions: DirectExecutions,
    api_functions: ApiFunctions,
    authenticate: Authenticate = trust_everybody,
    auth: AuthService | None = None,
    registry: CollectorRegistry | None = None,
    trail: AuditTrail | None = None,
    webhook_addresses: AllowedAddresses | None = None,
) -> web.Application:
    """The HTTP API of ``store`` and ``runtime``; both must be started before it is served.

    ``auth`` lets callers log in and ask who they are; ``registry`` holds the metrics to serve; ``trail`` keeps who did
    what.
    """
    addresses = ClientAddresses(settings.trusted_proxies)
    admission = Admission(settings)
    waits = Waits(admission)
    pages = Pages(store, settings.page_max_bytes, admission.unread_answers)
    handlers = (
        TaskHandlers(store, waits, pages, clock, settings.body_max_bytes),
        BulkHandlers(store, clock, settings.bulk_body_max_bytes),
        TaskLogHandlers(store),
        ScheduleHandlers(store, clock, settings.body_max_bytes, pages, _objection(authenticate, auth)),
        ScheduleTimeHandlers(store, clock, settings.body_max_bytes),
        FunctionHandlers(store, Deployments(store, runtime), clock, settings.code_body_max_bytes),
        ExecuteHandlers(store, executions, clock, settings.body_max_bytes),
        FunctionLogHandlers(store, clock),
        ApiFunctionHandlers(store, api_functions, settings.body_max_bytes, addresses),
        ApiRequestHandlers(store, pages),
    )
    mounts = [Mount(BASE_PATH, [route for each in handlers for route in each.routes()], authenticate)]
    events = EventHandlers(store, settings.body_max_bytes, pages)
    mounts.append(Mount(EVENTS_PATH, list(events.routes()), authenticate))
    dispatchers = DispatcherHandlers(store, clock, settings.body_max_bytes, pages)
    mounts.append(Mount(DISPATCHERS_PATH, list(dispatchers.routes()), authenticate))
    own = list(PauseHandlers(store, clock, settings.body_max_bytes).routes())
    own += OperationHandlers(store, settings.body_max_bytes, pages).routes()
    webhook_handlers = (
        WebhookHandlers(store, clock, pages, webhook_addresses or AllowedAddresses()),
        WebhookDeliveryHandlers(store, pages),
    )
    own += [route for each in webhook_handlers for route in each.routes()]
    if trail is not None:
        own += AuditHandlers(trail, pages).routes()
    mounts.append(Mount(OWN_PATH, own, authenticate))
    if auth is not None:
        asks_callers = authenticate is not trust_everybody
        mounts += _account_mounts(auth, addresses, pages, clock, asks_callers=asks_callers)
    probes, served = ProbeHandlers(health, registry), served_bases(mount.base for mount in mounts)
    mounts += [Mount(base, list(probes.service_routes()), None) for base in sorted(served)]
    mounts.append(Mount("", list(probes.routes()), None))
    mounts.append(Mount(BASE_PATH, list(DocHandlers(mounts).routes()), None))
    auditor = None if trail is None else Auditor(trail, addresses)
    routes = [route for mount in mounts for route in mounted(mount, admission.anonymous_bodies, auditor)]
    app = _assembled(routes, admission)
    app[SERVED_BASES] = served
    app.on_shutdown.append(waits.end)
    app[REQUEST_SOURCE] = RequestSource(
        settings,
        pages=page_paths(mounts),
        own_bodies=f"{BASE_PATH}/api/",
        logins=(f"{LOGIN_PATH}/", f"{USERS_PATH}/register"),
        asks_callers=authenticate is not trust_everybody,
    )
    return app


def _assembled(routes: list[web.RouteDef], admission: Admission) -> web.Application:
    middlewares = [admission.middleware]
    app = web.Application(middlewares=middlewares)
    app.add_routes(routes)
    app[ROUTE_TABLE] = route_table(routes, middlewares)
    return app


def _objection(authenticate: Authenticate, auth: AuthService | None) -> Objection:
    return no_objection if auth is None or authenticate is trust_everybody else TaskCreators(auth).objection


def _account_mounts(
    auth: AuthService, addresses: ClientAddresses, pages: Pages, clock: Clock, *, asks_callers: bool
) -> Iterator[Mount]:
    """Logging in, where credentials are the handlers' own business; and who one is, as far as that can be told where
    nobody is asked."""
    handlers = (OAuth1TokenHandlers(auth, addresses), OAuth2TokenHandlers(auth, addresses))
    logins = [route for each in handlers for route in each.routes()]
    yield Mount(LOGIN_PATH, logins if asks_callers else list(open_logins(logins)), None)
    yield Mount(USERS_PATH, list(RegistrationHandlers(auth, addresses, clock).routes()), None)
    accounts = (RoleHandlers(auth, pages, clock), UserHandlers(auth, pages, clock))
    proof = Authentication(auth, addresses)
    authenticate = proof if asks_callers else WhoeverItIs(proof)
    yield Mount(USERS_PATH, [route for each in accounts for route in each.routes()], authenticate)
