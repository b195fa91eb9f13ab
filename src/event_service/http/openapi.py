"""The OpenAPI document of the HTTP door, made from the same descriptors as its routes."""

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

from event_service.http.collector import PATH as COLLECTOR_PATH
from event_service.http.transcoding import bindings

Document = dict[str, Any]

_SCALARS: dict[int, Document] = {
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    # protobuf writes 64-bit integers as strings, since JavaScript has doubles only.
    FieldDescriptor.TYPE_INT64: {"type": ["string", "integer"], "format": "int64"},
    FieldDescriptor.TYPE_UINT64: {"type": ["string", "integer"], "format": "uint64"},
}
_WELL_KNOWN: dict[str, Document] = {
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": {"type": "array"},
    "google.protobuf.Value": {},
    "google.protobuf.Empty": {"type": "object", "maxProperties": 0},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string"},
}
_STATUSES = {
    "400": "The request is faulty; `violations` names the fields.",
    "401": "There is no token, or it does not hold.",
    "403": "The caller may not do this.",
    "404": "It is missing, or somebody else's.",
    "408": "The body did not arrive in time.",
    "409": "The idempotency key was used with another payload, or the name is taken.",
    "413": "The body is too large.",
    "415": "The body is not said to be JSON: Content-Type must be application/json.",
    "429": "Too much at once; send again after Retry-After.",
    "500": "A fault of the service.",
    "503": "The database is away; send again after Retry-After.",
    "504": "It took too long.",
}
_CLOUD_EYE_STATUSES = ("400", "401", "403", "404", "408", "413", "429", "500", "503")


def openapi_document(services: Sequence[ServiceDescriptor], version: str) -> Document:
    """The document, OpenAPI 3.1.

    Args:
        services: whose methods are transcoded.
        version: of this service.
    """
    schemas: Document = {"Error": _error_schema(), "CloudEyeError": _cloud_eye_error_schema()}
    schemas.update(_cloud_eye_schemas())
    paths: Document = {}
    for binding in bindings(services):
        method = binding.method
        _add_message(method.input_type, schemas)
        _add_message(method.output_type, schemas)
        paths[binding.path] = {
            "post": {
                "operationId": f"{method.containing_service.name}.{method.name}",
                "summary": f"The rpc {method.full_name}",
                "tags": [method.containing_service.name],
                "security": [{"bearer": []}, {}],
                "requestBody": {"content": {"application/json": {"schema": _message_schema(method.input_type)}}},
                "responses": {"200": _json_answer("The reply.", _message_schema(method.output_type)), **_failures()},
            }
        }
    paths[COLLECTOR_PATH] = {"post": _collector_operation()}
    paths.update(_cloud_eye_paths())
    paths.update(_own_paths())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "event-service",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cloudEyeSignature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "SDK-HMAC-SHA256, as the vendor's SDKs sign.",
                },
                "cloudEyeToken": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Auth-Token",
                    "description": "WEBHOOK_ID:ACCESS_KEY",
                },
            },
        },
    }


def _add_message(descriptor: Descriptor, schemas: Document) -> None:
    if descriptor.full_name in _WELL_KNOWN or descriptor.full_name in schemas:
        return
    schema: Document = {"type": "object", "properties": {}, "additionalProperties": False}
    schemas[descriptor.full_name] = schema
    for field in descriptor.fields:
        schema["properties"][field.name] = _field_schema(field)
        if field.message_type is not None:
            _add_message(field.message_type, schemas)


def _field_schema(field: FieldDescriptor) -> Document:
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


def _json_answer(description: str, schema: Document) -> Document:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _failures(statuses: Iterable[str] = tuple(_STATUSES), schema: str = "Error") -> Document:
    return {status: _json_answer(_STATUSES[status], _reference(schema)) for status in statuses}


def _collector_operation() -> Document:
    return {
        "operationId": "deliver",
        "summary": "Where a monitoring tool posts its payload.",
        "tags": ["Collector"],
        "security": [],
        "parameters": [
            _parameter("webhook_id"),
            _parameter("access_key"),
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string"},
                "description": "Sending again under the same key stores nothing new.",
            },
        ],
        "requestBody": {"required": True, "content": {"*/*": {"schema": {}}}},
        "responses": {
            "200": _json_answer("Stored and journalled.", {"type": "object", "maxProperties": 0}),
            **_failures(("400", "403", "404", "408", "409", "413", "429", "500", "503")),
        },
    }


def _cloud_eye_paths() -> Document:
    security: list[Document] = [{"cloudEyeSignature": []}, {"cloudEyeToken": []}, {"bearer": []}]
    common: Document = {"tags": ["Cloud Eye"], "security": security}
    failures = _failures(_CLOUD_EYE_STATUSES, "CloudEyeError")
    paging = [_query("from"), _query("to"), _query("start"), _query("limit")]
    project = _parameter("project_id", pattern="^[A-Za-z0-9-]{1,64}$")
    return {
        "/V1.0/{project_id}/events": {
            "parameters": [project],
            "post": {
                **common,
                "operationId": "CreateEvents",
                "summary": "Reports 1 to 100 custom events.",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "array",
                                "items": _reference("CloudEyeEvent"),
                                "minItems": 1,
                                "maxItems": 100,
                            }
                        }
                    },
                },
                "responses": {
                    "201": _json_answer(
                        "One entry for each event, in order.",
                        {"type": "array", "items": _reference("CloudEyeEventId")},
                    ),
                    **failures,
                },
            },
            "get": {
                **common,
                "operationId": "ListEvents",
                "summary": "What was reported, one entry for each event name.",
                "parameters": [_query("event_name"), _query("event_type"), _query("sub_event_type"), *paging],
                "responses": {"200": _json_answer("The names.", {"type": "object"}), **failures},
            },
        },
        "/V1.0/{project_id}/event/{event_name}": {
            "parameters": [project, _parameter("event_name")],
            "get": {
                **common,
                "operationId": "ListEventDetail",
                "summary": "The events of one name, newest first.",
                "parameters": [
                    _query(name)
                    for name in (
                        "event_type",
                        "sub_event_type",
                        "event_source",
                        "event_level",
                        "event_user",
                        "event_state",
                    )
                ]
                + paging,
                "responses": {"200": _json_answer("The events.", {"type": "object"}), **failures},
            },
        },
    }


def _own_paths() -> Document:
    def get(summary: str, operation_id: str, **more: Document) -> Document:
        answer = _json_answer("It is.", {"type": "object"})
        return {
            "get": {
                "operationId": operation_id,
                "summary": summary,
                "tags": ["Health"],
                "security": [],
                "responses": {"200": answer, **more},
            }
        }

    not_ready = _json_answer("It is not.", {"type": "object"})
    return {
        "/healthz": get("Whether the process answers.", "healthz"),
        "/readyz": get("Whether events can be stored.", "readyz", **{"503": not_ready}),
        "/openapi.json": get("This document.", "openapi"),
    }


def _parameter(name: str, **schema: Any) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}


def _query(name: str) -> Document:
    return {"name": name, "in": "query", "schema": {"type": "string"}}


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


def _cloud_eye_error_schema() -> Document:
    text = {"type": "string"}
    return {
        "type": "object",
        "required": ["http_code", "message", "error_code", "error_msg", "request_id"],
        "properties": {
            "http_code": {"type": "integer"},
            "message": {"type": "object", "properties": {"code": text, "details": text}},
            "error_code": text,
            "error_msg": text,
            "request_id": text,
            "details": {
                "type": "array",
                "items": {"type": "object", "properties": {"error_code": text, "error_msg": text}},
            },
        },
    }


def _cloud_eye_schemas() -> Document:
    text = {"type": "string"}
    return {
        "CloudEyeEventId": {
            "type": "object",
            "required": ["event_id", "event_name"],
            "properties": {
                "event_id": {"type": "string", "pattern": "^ev[0-9]{13}[0-9A-Za-z]{9}$"},
                "event_name": text,
            },
        },
        "CloudEyeEvent": {
            "type": "object",
            "required": ["event_name", "event_source", "time", "detail"],
            "properties": {
                "event_name": {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,63}$"},
                "event_source": {
                    "type": "string",
                    "pattern": r"^[A-Za-z][A-Za-z0-9_]{2,31}\.[A-Za-z][A-Za-z0-9_]{2,31}$",
                },
                "time": {
                    "type": "integer",
                    "description": "Milliseconds since 1970-01-01 UTC, within about the last hour.",
                },
                "detail": {
                    "type": "object",
                    "properties": {
                        "content": {"type": ["string", "null"], "maxLength": 4096},
                        "group_id": {"type": ["string", "null"], "maxLength": 128},
                        "resource_id": {"type": ["string", "null"], "maxLength": 128},
                        "resource_name": {"type": ["string", "null"], "maxLength": 128},
                        "event_state": {"enum": ["normal", "warning", "incident", None]},
                        "event_level": {"enum": ["Critical", "Major", "Minor", "Info", None]},
                        "event_user": {"type": ["string", "null"], "maxLength": 64},
                        "event_type": {"enum": ["EVENT.CUSTOM", None]},
                        "sub_event_type": {"enum": ["SUB_EVENT.CUSTOM", None]},
                        "dimensions": {
                            "type": ["array", "null"],
                            "maxItems": 4,
                            "items": {
                                "type": "object",
                                "required": ["name", "value"],
                                "properties": {"name": text, "value": text},
                            },
                        },
                    },
                },
            },
        },
    }
