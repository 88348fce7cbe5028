"""The doors for other systems in the OpenAPI document."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_XML: dict[str, Any] = {"schema": {"type": "string"}}
_JSON: dict[str, Any] = {"schema": {}}
_KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False, "schema": {**_TEXT, "maxLength": 200},
    "description": "A report of the same key counts once",
}  # fmt: skip
_API_KEY = {"name": "api_key", "in": "query", "required": False, "schema": _TEXT}
_FORM = {"name": "form", "in": "path", "required": True, "schema": {"type": "string", "enum": ["xml", "json"]}}
_REPORT = {
    "type": "object", "required": ["service_code"],
    "properties": {
        name: {"type": "string"}
        for name in (
            "service_code", "lat", "long", "address_string", "address_id", "description", "media_url", "phone", "email",
            "first_name", "last_name", "account_id", "device_id", "api_key", "attribute[component]",
        )
    },
}  # fmt: skip
_FILTERS = ("service_request_id", "service_code", "start_date", "end_date", "status")


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


def _open311(name: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    error = {"description": "In the form of the standard: code and description", "content": {"text/xml": _XML}}
    codes = {"200": {"description": "OK", "content": {"text/xml": _XML, "application/json": _JSON}}, "default": error}
    return {
        "operationId": name, "summary": summary, "parameters": [_FORM, *parameters], "responses": codes,
        "security": [{}, {"token": []}],
    }  # fmt: skip


def _call(name: str, summary: str, takes: str, gives: str, trouble: Any, at: str = "") -> dict[str, Any]:
    answer = {"description": "OK", "content": {gives: _JSON if gives == "application/json" else _XML}}
    call: dict[str, Any] = {
        "operationId": name, "summary": summary, "parameters": [_path(at)] if at else [],
        "responses": {"200": answer, "default": trouble}, "security": [{}, {"token": []}],
    }  # fmt: skip
    return {**call, "requestBody": {"required": True, "content": {takes: _XML}}} if takes else call


def paths(trouble: Any) -> dict[str, Any]:
    """Paths of the doors; `trouble`: how the others tell of what went wrong."""
    report = _open311("open311Report", "Open311: report something; it becomes a case", [_KEY])
    report["responses"]["201"] = report["responses"].pop("200")
    report["requestBody"] = {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": _REPORT}}}
    filters = [{"name": n, "in": "query", "required": False, "schema": _TEXT} for n in _FILTERS]
    asked = _open311("open311Requests", "Open311: what was reported, newest first", [_API_KEY, *filters])
    one = _path("code")
    v2, cap, taken = "/open311/v2", "application/cap+xml", "application/json"
    return {
        f"{v2}/services.{{form}}": {"get": _open311("open311Services", "Open311: what may be reported", [_API_KEY])},
        f"{v2}/services/{{code}}.{{form}}": {
            "get": _open311("open311Service", "Open311: one service", [_API_KEY, one])
        },
        f"{v2}/requests.{{form}}": {"post": report, "get": asked},
        f"{v2}/requests/{{code}}.{{form}}": {
            "get": _open311("open311Request", "Open311: one request", [_API_KEY, one])
        },
        f"{v2}/tokens/{{code}}.{{form}}": {
            "get": _open311("open311Token", "Open311: the id of a token", [_API_KEY, one])
        },
        "/api/v1/cap": {"post": _call("capTake", "CAP 1.2: a warning of others", cap, taken, trouble)},
        "/api/v1/cap/feed": {
            "get": _call("capFeed", "CAP 1.2: warnings of this city, as Atom", "", "application/atom+xml", trouble)
        },
        "/api/v1/cap/received": {
            "get": _call("capReceived", "CAP 1.2: warnings of others that are in force", "", taken, trouble)
        },
        "/api/v1/cap/{id}": {"get": _call("capMessage", "CAP 1.2: one message of this city", "", cap, trouble, "id")},
        "/api/v1/gb28181/alarm": {
            "post": _call(
                "gb28181Alarm", "GB/T 28181: an alarm of a device", "application/xml", "application/xml", trouble
            )
        },
    }
