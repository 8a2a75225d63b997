"""Region, endpoint and credentials from the AWS environment, through the providers of the AWS SDK."""

import asyncio
import datetime
import json
import logging
from pathlib import Path

import pytest

from taskd.model.errors import TaskdError
from taskd.runtime.aws.client.endpoint import parse_endpoint
from taskd.runtime.aws.client.sigv4 import Credentials
from taskd.runtime.aws.credential_refresh import CredentialRefresher
from taskd.runtime.aws.environment import CredentialChain, find_environment, warn_of_proxy
from taskd.runtime.aws.settings import AwsSettings

LOCAL = "http://127.0.0.1:9001"


class AwsFiles:
    """The AWS configuration of a user who has nothing set but what the test sets."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config"
        self.credentials = folder / "credentials"
        self.process = folder / "process.json"

    def set_key(self, key: str) -> None:
        self.credentials.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\n")

    def set_temporary(self, key: str, expiration: str) -> None:
        """Credentials of an outside process, for the profile ``temporary``."""
        self.config.write_text(f"[profile temporary]\ncredential_process = /bin/cat {self.process}\n")
        answer = {
            "Version": 1,
            "AccessKeyId": key,
            "SecretAccessKey": "s",
            "SessionToken": "t",
            "Expiration": expiration,
        }
        self.process.write_text(json.dumps(answer))


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AwsFiles:
    for name in ("REGION", "DEFAULT_REGION", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    files = AwsFiles(tmp_path)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(files.config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(files.credentials))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return files


async def region_of(settings: AwsSettings) -> str:
    return (await find_environment(settings)).region


@pytest.mark.usefixtures("files")
async def test_without_a_region_the_error_says_what_to_set() -> None:
    with pytest.raises(TaskdError, match=r"Set region in \[aws\].*AWS_DEFAULT_REGION"):
        await find_environment(AwsSettings(endpoint_url=LOCAL))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("region", ["eu west", "eu-west-1\r\nX-Evil: 1", "../..", "-"])
async def test_a_region_that_is_none_is_refused(region: str) -> None:
    with pytest.raises(TaskdError, match="is not an AWS region"):
        await find_environment(AwsSettings(region=region, endpoint_url=LOCAL))


async def test_where_the_region_comes_from(files: AwsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert await region_of(AwsSettings(endpoint_url=LOCAL)) == "eu-west-1"
    files.config.write_text("[default]\nregion = eu-west-2\n[profile other]\nregion = eu-west-3\n")
    assert await region_of(AwsSettings(endpoint_url=LOCAL)) == "eu-west-2"
    assert await region_of(AwsSettings(endpoint_url=LOCAL, profile="other")) == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert await region_of(AwsSettings(endpoint_url=LOCAL)) == "eu-north-1"
    assert await region_of(AwsSettings(endpoint_url=LOCAL, region="us-east-1")) == "us-east-1"


async def test_where_the_endpoint_comes_from(files: AwsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.set_key("AKID")
    aws = await find_environment(AwsSettings(region="eu-west-1"))
    assert aws.endpoint == parse_endpoint("https://lambda.eu-west-1.amazonaws.com")
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://localhost:4566")
    configured = await find_environment(AwsSettings(region="eu-west-1"))
    assert configured.endpoint == parse_endpoint("http://localhost:4566")
    ours = await find_environment(AwsSettings(region="eu-west-1", endpoint_url=LOCAL))
    assert ours.endpoint == parse_endpoint(LOCAL)


@pytest.mark.usefixtures("files")
async def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(TaskdError, match="nobody"):
        await find_environment(AwsSettings(region="eu-west-1", profile="nobody", endpoint_url=LOCAL))


@pytest.mark.parametrize(
    ("variables", "url", "warned"),
    [
        ({}, "https://lambda.example.com", False),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "https://lambda.example.com", True),
        ({"https_proxy": "http://proxy:3128"}, "https://lambda.example.com", True),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".example.com"}, "https://lambda.example.com", False),
        ({"HTTPS_PROXY": "http://proxy:3128"}, LOCAL, False),
        ({"HTTP_PROXY": "http://proxy:3128"}, LOCAL, True),
    ],
)
def test_a_proxy_that_is_not_used_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variables: dict[str, str],
    url: str,
    *,
    warned: bool,
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    warn_of_proxy(parse_endpoint(url))
    assert ("invocations do not go through a proxy" in caplog.text) is warned


@pytest.mark.usefixtures("files")
async def test_without_credentials_the_error_says_what_to_set() -> None:
    with pytest.raises(TaskdError, match="AWS_ACCESS_KEY_ID"):
        await CredentialChain(None).current()


async def test_half_of_the_credentials_are_none(files: AwsFiles) -> None:
    files.credentials.write_text("[default]\naws_access_key_id = AKID\n")
    with pytest.raises(TaskdError, match="aws_secret_access_key"):
        await CredentialChain(None).current()


@pytest.mark.usefixtures("files")
async def test_credentials_with_a_line_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID\r\nX-Evil: 1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with pytest.raises(TaskdError, match="line end"):
        await CredentialChain(None).current()


async def test_temporary_credentials_are_renewed_before_they_end(files: AwsFiles) -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
    chain = CredentialChain("temporary")
    files.set_temporary("AKID1", soon.isoformat())
    assert await chain.current() == Credentials("AKID1", "s", "t")
    files.set_temporary("AKID2", "2199-01-01T00:00:00Z")
    assert await chain.current() == Credentials("AKID2", "s", "t")
    files.set_temporary("AKID3", "2199-01-01T00:00:00Z")
    assert await chain.current() == Credentials("AKID2", "s", "t")


async def test_temporary_credentials_that_have_ended_are_refused(files: AwsFiles) -> None:
    files.set_temporary("AKID1", "2020-01-01T00:00:00Z")
    with pytest.raises(TaskdError, match="expired"):
        await CredentialChain("temporary").current()


@pytest.mark.parametrize("output", ["", "not JSON", "[]", '{"Version": 1}'])
async def test_a_credential_process_that_fails_is_refused(files: AwsFiles, output: str) -> None:
    files.set_temporary("AKID1", "2199-01-01T00:00:00Z")
    files.process.write_text(output)
    with pytest.raises(TaskdError, match="cannot be used"):
        await CredentialChain("temporary").current()


async def test_rereading_tells_of_new_credentials(files: AwsFiles) -> None:
    files.set_key("AKID1")
    renewed: asyncio.Queue[Credentials] = asyncio.Queue()
    refresher = CredentialRefresher(None, renewed.put_nowait)
    assert await refresher.start() == Credentials("AKID1", "s")
    files.set_key("AKID2")
    refresher.reload()
    assert await renewed.get() == Credentials("AKID2", "s")
    await refresher.stop()
    await refresher.stop()


async def test_credentials_that_cannot_be_renewed_stay_in_use(
    files: AwsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    files.set_key("AKID1")
    renewed: list[Credentials] = []
    refresher = CredentialRefresher(None, renewed.append)
    await refresher.start()
    files.credentials.write_text("this is not a credentials file")
    refresher.reload()
    with caplog.at_level(logging.WARNING):
        await refresher._refresh()
    assert "stay in use" in caplog.text
    files.set_key("AKID2")
    refresher.reload()
    await refresher._refresh()
    assert renewed == [Credentials("AKID2", "s")]
    await refresher.stop()


async def test_credentials_that_did_not_change_are_not_told_of(files: AwsFiles) -> None:
    files.set_key("AKID1")
    renewed: list[Credentials] = []
    refresher = CredentialRefresher(None, renewed.append)
    await refresher.start()
    await refresher._refresh()
    assert not renewed
    await refresher.stop()
