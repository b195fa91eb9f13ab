"""The OpenAPI document.

It is made from the descriptors that the routes are made from, the comments of their proto files, and
`cloud_eye/openapi.json`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

from event_service.http.collector import PATH as COLLECTOR_PATH
from event_service.http.transcoding import ALWAYS_WRITTEN, bindings

Document = dict[str, Any]

_GENERATED = "event_service._gen"
_CLOUD_EYE_PACKAGE = "event_service.http.cloud_eye"

_SCALARS: dict[int, Document] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    # protobuf writes 64-bit integers as strings, since JavaScript has doubles only.
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.TYPE_UINT64: {"type": "string", "format": "uint64"},
}
# Generators drop operations with arrays without items, and type bare objects as empty ones.
_ANY_OBJECT: Document = {"type": "object", "additionalProperties": True}
_WELL_KNOWN: dict[str, Document] = {
    "google.protobuf.Struct": _ANY_OBJECT,
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {},
    "google.protobuf.Empty": _ANY_OBJECT,
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string"},
}
_STATUSES = {
    "400": "The request is invalid; `violations` names the fields.",
    "401": "The token is missing or invalid.",
    "403": "The caller is not allowed to do this.",
    "404": "Not found in this domain.",
    "408": "The body did not arrive in time.",
    "409": "The idempotency key was used with another payload, or the name is taken.",
    "413": "The body is too large.",
    "415": "The header Content-Type must be application/json.",
    "422": "The query took too long; narrow it.",
    "429": "Too many requests; send again after Retry-After.",
    "500": "Internal error.",
    "503": "The database is unavailable; send again after Retry-After.",
    "504": "The deadline was exceeded.",
}


def openapi_document(services: Sequence[ServiceDescriptor], version: str) -> Document:
    """Return the OpenAPI 3.1 document of all routes.

    Args:
        services: protobuf services whose methods are transcoded.
        version: of this service.
    """
    cloud_eye = json.loads((files(_CLOUD_EYE_PACKAGE) / "openapi.json").read_text(encoding="utf-8"))
    schemas: Document = {"Error": _error_schema(), **cloud_eye["components"]["schemas"]}
    comments = json.loads((files(_GENERATED) / "comments.json").read_text(encoding="utf-8"))
    paths: Document = {}
    # Replies first: what they contain is not closed, so that later versions may add fields.
    for binding in bindings(services):
        _add_message(binding.method.output_type, schemas, comments, is_reply=True)
    for binding in bindings(services):
        method = binding.method
        _add_message(method.input_type, schemas, comments, is_reply=False)
        about = comments[method.full_name]
        paths[binding.path] = {
            "post": {
                "operationId": f"{method.containing_service.name}.{method.name}",
                "summary": about.partition(". ")[0].rstrip(".") + ".",
                "description": f"{about}\n\nThe rpc {method.full_name}.",
                "tags": [method.containing_service.name],
                # {}: no token is needed with EVENT_SERVICE_AUTH=none.
                "security": [{"bearer": []}, {}],
                "requestBody": {
                    # An absent body is an empty message.
                    "required": bool(_required(method.input_type, comments)),
                    "content": {"application/json": {"schema": _message_schema(method.input_type)}},
                },
                "responses": {"200": _json_response("The reply.", _message_schema(method.output_type)), **_failures()},
            }
        }
    paths[COLLECTOR_PATH] = {"post": _collector_operation()}
    paths.update(cloud_eye["paths"])
    paths.update(_own_paths())
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "event-service",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server of this document."}],
        "paths": paths,
        "components": {
            **cloud_eye["components"],
            "schemas": schemas,
            "securitySchemes": {"bearer": bearer, **cloud_eye["components"]["securitySchemes"]},
        },
    }


def _add_message(descriptor: Descriptor, schemas: Document, comments: Mapping[str, str], *, is_reply: bool) -> None:
    if descriptor.full_name in _WELL_KNOWN or descriptor.full_name in schemas:
        return
    schema: Document = {"type": "object", "description": comments[descriptor.full_name], "properties": {}}
    schemas[descriptor.full_name] = schema
    if is_reply:
        required = [name for name in ALWAYS_WRITTEN if ALWAYS_WRITTEN.issubset(descriptor.fields_by_name)]
    else:
        required = _required(descriptor, comments)
        schema["additionalProperties"] = False
    if required:
        schema["required"] = sorted(required)
    for field in descriptor.fields:
        schema["properties"][field.name] = {**_field_schema(field), "description": comments[field.full_name]}
        value = _map_value(field) or field
        if value.message_type is not None:
            _add_message(value.message_type, schemas, comments, is_reply=is_reply)


def _required(descriptor: Descriptor, comments: Mapping[str, str]) -> list[str]:
    """Return the fields whose comments say so. Of the members of a oneof any may be given."""
    return [
        field.name
        for field in descriptor.fields
        if field.containing_oneof is None and re.search(r"\bRequired\b", comments[field.full_name])
    ]


def _map_value(field: FieldDescriptor) -> FieldDescriptor | None:
    """Return the values of a map field, or None."""
    message = field.message_type
    return message.fields_by_name["value"] if message is not None and message.GetOptions().map_entry else None


def _field_schema(field: FieldDescriptor) -> Document:
    if (value := _map_value(field)) is not None:
        return {"type": "object", "additionalProperties": _field_schema(value)}
    if field.message_type is not None:
        schema = _message_schema(field.message_type)
    elif field.enum_type is not None:
        schema = {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    else:
        schema = _SCALARS[field.type]
    return {"type": "array", "items": schema} if field.is_repeated else schema


def _message_schema(descriptor: Descriptor) -> Document:
    known = _WELL_KNOWN.get(descriptor.full_name)
    return known if known is not None else _reference(descriptor.full_name)


def _reference(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _json_response(description: str, schema: Document) -> Document:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _failures(statuses: Iterable[str] = tuple(_STATUSES)) -> Document:
    return {status: _json_response(_STATUSES[status], _reference("Error")) for status in statuses}


def _collector_operation() -> Document:
    return {
        "operationId": "deliver",
        "summary": "Deliver the payload of a monitoring tool.",
        "tags": ["Collector"],
        "security": [],
        "parameters": [
            _parameter("webhook_id"),
            _parameter("access_key"),
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string"},
                "description": "A second delivery with the same key stores nothing new.",
            },
        ],
        "requestBody": {
            "required": True,
            "description": "The payload, in the format of the webhook's parser: JSON of any Content-Type, or a form.",
            "content": {
                "application/json": {"schema": {"oneOf": [_ANY_OBJECT, {"type": "array", "items": _ANY_OBJECT}]}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        "responses": {
            "200": _json_response("Stored and journalled.", _ANY_OBJECT),
            **_failures(("400", "403", "404", "408", "409", "413", "429", "500", "503")),
        },
    }


def _own_paths() -> Document:
    def get(summary: str, operation_id: str, **more: Document) -> Document:
        response = _json_response("OK.", _ANY_OBJECT)
        return {
            "get": {
                "operationId": operation_id,
                "summary": summary,
                "tags": ["Health"],
                "security": [],
                "responses": {"200": response, **more},
            }
        }

    not_ready = _json_response("Events cannot be stored.", _ANY_OBJECT)
    return {
        "/healthz": get("Check that the process answers.", "healthz"),
        "/readyz": get("Check that events can be stored.", "readyz", **{"503": not_ready}),
        "/openapi.json": get("Return this document.", "openapi"),
    }


def _parameter(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _error_schema() -> Document:
    violation = {"type": "object", "properties": {"field": {"type": "string"}, "description": {"type": "string"}}}
    return {
        "type": "object",
        "required": ["detail"],
        "properties": {
            "detail": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string", "examples": ["ERROR_REQUIRED_PARAMETER"]},
                    "message": {"type": "string"},
                    "violations": {"type": "array", "items": violation},
                },
            }
        },
    }
