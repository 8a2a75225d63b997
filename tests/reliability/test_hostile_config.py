"""Configuration files made to break things: each is a configuration, or is refused in words, whatever is in it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskd.config import Config, ConfigError, load_config
from taskd.config import settings as all_settings

KEYS = [key for key, _ in all_settings(Config())]
WORDS = [
    *KEYS,
    *{part for key in KEYS for part in key.split(".")},
    *("=", ".", ",", "\n", "#", "[", "]", "[[", "]]", "{", "}", '"', "'", '"""', "'''", "\\", "\\u0000"),
    *("true", "nan", "-inf", "1e400", "0xff", "-1", "1979-05-27T07:32:00Z", "07:32:00", "9" * 400),
]
VALUES = [
    *("0", "1", "-1", "1.5", "nan", "inf", "1e400", "true", "[]", "{}", "[[1]]", "1979-05-27", "07:32:00", "9" * 30),
    *('""', '"x"', '"\\u0000"', '"127.0.0.1:1"', '"0.0.0.0:1"', '"[::1"', '"http://[x"', '"https://[::1]:99999999"'),
    *('{"aws:x" = "y"}', '{a = "b"}', "{a = {b = 1}}"),
]
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=20).map("".join)
lines = st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)).map(lambda line: f"{line[0]} = {line[1]}\n")
contents = (
    st.binary(max_size=60)
    | texts.map(lambda text: text.encode(errors="surrogatepass"))
    | st.lists(lines, max_size=4).map(lambda some: "".join(some).encode())
)


def check(file: Path, content: bytes) -> list[str]:
    """The problems that ``content`` is refused for, none if it is taken; anything else is a fault."""
    file.write_bytes(content)
    try:
        assert isinstance(load_config(file), Config)
    except ConfigError as error:
        return error.problems
    return []


@settings(max_examples=400, deadline=None)
@given(content=contents)
def test_any_bytes_are_a_configuration_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    assert all(check(tmp_path_factory.getbasetemp() / "taskd.toml", content))


@pytest.mark.parametrize("number", ["9" * 5_000, "-" + "9" * 5_000])
def test_a_number_too_long_to_be_read_is_refused(tmp_path: Path, number: str) -> None:
    assert "is not TOML" in check(tmp_path / "taskd.toml", f"dispatch.max_in_flight = {number}".encode())[0]


@pytest.mark.parametrize(
    "text",
    [
        "runtime = " + "[" * 5_000,
        "runtime = " + "{a = " * 5_000,
        "[runtime" + ".a" * 5_000 + "]",
        "runtime" + ".a" * 5_000 + " = 1",
        "[store.data" + ".a" * 5_000 + "]",
        "[aws.tags" + ".a" * 5_000 + "]",
    ],
    ids=["lists", "tables", "header", "key", "value", "tags"],
)
def test_a_file_nested_thousands_deep_is_refused(tmp_path: Path, text: str) -> None:
    problem = check(tmp_path / "taskd.toml", text.encode())[0]
    assert len(problem) < 1_000
