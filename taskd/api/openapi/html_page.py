"""The OpenAPI document as one HTML page: no scripts, nothing fetched, readable in print and in the dark."""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_STYLE = Path(__file__).with_name("page.css").read_text()
_REF_PREFIX = "#/components/schemas/"


def render_page(document: Json) -> str:
    """``document`` as HTML."""
    info = document["info"]
    title = f"{info['title']} {info['version']}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}: the API</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<nav><strong>{escape(title)}</strong>{''.join(_contents(document))}</nav>"
        f"<main><h1>{escape(info['title'])}</h1>{_prose(info['description'])}"
        f"{''.join(_chapter(document, tag['name']) for tag in document['tags'])}"
        f"{_schemas(document)}{_errors(document)}</main></body></html>"
    )


def _contents(document: Json) -> Iterator[str]:
    for tag in document["tags"]:
        name = escape(tag["name"])
        yield f'<a class="chapter" href="#{_anchor(tag["name"])}">{name}</a>'
        for _, _, operation in _operations(document, tag["name"]):
            yield f'<a href="#{operation["operationId"]}">{escape(operation["summary"])}</a>'
    yield '<a class="chapter" href="#schemas">Shapes</a><a class="chapter" href="#errors">Errors</a>'


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    """Path, methods and description of each operation; methods of a path that do the same are taken together."""
    for path, item in document["paths"].items():
        by_summary: dict[str, list[str]] = {}
        for method, operation in item.items():
            by_summary.setdefault(operation["summary"], []).append(method)
        for methods in by_summary.values():
            if tag in item[methods[0]]["tags"]:
                yield path, " ".join(methods).upper(), item[methods[0]]


def _chapter(document: Json, tag: str) -> str:
    operations = "".join(_operation(*each) for each in _operations(document, tag))
    return f'<section id="{_anchor(tag)}"><h2>{escape(tag)}</h2>{operations}</section>'


def _operation(path: str, methods: str, operation: Json) -> str:
    badges = "".join(f'<b class="{method.lower()}">{method}</b>' for method in methods.split())
    return (
        f'<article id="{operation["operationId"]}"><h3>{escape(operation["summary"])}</h3>'
        f'<p class="call">{badges}<code>{_breakable(path)}</code></p>{_prose(operation["description"])}'
        f"<dl>{''.join(_facts(operation))}</dl>{_failures(operation)}</article>"
    )


def _facts(operation: Json) -> Iterator[str]:
    if "x-permission" in operation:
        modes = escape(operation.get("x-permission-modes", ""))
        yield _fact("Permission", f"<code>{escape(operation['x-permission'])}</code> {modes}")
    elif not operation["security"]:
        yield _fact("Permission", "none, nor credentials")
    if "x-query" in operation:
        yield _fact("Query", escape(operation["x-query"]))
    for parameter in operation["parameters"]:
        yield _fact(f"<code>{escape(parameter['name'])}</code>", escape(parameter["description"]))
    if "requestBody" in operation:
        optional = "" if operation["requestBody"]["required"] else " (may be missing)"
        yield _fact("Body", _type_of(_schema_of(operation["requestBody"])) + optional)
    response = next(iter(operation["responses"].values()))
    schema = _schema_of(response)
    yield _fact("Response", _type_of(schema) if schema else escape(response["description"]))


def _failures(operation: Json) -> str:
    """The responses after the first, which is the successful one."""
    [_, *responses] = operation["responses"].items()
    facts = "".join(_fact(status, _linked_errors(response["description"])) for status, response in responses)
    return f"<details><summary>Errors</summary><dl>{facts}</dl></details>"


def _schema_of(message: Json) -> Json:
    [content] = message["content"].values()
    schema: Json = content.get("schema", {})
    return schema


def _linked_errors(description: str) -> str:
    return re.sub(r"\d+ (\w+)", r'<a href="#\1">\g<0></a>', escape(description))


def _schemas(document: Json) -> str:
    shapes = "".join(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    return f'<section id="schemas"><h2>Shapes</h2>{shapes}</section>'


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{'' if field in required else ' <i>optional</i>'}</td>"
        f"<td>{_type_of(value)}</td><td>{escape(value.get('description', ''))}</td></tr>"
        for field, value in schema.get("properties", {}).items()
    )
    table = f"<table><tbody>{rows}</tbody></table>" if rows else f"<p>{_type_of(schema)}</p>"
    intro = _prose(schema.get("description", ""))
    return f'<article id="{_schema_anchor(name)}"><h3>{_shape_name(name)}</h3>{intro}{table}</article>'


def _type_of(schema: Json) -> str:
    """The type of ``schema`` in a few words, with links to what it refers to."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF_PREFIX)
        return f'<a href="#{_schema_anchor(name)}">{_shape_name(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type_of(each) for each in schema["anyOf"] if each != {"type": "null"})
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type_of(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
        return f"object, each value: {_type_of(schema['additionalProperties'])}"
    return escape(schema.get("type", "any JSON"))


def _errors(document: Json) -> str:
    rows = "".join(
        f'<tr id="{escape(each["name"])}"><td>{each["code"]}</td><td>{each["status"]}</td>'
        f"<td><code>{escape(each['name'])}</code></td><td>{escape(each['meaning'])}</td></tr>"
        for each in document["x-errors"]
    )
    head = "<tr><th>Code</th><th>HTTP</th><th>Name</th><th>When</th></tr>"
    return f'<section id="errors"><h2>Errors</h2><table><thead>{head}</thead><tbody>{rows}</tbody></table></section>'


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>"


def _prose(text: str) -> str:
    """Paragraphs, in which only code is marked."""
    marked = re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text, quote=False))
    return "".join(f"<p>{paragraph}</p>" for paragraph in marked.split("\n\n") if paragraph.strip())


def _breakable(path: str) -> str:
    """``path`` with places where a narrow page may break it."""
    return escape(path).replace("/", "/<wbr>")


def _anchor(tag: str) -> str:
    return "chapter-" + re.sub(r"\W+", "-", tag.lower())


def _shape_name(name: str) -> str:
    """``name`` for reading: generic structs are called ``Page_TaskView_``."""
    return escape(re.sub(r"^([A-Za-z]+)_(\w+)_$", r"\1 of \2", name))


def _schema_anchor(name: str) -> str:
    return f"shape-{escape(name)}"
