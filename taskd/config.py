"""The configuration: the settings of every package, read from one TOML file and checked before anything starts.

The packages own their settings, with the range of each number, and know nothing of this file; here they are only put
together, and rules about other values stand here. Nothing is opened or started here.
"""

import difflib
import ipaddress
import re
import reprlib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from taskd.api.settings import ServerSettings
from taskd.audit.settings import AuditSettings
from taskd.auth.settings import AuthSettings, Mode
from taskd.execution.settings import DispatchSettings
from taskd.maintenance.settings import RetentionSettings
from taskd.model.errors import TaskdError
from taskd.model.limits import INDEXES_MAX, Range
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.local.settings import LocalSettings
from taskd.store.embedded.settings import StoreSettings
from taskd.system.logging import LogSettings
from taskd.webhooks.settings import WebhookSettings

RuntimeName = Literal["local", "aws"]

_DIGITS = re.compile(r"[0-9]{1,5}")
_HOST = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_ORIGIN = re.compile(r"https?://(?:\*\.)?(?:[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_INDEXED_FIELD = re.compile(r"data(\.[^.]+){1,8}")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}")
_NAME_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,40}")
_TAG_NAME = re.compile(r"[\w .:/=+@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
_TAGS_MAX = 49
"""AWS takes 50 on a function, and one of them says that it is taskd's."""


class ConfigError(TaskdError):
    """The configuration cannot be used; ``problems`` has one line for each thing to put right."""

    def __init__(self, source: str, problems: list[str]) -> None:
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))
        self.source = source
        self.problems = problems


class ListenAddress(NamedTuple):
    """Where the server listens; ``host`` is without brackets."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than ``localhost`` is taken to be public."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def text(self) -> str:
        """``HOST:PORT``, as :func:`parse_listen` takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """What to put into a browser or a client, without a slash at the end."""
        return f"http://{self.text}"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    runtime: RuntimeName = "local"
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    audit: AuditSettings = AuditSettings()
    store: StoreSettings = StoreSettings()
    dispatch: DispatchSettings = DispatchSettings()
    aws: AwsSettings = AwsSettings()
    local: LocalSettings = LocalSettings()
    retention: RetentionSettings = RetentionSettings()
    webhooks: WebhookSettings = WebhookSettings()
    log: LogSettings = LogSettings()

    @property
    def listen(self) -> ListenAddress:
        """Where the server listens."""
        return parse_listen(self.server.listen)

    @property
    def authentication(self) -> Mode:
        """Whether callers must show who they are."""
        return self.auth.mode or "required"


class Overrides(Struct, frozen=True):
    """What the command line says over the file; ``None`` leaves the file's value."""

    data: str | None = None
    listen: str | None = None
    runtime: RuntimeName | None = None
    insecure: bool = False
    """Where the file does not say otherwise nobody is asked who they are, also beyond this machine."""


def load_config(path: Path | None = None, overrides: Overrides | None = None) -> Config:
    """The configuration of the file at ``path`` (or the defaults), with ``overrides`` over it, checked.

    :raises ConfigError: names the file, and for each problem the key path and the rule.
    """
    overrides = overrides or Overrides()
    source = str(path) if path else "configuration"
    document = _read(path) if path else {}
    problems = list(_shape_problems(document, Config))
    if problems:
        raise ConfigError(source, problems)
    config = _apply(msgspec.convert(document, Config), overrides)
    problems = list(_value_problems(config, insecure=overrides.insecure))
    if problems:
        raise ConfigError(source, problems)
    return config


def parse_listen(text: str) -> ListenAddress:
    """``HOST:PORT``, an IPv6 host in brackets (``[::1]:8080``).

    :raises ValueError: says what is wrong with ``text``.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not colon or not host or (":" in host) != bracketed:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    if not (_DIGITS.fullmatch(port) and int(port) <= 65_535):
        raise ValueError(f"{port!r} in {text!r} is not a port: it must be a number from 0 to 65535")
    return ListenAddress(host, int(port))


def settings(config: Config) -> Iterator[tuple[str, Any]]:
    """Every setting's key path with its value, in the order of declaration."""
    for name in config.__struct_fields__:
        value = getattr(config, name)
        if isinstance(value, Struct):
            yield from ((f"{name}.{field}", getattr(value, field)) for field in value.__struct_fields__)
        else:
            yield name, value


def ranges() -> dict[str, Range]:
    """The range of every number that can be set, by its key path."""
    return {
        f"{table.name}.{field.name}": each
        for table in msgspec.structs.fields(Config)
        if _is_struct(table.type)
        for field in msgspec.structs.fields(table.type)
        for each in getattr(field.type, "__metadata__", ())
        if isinstance(each, Range)
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except ValueError as error:  # also bytes that are no text, and numbers too long to be any
        raise ConfigError(str(path), [f"is not TOML: {error}"]) from error
    except RecursionError as error:
        raise ConfigError(str(path), ["is nested too deeply: no setting needs more than three levels"]) from error


def _shape_problems(table: dict[str, Any], shape: type[Struct], prefix: str = "") -> Iterator[str]:
    """What has an unknown key or a value of the wrong type. Each key is tried alone, so that all are reported."""
    fields = {field.name: field for field in msgspec.structs.fields(shape)}
    for key, value in table.items():
        if key not in fields:
            yield _unknown_key(prefix, key, list(fields))
        elif isinstance(value, dict) and _is_struct(fields[key].type):
            yield from _shape_problems(value, fields[key].type, f"{prefix}{key}.")
        else:
            yield from _type_problem(f"{prefix}{key}", value, fields[key].type)


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, Struct)


def _unknown_key(prefix: str, key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {prefix}{close[0]}?" if close else f"there are {', '.join(known)}"
    return f"{prefix}{key}: there is no such setting; {hint}"


def _type_problem(key: str, value: object, type_: Any) -> Iterator[str]:
    if get_origin(type_) is Literal:
        if value not in get_args(type_):
            yield f"{key} is {reprlib.repr(value)}: it must be one of {', '.join(get_args(type_))}"
        return
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        yield f"{key}: {error}"


def _apply(config: Config, overrides: Overrides) -> Config:
    return replace(
        config,
        runtime=overrides.runtime or config.runtime,
        store=replace(config.store, data=overrides.data or config.store.data),
        server=replace(config.server, listen=overrides.listen or config.server.listen),
        auth=replace(config.auth, mode=config.auth.mode or ("disabled" if overrides.insecure else None)),
    )


def _is_in(allowed: Range, value: float) -> bool:
    return allowed.low <= value <= allowed.high  # NaN is in no range


def _value_problems(config: Config, *, insecure: bool) -> Iterator[str]:
    allowed = ranges()
    for key, value in settings(config):
        if key in allowed and value is not None and not _is_in(allowed[key], value):
            yield f"{key} is {value}: it must be from {allowed[key].low} to {allowed[key].high}"
        if value == "" or (isinstance(value, str) and "\0" in value):
            yield f"{key}: must not be empty or hold a zero byte"
    yield from _endpoint_problems("aws.endpoint_url", config.aws.endpoint_url)
    yield from _endpoint_problems("aws.logs_endpoint_url", config.aws.logs_endpoint_url)
    yield from _endpoint_problems("auth.oidc_issuer", config.auth.oidc_issuer)
    yield from _endpoint_problems("auth.oidc_jwks_url", config.auth.oidc_jwks_url)
    yield from _network_problems("server.trusted_proxies", config.server.trusted_proxies)
    yield from _network_problems("webhooks.allow_networks", config.webhooks.allow_networks)
    yield from _name_problems(config.server)
    yield from _index_problems(config.store)
    yield from _deployment_problems(config.aws)
    yield from _path_problems("local.readable", config.local.readable)
    yield from _path_problems("local.writable", config.local.writable)
    yield from config.retention.problems
    yield from _issuer_problems(config.auth)
    yield from _listen_problems(config, insecure=insecure)


def _endpoint_problems(key: str, url: str | None) -> Iterator[str]:
    if url is None:
        return
    try:
        usable = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        usable = False
    if not usable:
        yield f"{key} is {url!r}: it must be a URL such as https://service.example.com"


def _path_problems(key: str, paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths:
        if not path.startswith("/") or "\0" in path:
            yield f"{key} has {path!r}: each must be a path from the root, such as /srv/models"


def _issuer_problems(auth: AuthSettings) -> Iterator[str]:
    if auth.oidc_issuer is not None and auth.oidc_audience is None:
        yield "auth.oidc_audience: must be set, or tokens that the issuer made for other services would do here"
    if auth.oidc_issuer is None and (auth.oidc_audience or auth.oidc_jwks_url):
        yield "auth.oidc_issuer: must be set for the other settings of the issuer to mean anything"


def _network_problems(key: str, networks: tuple[str, ...]) -> Iterator[str]:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield f"{key}: {error}; it must be an address or a network such as 10.0.0.0/24"


def _name_problems(server: ServerSettings) -> Iterator[str]:
    for host in server.hosts or ():
        if not _HOST.fullmatch(host):
            yield f"server.hosts has {host!r}: it must be a name such as tasks.example.com, without a port"
    for origin in server.origins:
        if not _ORIGIN.fullmatch(origin):
            yield f"server.origins has {origin!r}: it must be such as https://app.example.com or https://*.example.com"


def _index_problems(store: StoreSettings) -> Iterator[str]:
    if len(store.indexes) > INDEXES_MAX:
        yield f"store.indexes has {len(store.indexes)} fields: it may have {INDEXES_MAX}"
    for field in store.indexes:
        if not _INDEXED_FIELD.fullmatch(field):
            yield f"store.indexes has {field!r}: it must be a field inside of data, such as data.patient.id"


def _deployment_problems(aws: AwsSettings) -> Iterator[str]:
    if aws.role is not None and not _ROLE.fullmatch(aws.role):
        yield f"aws.role is {aws.role!r}: it must be an ARN such as arn:aws:iam::123456789012:role/functions"
    if aws.name_prefix is not None and not _NAME_PREFIX.fullmatch(aws.name_prefix):
        yield f"aws.name_prefix is {aws.name_prefix!r}: it must be at most 40 letters, digits, '-' and '_'"
    for name, value in aws.tags.items():
        if not _TAG_NAME.fullmatch(name) or name.lower().startswith("aws:") or not _TAG_VALUE.fullmatch(value):
            yield (
                f"aws.tags has {name!r} = {value!r}: names have 1 to 128 characters and do not start with 'aws:', "
                "values have at most 256, and both are of letters, digits, spaces and _ . : / = + - @"
            )
    if len(aws.tags) > _TAGS_MAX:
        yield f"aws.tags has {len(aws.tags)} tags: there may be {_TAGS_MAX} at most"


def _listen_problems(config: Config, *, insecure: bool) -> Iterator[str]:
    try:
        address = config.listen
    except ValueError as error:
        yield f"server.listen: {error}"
        return
    if config.auth.mode == "disabled" and not address.is_loopback and not insecure:
        yield (
            f"server.listen is {config.server.listen} and auth.mode is disabled: other machines could reach that "
            "address, and anyone who can connect could run code here. Set auth.mode to required or leave it out, "
            "listen on 127.0.0.1 and put a proxy that authenticates in front, or pass --insecure if the network "
            "itself is trusted"
        )
