"""What handlers read off a request besides its body: ids in the path, the query."""

from aiohttp import web

from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.model.objectid import is_object_id
from taskd.rql.parser import parse
from taskd.rql.query import Query


def object_id(request: web.Request) -> str:
    """The ``{id}`` of the path.

    :raises ContractError: ``ID_FORMAT``.
    """
    text = request.match_info["id"]
    if not is_object_id(text):
        message = f"{text!r} is not an id: ids are 24 hexadecimal digits, in lower case."
        raise ContractError(errors.ID_FORMAT, message)
    return text


def query_of(request: web.Request) -> Query:
    """The query string, still encoded as the client sent it, as RQL.

    :raises ContractError: ``INVALID_RQL``.
    """
    return parse(request.rel_url.raw_query_string)
