"""The configuration file: what is taken, what is refused, and what is said about it."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.config import (
    Config,
    ConfigError,
    ListenAddress,
    Overrides,
    load_config,
    parse_listen,
    ranges,
    settings,
)
from taskd.system.toml import toml_literal


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "taskd.toml"


def problems_of(path: Path | None, overrides: Overrides | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert caught.value.source == (str(path) if path else "configuration")
    return caught.value.problems


def test_without_a_file_everything_has_its_default() -> None:
    assert load_config() == Config()


@pytest.mark.parametrize("text", ["", "30", "1 day", "30s", "40000d", "-1d", "\u0663d"])
def test_a_retention_that_is_no_duration_or_too_short_or_too_long_is_refused(config_file: Path, text: str) -> None:
    config_file.write_text(f'[retention]\nfailed = "{text}"\n', encoding="utf-8")
    assert any("retention.failed" in problem for problem in problems_of(config_file))


def test_a_retention_is_a_duration(config_file: Path) -> None:
    config_file.write_text('[retention]\ncomplete = "1d12h"\nlogs = "1m"\nevents = "2m"\n')
    retention = load_config(config_file).retention.retention
    assert (retention.complete_ms, retention.logs_ms, retention.failed_ms) == (129_600_000, 60_000, None)
    assert retention.events_ms == 120_000


def test_an_empty_file_means_the_defaults(config_file: Path) -> None:
    config_file.touch()
    assert load_config(config_file) == Config()


def test_values_of_the_file_are_taken(config_file: Path) -> None:
    config_file.write_text('runtime = "aws"\n[dispatch]\nmax_in_flight = 7\ngrace_s = 5\n[aws]\nregion = "eu-west-1"\n')
    config = load_config(config_file)
    assert (config.runtime, config.dispatch.max_in_flight, config.aws.region) == ("aws", 7, "eu-west-1")
    assert config.dispatch.grace_s == 5.0


def test_the_command_line_wins_over_the_file(config_file: Path) -> None:
    config_file.write_text('runtime = "aws"\n[store]\ndata = "/from/file"\n')
    config = load_config(config_file, Overrides(data="/from/flag", listen="[::1]:0", runtime="local"))
    assert (config.store.data, config.server.listen, config.runtime) == ("/from/flag", "[::1]:0", "local")


def test_an_unknown_key_is_refused_with_the_one_meant(config_file: Path) -> None:
    config_file.write_text("[dispatch]\nmax_in_fligth = 7\n")
    assert problems_of(config_file) == [
        "dispatch.max_in_fligth: there is no such setting; did you mean dispatch.max_in_flight?"
    ]


def test_an_unknown_table_is_refused_with_those_there_are(config_file: Path) -> None:
    config_file.write_text("[zzz]\n")
    assert problems_of(config_file)[0].startswith("zzz: there is no such setting; there are runtime, server,")


def test_all_problems_are_told_at_once(config_file: Path) -> None:
    config_file.write_text('runtime = "gcp"\n[store]\nsegment_mib = "big"\n[log]\nlevel = "loud"\n')
    runtime, segment, level = problems_of(config_file)
    assert runtime == "runtime is 'gcp': it must be one of local, aws"
    assert segment == "store.segment_mib: Expected `int`, got `str`"
    assert level == "log.level is 'loud': it must be one of debug, info, warning, error"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("server = 1", "server"),
        ("[store]\ndata = {a = 1}", "store.data"),
        ("[store]\nsegment_mib = {a = 1}", "store.segment_mib"),
        ("[dispatch]\nmax_in_flight = true", "dispatch.max_in_flight"),
        ("[dispatch]\nmax_in_flight = 2.5", "dispatch.max_in_flight"),
        ("[aws]\nregion = []", "aws.region"),
        ("[[runtime]]", "runtime"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_its_key(config_file: Path, text: str, key: str) -> None:
    config_file.write_text(text)
    (problem,) = problems_of(config_file)
    assert problem.startswith(key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("hosts", host) for host in ["https://tasks.example.com", "tasks.example.com:443", "*.example.com", "a/b"]),
        *(
            ("origins", origin)
            for origin in ["app.example.com", "https://*", "*", "https://a.example.com/", "https://a.*.b"]
        ),
    ],
)
def test_a_host_or_an_origin_that_could_never_match_is_refused(config_file: Path, key: str, value: str) -> None:
    config_file.write_text(f'[server]\n{key} = ["{value}"]\n')
    (problem,) = problems_of(config_file)
    assert problem.startswith(f"server.{key} has {value!r}: it must be")


def test_hosts_and_origins_of_every_kind_are_taken(config_file: Path) -> None:
    hosts, origins = (
        ("tasks.example.com", "10.0.0.1", "fe80::1"),
        ("https://a.example.com:8443", "http://*.example.com"),
    )
    config_file.write_text(f"[server]\nhosts = {toml_literal(hosts)}\norigins = {toml_literal(origins)}\n")
    server = load_config(config_file).server
    assert (server.hosts, server.origins) == (hosts, origins)


@pytest.mark.parametrize("value", ["0", "-1", "65537"])
def test_a_number_out_of_range_is_refused_with_the_range(config_file: Path, value: str) -> None:
    config_file.write_text(f"[dispatch]\nmax_in_flight = {value}\n")
    assert problems_of(config_file) == [f"dispatch.max_in_flight is {value}: it must be from 1 to 65536"]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "0.0", "-3"])
def test_a_time_limit_that_is_no_positive_number_is_refused(config_file: Path, value: str) -> None:
    config_file.write_text(f"[store]\nlisting_time_limit_s = {value}\n")
    assert problems_of(config_file)[0].startswith("store.listing_time_limit_s is ")


def test_every_number_that_can_be_set_has_a_range_which_its_default_is_in() -> None:
    numbers = {key: value for key, value in settings(Config()) if type(value) in (int, float)}
    unset = {key for key, value in settings(Config()) if value is None}
    assert numbers.keys() == ranges().keys() - unset
    assert all(ranges()[key].low <= value <= ranges()[key].high for key, value in numbers.items())


@pytest.mark.parametrize("url", ["127.0.0.1:9001", "ftp://host", "http://", "https://[", "localhost"])
def test_an_endpoint_that_is_no_url_is_refused(config_file: Path, url: str) -> None:
    config_file.write_text(f'[aws]\nendpoint_url = "{url}"\n')
    assert problems_of(config_file)[0].startswith("aws.endpoint_url is ")


def test_an_empty_data_directory_is_refused(config_file: Path) -> None:
    config_file.write_text('[store]\ndata = ""\n')
    assert problems_of(config_file) == ["store.data: must not be empty or hold a zero byte"]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^/nowhere/taskd.toml: cannot be read: No such file or directory$"):
        load_config(Path("/nowhere/taskd.toml"))


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == ["cannot be read: Is a directory"]


def test_a_syntax_error_says_where(config_file: Path) -> None:
    config_file.write_text("[store\n")
    assert "line 1" in problems_of(config_file)[0]


def test_bytes_that_are_no_text_are_refused(config_file: Path) -> None:
    config_file.write_bytes(b"\xff\xfe\x00")
    assert problems_of(config_file)[0].startswith("is not TOML:")


LOOPBACK = ["127.0.0.1:0", "127.8.8.8:80", "[::1]:8080", "localhost:1"]
PUBLIC = ["0.0.0.0:8080", "[::]:80", "10.0.0.1:80", "example.com:80", "8.8.8.8:1"]


def test_a_proxy_that_is_no_address_or_network_is_named(config_file: Path) -> None:
    config_file.write_text('[server]\ntrusted_proxies = ["10.0.0.0/24", "proxy.example.com", "10.0.0.1/24"]')
    with pytest.raises(ConfigError) as caught:
        load_config(config_file)
    named, with_host_bits = caught.value.problems
    assert "'proxy.example.com'" in named
    assert "10.0.0.1/24" in with_host_bits


@pytest.mark.parametrize("listen", LOOPBACK)
def test_on_loopback_callers_must_show_who_they_are_unless_the_file_says_otherwise(
    config_file: Path, listen: str
) -> None:
    config = load_config(None, Overrides(listen=listen))
    assert config.listen.is_loopback
    assert config.authentication == "required"
    config_file.write_text('[auth]\nmode = "disabled"\n')
    assert load_config(config_file, Overrides(listen=listen)).authentication == "disabled"
    assert load_config(None, Overrides(listen=listen, insecure=True)).authentication == "disabled"
    config_file.write_text('[auth]\nmode = "required"\n')
    assert load_config(config_file, Overrides(listen=listen, insecure=True)).authentication == "required"


@pytest.mark.parametrize("listen", PUBLIC)
def test_beyond_loopback_callers_must_show_who_they_are(listen: str) -> None:
    config = load_config(None, Overrides(listen=listen))
    assert not config.listen.is_loopback
    assert config.authentication == "required"


@pytest.mark.parametrize("listen", PUBLIC)
def test_authentication_disabled_beyond_loopback_is_refused_with_what_to_do(config_file: Path, listen: str) -> None:
    config_file.write_text('[auth]\nmode = "disabled"\n')
    (problem,) = problems_of(config_file, Overrides(listen=listen))
    assert listen in problem
    assert "proxy that authenticates" in problem
    assert "--insecure" in problem


def test_asking_nobody_beyond_loopback_is_possible_when_asked_for(config_file: Path) -> None:
    config_file.write_text('[auth]\nmode = "disabled"\n')
    for path in (None, config_file):
        config = load_config(path, Overrides(listen="0.0.0.0:8080", insecure=True))
        assert config.listen == ListenAddress("0.0.0.0", 8080)
        assert config.authentication == "disabled"


def test_a_listen_address_in_the_file_is_held_to_the_same_rule(config_file: Path) -> None:
    config_file.write_text('[server]\nlisten = "0.0.0.0:8080"\n[auth]\nmode = "disabled"\n')
    assert "--insecure" in problems_of(config_file)[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('oidc_issuer = "https://login.example.com"', "auth.oidc_audience: must be set"),
        ('oidc_audience = "taskd"', "auth.oidc_issuer: must be set"),
        ('oidc_issuer = "login"\noidc_audience = "taskd"', "auth.oidc_issuer is 'login': it must be a URL"),
        ('mode = "maybe"', "auth.mode"),
    ],
)
def test_settings_of_authentication_that_make_no_sense_are_refused(config_file: Path, text: str, problem: str) -> None:
    config_file.write_text(f"[auth]\n{text}\n")
    assert problems_of(config_file)[0].startswith(problem)


@pytest.mark.parametrize("key", ["readable", "writable"])
def test_what_functions_may_use_is_named_from_the_root(config_file: Path, key: str) -> None:
    config_file.write_text(f'[local]\n{key} = ["/srv/models", "models"]\n')
    assert problems_of(config_file) == [
        f"local.{key} has 'models': each must be a path from the root, such as /srv/models"
    ]


@pytest.mark.parametrize(
    ("text", "host", "port", "url"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, "http://127.0.0.1:8080"),
        ("[::1]:0", "::1", 0, "http://[::1]:0"),
        ("example.com:65535", "example.com", 65535, "http://example.com:65535"),
    ],
)
def test_a_listen_address_is_taken_apart(text: str, host: str, port: int, url: str) -> None:
    assert parse_listen(text) == ListenAddress(host, port)
    assert parse_listen(text).url == url


NOT_HOST_AND_PORT = ["", ":", ":8080", "8080", "host", "::1:80", "[::1]", "[host]:80", "[::1:80"]
NOT_A_PORT = ["host:", "host:x", "host:-1", "host:65536", "host:٣", "host:" + "9" * 5000]


@pytest.mark.parametrize("text", NOT_HOST_AND_PORT)
def test_a_listen_address_without_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not HOST:PORT"):
        parse_listen(text)


@pytest.mark.parametrize("text", NOT_A_PORT, ids=range(len(NOT_A_PORT)))
def test_a_listen_address_with_an_impossible_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a port"):
        parse_listen(text)


@given(st.text(max_size=40))
def test_any_text_is_a_listen_address_or_refused(text: str) -> None:
    try:
        address = parse_listen(text)
    except ValueError:
        return
    assert address.host
    assert 0 <= address.port <= 65_535


def test_a_config_cannot_be_changed_by_accident() -> None:
    with pytest.raises(AttributeError):
        Config().runtime = "aws"  # type: ignore[misc]
    assert msgspec.structs.fields(Config)


@pytest.mark.parametrize("field", ["patient", "data", "data.", "data..a", ".data.a", "datax.a", "data" + 9 * ".a"])
def test_an_index_is_of_a_field_inside_of_data(config_file: Path, field: str) -> None:
    config_file.write_text(f'[store]\nindexes = ["data.a", "{field}"]\n')
    assert problems_of(config_file) == [
        f"store.indexes has {field!r}: it must be a field inside of data, such as data.patient.id"
    ]


def test_there_are_no_more_indexes_than_may_be(config_file: Path) -> None:
    config_file.write_text(f"[store]\nindexes = {[f'data.f{number}' for number in range(17)]}\n")
    assert problems_of(config_file) == ["store.indexes has 17 fields: it may have 16"]
