"""The accounts that the Node tests of logins are given, as JSON in the file that ``TASKD_TEST_ACCOUNTS`` names."""

import base64
import io
import json
import zipfile
from pathlib import Path

from support.auth.accounts import PASSWORD

import taskd
from taskd.auth import tokens
from taskd.auth.accounts import Application, User
from taskd.auth.tokens import Claims, TokenKind

_FUNCTION = Path(taskd.__file__).parent / "examples" / "hello-node"


def write_sdk_accounts(
    path: Path, user: User, public: Application, consumer: Application, client: tuple[str, str], signing_key: bytes
) -> None:
    """``user`` logs in with :data:`PASSWORD`; ``client`` is the key and the secret of an OAuth 2 application."""
    expired = Claims("0" * 24, user.id, public.id, user.generation, expiry_ms=1)
    accounts = {
        "email": user.email,
        "password": PASSWORD,
        "userId": user.id,
        "clientId": public.key,
        "secretClient": {"clientId": client[0], "clientSecret": client[1]},
        "consumer": {"consumerKey": consumer.key, "consumerSecret": consumer.secret},
        "expiredToken": tokens.issue(signing_key, TokenKind.ACCESS, expired),
        "zip": _folder_zip(_FUNCTION),
    }
    path.write_text(json.dumps(accounts))


def _folder_zip(folder: Path) -> str:
    """A folder as deployment tools send it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return base64.b64encode(buffer.getvalue()).decode()
