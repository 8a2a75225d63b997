"""``auth.toml``: what is written is read, what is wrong is named, and no one else can read it."""

import multiprocessing
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.auth.accounts import ADA, BOB, EVERYBODY, OPERATORS, holder, with_holders, write_accounts

from taskd.auth import account_changes
from taskd.auth.account_directory import Directory
from taskd.auth.account_file import AccountFileError, read_accounts, render
from taskd.auth.account_file import editing as edit_file
from taskd.auth.accounts import AccountError, Accounts, User
from taskd.auth.secret_files import SecretFileError
from taskd.auth.signing_key import load_key, rotate_key
from taskd.model.permissions import Permission

EVERY_PERMISSION = frozenset(permission.value for permission in Permission)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "auth.toml"


def test_no_file_means_no_accounts(path: Path) -> None:
    assert read_accounts(path) == Accounts()


def test_what_is_written_is_read(path: Path) -> None:
    accounts = with_holders(EVERYBODY, holder(50, "VIEW_TASKS", "EXECUTE_API_FUNCTION:hook"))
    write_accounts(path, accounts)
    assert read_accounts(path) == accounts


@given(st.text(st.characters(codec="utf-8")))
def test_names_of_any_characters_survive(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any-characters.toml"
    accounts = replace(EVERYBODY, users=(replace(ADA, first_name=name),))
    write_accounts(path, accounts)
    assert read_accounts(path) == accounts


def test_the_files_are_their_owners_alone(path: Path) -> None:
    with edit_file(path) as edit:
        edit.accounts = EVERYBODY
    load_key(path.parent)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_open_to_others_is_refused_with_what_to_do(path: Path, mode: int) -> None:
    write_accounts(path)
    path.chmod(mode)
    with pytest.raises(SecretFileError, match=f"chmod 600 {path}"):
        read_accounts(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[users", "at end of document"),
        ("[[strangers]]", "unknown field `strangers`"),
        ('[[users]]\nid = "1"', "missing required field `email`"),
        ('[[users]]\nid = "1"\nemail = 1\npassword = "secret word"', "Expected `str`"),
    ],
)
def test_a_file_that_is_no_accounts_is_refused_by_its_place(path: Path, text: str, problem: str) -> None:
    write_accounts(path)
    path.write_text(text)
    with pytest.raises(AccountFileError, match=problem) as caught:
        read_accounts(path)
    assert "secret word" not in str(caught.value)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_what_is_no_file_is_refused_without_waiting_for_it(path: Path, make: Callable[[Path], None]) -> None:
    path.parent.mkdir()
    make(path)
    with pytest.raises(SecretFileError, match="is no file"):
        read_accounts(path)


def test_every_broken_rule_is_named_and_no_secret_quoted(path: Path) -> None:
    broken = replace(
        EVERYBODY,
        roles=(replace(OPERATORS, permissions=("FLY",)),),
        users=(ADA, replace(ADA, roles=("unheard-of",)), replace(BOB, id="7", password="in clear")),
    )
    write_accounts(path, broken)
    with pytest.raises(AccountFileError) as caught:
        read_accounts(path)
    message = str(caught.value)
    for problem in (
        "user ada@example.com is there 2 times",
        f"id {ADA.id} is there 2 times",
        "the id '7' is not 24 hexadecimal digits",
        "user bob@example.com: the password is no hash",
        "there is no role unheard-of",
        "there is no permission FLY",
    ):
        assert problem in message
    assert "in clear" not in message


def test_a_change_that_breaks_a_rule_changes_nothing(path: Path) -> None:
    write_accounts(path)
    before = path.read_text()
    with pytest.raises(AccountError, match="there is no permission FLY"), edit_file(path) as edit:
        edit.accounts = account_changes.grant(edit.accounts, BOB.email, ["FLY"])
    assert path.read_text() == before


def test_a_change_that_fails_half_way_changes_nothing(path: Path) -> None:
    write_accounts(path)
    before = path.read_text()
    with suppress(ZeroDivisionError), edit_file(path) as edit:
        edit.accounts = Accounts()
        raise ZeroDivisionError
    assert path.read_text() == before


def _grant_one(path: Path, name: str) -> None:
    with edit_file(path) as edit:
        edit.accounts = account_changes.grant(edit.accounts, BOB.email, [f"EXECUTE_TASK_FUNCTION:{name}"])


def test_changes_at_the_same_time_are_all_kept(path: Path) -> None:
    write_accounts(path)
    names = [f"function{number}" for number in range(8)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.starmap(_grant_one, [(path, name) for name in names])
    granted = account_changes.find_user(read_accounts(path), BOB.email).permissions
    assert {f"EXECUTE_TASK_FUNCTION:{name}" for name in names} == set(granted)


def test_users_come_and_go_with_their_tokens() -> None:
    accounts = account_changes.add_user(EVERYBODY, " Eve@Example.COM ", "long enough", "Eve", "")
    accounts, token = account_changes.add_token(accounts, "ci", "eve@example.com", ["VIEW_TASKS"], 0)
    assert token not in render(accounts)
    assert "long enough" not in render(accounts)
    assert account_changes.remove_user(accounts, "eve@example.com") == EVERYBODY


def test_another_password_ends_the_logins_of_before() -> None:
    user = account_changes.find_user(account_changes.set_password(EVERYBODY, ADA.email, "quite another"), ADA.email)
    assert (user.generation, user.password == ADA.password) == (1, False)
    assert account_changes.find_user(account_changes.end_logins(EVERYBODY, ADA.email), ADA.email).generation == 1


@pytest.mark.parametrize(
    ("email", "password", "problem"),
    [
        ("no address", "long enough", "is not an email address"),
        ("a@b\n", "short", "A password has 8 to 1024 characters"),
        ("a@b.c", "long enough\0", "must not hold a zero byte"),
        (ADA.email.upper(), "long enough", "There is a user ada@example.com already"),
    ],
)
def test_a_user_that_cannot_be_is_refused(email: str, password: str, problem: str) -> None:
    with pytest.raises(AccountError, match=problem):
        account_changes.add_user(EVERYBODY, email, password, "", "")


def test_applications_come_and_go_and_only_oauth1_keeps_its_secret() -> None:
    one, app, secret = account_changes.add_application(EVERYBODY, "one", "oauth1", public=False)
    assert app.secret == secret
    two, app, secret = account_changes.add_application(one, "two", "oauth2", public=False)
    assert secret not in render(two)
    three, app, secret = account_changes.add_application(two, "three", "oauth2", public=True)
    assert (app.secret, secret) == ("", "")
    for name in ("one", "two", "three"):
        three = account_changes.remove_application(three, name)
    assert three == EVERYBODY


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "cli", "-x"])
def test_an_application_of_a_bad_or_taken_name_is_refused(name: str) -> None:
    with pytest.raises(AccountError):
        account_changes.add_application(EVERYBODY, name, "oauth2", public=True)


def test_permissions_are_granted_directly_and_through_roles_and_taken_back() -> None:
    accounts = account_changes.grant(EVERYBODY, "role:readers", ["VIEW_TASKS", "VIEW_TASKS"])
    accounts = account_changes.grant(accounts, BOB.email, ["role:readers", "CREATE_TASKS"])
    assert permissions_of(accounts, BOB) == {"VIEW_TASKS", "CREATE_TASKS"}
    accounts = account_changes.revoke(accounts, BOB.email, ["CREATE_TASKS"])
    accounts = account_changes.revoke(accounts, "role:readers", ["VIEW_TASKS"])
    assert permissions_of(accounts, BOB) == set()
    accounts = account_changes.revoke(accounts, BOB.email, ["role:readers"])
    assert account_changes.find_user(accounts, BOB.email) == BOB


def test_an_application_is_granted_permissions_of_its_own() -> None:
    accounts = account_changes.grant(EVERYBODY, "web", ["VIEW_TASKS"])
    application = account_changes.find_application(accounts, "web")
    assert Directory(accounts).caller(None, application).permissions == {"VIEW_TASKS"}


@pytest.mark.parametrize(
    ("subject", "name", "problem"),
    [
        ("role:unheard-of", "VIEW_TASKS", "There is no role:unheard-of"),
        ("role:operators", "role:operators", "no other roles"),
        (BOB.email, "VIEW_TASKS", "Not granted"),
        ("nobody@example.com", "VIEW_TASKS", "There is no user"),
        ("nothing", "VIEW_TASKS", "There is no application"),
    ],
)
def test_what_is_not_there_cannot_be_taken_back(subject: str, name: str, problem: str) -> None:
    with pytest.raises(AccountError, match=problem):
        account_changes.revoke(EVERYBODY, subject, [name])


def test_all_is_every_permission_there_is() -> None:
    assert permissions_of(EVERYBODY, ADA) == EVERY_PERMISSION | {"ALL"}


def permissions_of(accounts: Accounts, user: User) -> frozenset[str]:
    return Directory(accounts).caller(account_changes.find_user(accounts, user.email), None).permissions


def test_a_key_is_made_once_and_rotated_on_request(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    assert load_key(tmp_path) == key
    rotate_key(tmp_path)
    assert load_key(tmp_path) not in (key, b"")


@pytest.mark.parametrize("text", ["", "not hex", "00" * 31])
def test_a_damaged_key_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    load_key(tmp_path)
    (tmp_path / "auth.key").write_text(text)
    with pytest.raises(SecretFileError, match="Delete it"):
        load_key(tmp_path)
