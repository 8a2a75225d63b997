"""What AWS's errors, settings and names mean for deployments."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ParamValidationError

from taskd.config import ConfigError, load_config
from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, UNAVAILABLE, ContractError, ErrorKind
from taskd.runtime.aws.function_names import FunctionNames, log_group
from taskd.runtime.aws.sdk_errors import translated_errors


def client_error(status: int, name: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": name, "Message": "because"}, "ResponseMetadata": {"HTTPStatusCode": status}}, ""
    )


def kind_of(error: Exception, otherwise: ErrorKind = INVALID_CONFIGURATION) -> ErrorKind:
    with pytest.raises(ContractError) as raised, translated_errors(otherwise):
        raise error
    return raised.value.kind


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "InvalidParameterValueException", INVALID_CONFIGURATION),
        (400, "CodeStorageExceededException", INVALID_CODE),
        (413, "RequestEntityTooLargeException", INVALID_CODE),
        (403, "AccessDeniedException", INVALID_CONFIGURATION),
        (403, "ExpiredTokenException", UNAVAILABLE),
        (409, "ResourceConflictException", UNAVAILABLE),
        (429, "TooManyRequestsException", UNAVAILABLE),
        (500, "ServiceException", UNAVAILABLE),
        (502, "502", UNAVAILABLE),
    ],
)
def test_what_an_error_of_aws_means(status: int, name: str, kind: ErrorKind) -> None:
    assert kind_of(client_error(status, name)) == kind


def test_the_error_names_what_aws_said_and_missing_permissions_say_where_to_look() -> None:
    with (
        pytest.raises(ContractError, match=r"AccessDeniedException.*because.*Running on AWS"),
        translated_errors(INVALID_CODE),
    ):
        raise client_error(403, "AccessDeniedException")


def test_an_open_question_is_answered_by_what_was_tried() -> None:
    assert kind_of(client_error(400, "InvalidParameterValueException"), INVALID_CODE) == INVALID_CODE


def test_a_lambda_out_of_reach_is_unavailable() -> None:
    assert kind_of(ConnectTimeoutError(endpoint_url="http://x")) == UNAVAILABLE
    assert kind_of(ParamValidationError(report="Invalid length")) == INVALID_CONFIGURATION


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ('role = "functions"', "aws.role is 'functions'"),
        ('name_prefix = "über-"', "aws.name_prefix"),
        ('name_prefix = ""', "aws.name_prefix: must not be empty"),
        ('tags = { "aws:mine" = "x" }', "aws.tags has 'aws:mine'"),
        ('tags = { "a<b" = "x" }', "aws.tags has 'a<b'"),
        ("tags = { a = 1 }", "aws.tags"),
        ("tags = {" + ", ".join(f"t{n} = ''" for n in range(50)) + "}", "aws.tags has 50 tags"),
        ('logs_endpoint_url = "localhost"', "aws.logs_endpoint_url is 'localhost'"),
        ("deploy_timeout_s = 0", "aws.deploy_timeout_s is 0"),
    ],
)
def test_a_setting_that_aws_would_not_take_is_named_at_the_start(tmp_path: Path, setting: str, problem: str) -> None:
    path = tmp_path / "taskd.toml"
    path.write_text(f"[aws]\n{setting}\n")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert any(line.startswith(problem) for line in raised.value.problems), raised.value.problems


def test_a_function_named_like_the_beginning_of_an_arn_is_no_trap() -> None:
    names = FunctionNames("p-")
    names.add(["arn", "f"])
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:f"
    assert [names.resolve(name) for name in ("arn", "f", "f:1", arn, "g")] == ["p-arn", "p-f", "p-f:1", arn, "g"]
    names.remove("f")
    assert names.resolve("f") == "f"


@pytest.mark.parametrize(
    "reference",
    [
        "f",
        "f:live",
        "123456789012:function:f",
        "arn:aws:lambda:eu-west-1:123456789012:function:f",
        "arn:aws:lambda:eu-west-1:123456789012:function:f:live",
    ],
)
def test_the_log_group_of_every_way_to_name_a_function(reference: str) -> None:
    assert log_group(reference) == "/aws/lambda/f"


@pytest.mark.parametrize("reference", ["function", "function:live", "123456789012:function:function"])
def test_a_function_that_is_called_function_has_a_log_group_too(reference: str) -> None:
    assert log_group(reference) == "/aws/lambda/function"
