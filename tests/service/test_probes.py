"""What strangers try on the service as it ships: callers without credentials, web pages, and names that lead here."""

import json
from collections.abc import Iterator

import pytest
from support.service.machine import ACCOUNT, CONFIG, DATA, Machine

pytestmark = pytest.mark.boot

FUNCTIONS = "/tasks/v1/functions"
FUNCTION = {"name": "f", "runtime": "python3.11", "entryPoint": "index.handler", "code": "eA=="}
ID = "0" * 24
FOREIGN = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}]
FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]


def secured_calls(service: Machine) -> Iterator[tuple[str, str]]:
    """Every call that the service describes and asks for credentials for, on things that are not there."""
    for path, operations in service.api("/tasks/v1/openapi.json").body["paths"].items():
        for method, operation in operations.items():
            if operation["security"]:
                ids = dict.fromkeys(("id", "action_id", "delivery", "taskId"), ID)
                yield method.upper(), path.format(**ids, name="nobody", rest="x", path="x")


def test_no_call_is_answered_without_credentials_but_those_that_say_so(service: Machine) -> None:
    secured = list(secured_calls(service))
    assert len(secured) > 20
    service.token = None
    refused = {(method, path): service.api(path, {}, method) for method, path in secured}
    assert {call for call, answer in refused.items() if (answer.status, answer.body["code"]) != (401, 104)} == set()


def test_no_call_breaks_on_an_empty_body(service: Machine) -> None:
    for method, path in secured_calls(service):
        assert service.api(path, {}, method).status < 500, (method, path)
    assert "Traceback" not in service.log()


def test_a_name_that_was_made_to_lead_here_reads_nothing(service: Machine) -> None:
    service.token = None
    for path in ("/tasks/v1", "/health", "/metrics", "/tasks/v1/docs", FUNCTIONS):
        answer = service.api(path, Host="evil.example")
        assert (answer.status, answer.body["code"]) == (400, 26), path


def test_behind_a_proxy_credentials_pass_under_its_name_and_the_log_says_so_once(service: Machine) -> None:
    assert [service.api("/tasks/v1", Host="tasks.example.com").status for _ in range(2)] == [200, 200]
    assert service.log().count("tasks.example.com") == 1


def test_a_page_of_another_origin_can_call_nothing(service: Machine) -> None:
    for page in FOREIGN:
        for content_type in ("application/json", "text/plain"):
            created = service.api(FUNCTIONS, FUNCTION, Content_Type=content_type, **page)
            assert (created.status, created.body["code"]) == (401, 10), page
        assert service.api("/tasks/v1", **page).status == 401, page
    assert service.api(FUNCTIONS).body["data"] == []


def test_what_a_form_could_send_is_taken_from_no_page(service: Machine) -> None:
    for content_type in FORMS:
        answer = service.api(FUNCTIONS, FUNCTION, Origin="http://localhost:8080", Content_Type=content_type)
        assert (answer.status, answer.body["code"]) == (400, 26), content_type
    assert service.api(FUNCTIONS).body["data"] == []


def test_a_failed_login_is_logged_with_the_address_that_the_proxy_saw(service: Machine) -> None:
    """The client's own ``X-Forwarded-For`` stands before the proxy's, and is nothing to go by."""
    application = service.taskd(
        "auth", "app", "add", "web", "--kind", "oauth2", "--public", "--json", "--config", CONFIG
    )
    service.run("systemctl reload taskd")
    login = {"grant_type": "password", "username": ACCOUNT, "password": "wrong"}
    login["client_id"] = json.loads(application)["client_id"]
    service.token = None
    answer = service.api("/auth/v2/oauth2/tokens", login, X_Forwarded_For="198.51.100.7, 203.0.113.9")
    assert answer.status == 400
    assert f"login_failed address=203.0.113.9 user={ACCOUNT}" in service.log()
    assert "198.51.100.7" not in service.log()


def test_other_users_of_the_machine_read_nothing_and_are_asked_who_they_are(service: Machine) -> None:
    for user in ("nobody", "daemon"):
        as_other = f"setpriv --reuid {user} --regid nogroup --clear-groups"
        for path in (f"{DATA}/", f"{DATA}/auth.key", f"{DATA}/auth.toml", f"/proc/{service.show('MainPID')}/environ"):
            assert service.try_to(f"{as_other} head -c 1 {path}").returncode != 0, path
        answered = service.run(f"{as_other} curl -s -o /dev/null -w '%{{http_code}}' localhost:8080/tasks/v1")
        assert answered == "401"
