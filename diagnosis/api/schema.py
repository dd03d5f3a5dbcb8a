"""The OpenAPI description, made from the views themselves, and a page that shows it."""

from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema

PROBLEM = {"$ref": "#/components/schemas/Problem"}
REFUSED_FIELDS = {
    "type": "object",
    "description": "`detail`, or the refused fields, each with why.",
    "additionalProperties": {},
}
REVIEWS, NEEDS_MODEL = "/review/", ("/images/", "/again/", "/retry/", "/kind/")


class Tokens(OpenApiAuthenticationExtension):
    target_class = "diagnosis.api.base.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of yours, from the page API tokens.",
        }


def add_refusals(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """What the views do not say of themselves: how each question may be refused."""
    result["components"]["schemas"]["Problem"] = {
        "type": "object",
        "properties": {"detail": {"type": "string"}},
        "required": ["detail"],
    }
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            for status, words in _refusals(path, method, operation).items():
                schema = REFUSED_FIELDS if status == "400" else PROBLEM
                answer = {"description": words, "content": {"application/json": {"schema": schema}}}
                operation["responses"].setdefault(status, answer)
    return result


def _refusals(path: str, method: str, operation: dict[str, Any]) -> dict[str, str]:
    found = {
        "401": "No token, or one that is unknown or revoked.",
        "429": "Too many questions: wait as long as `Retry-After` says.",
    }
    asked = {parameter["in"] for parameter in operation.get("parameters", [])}
    if asked:
        found["404"] = "There is no such thing, or it is not yours to see."
    if "query" in asked or "requestBody" in operation:
        found["400"] = "What was sent is not understood."
    if "requestBody" in operation:
        found["415"] = "It was sent in another form than JSON or multipart."
    if method == "post" and path.endswith("/images/"):
        found["507"] = "The laboratory's storage is full."
    if method == "delete" and path.endswith("/slides/{id}/"):
        found["403"] = (
            "Only administrators delete the slide and, until its report is signed, whoever made it."
        )
    if path.endswith(REVIEWS):
        found["403"] = "Your role does not review."
    if path.endswith(REVIEWS) and "/cells/" not in path:
        found["409"] = "The image was not read yet, or is a field: its cells are reviewed."
    if method == "post" and path.endswith("/reports/"):
        found["403"] = "Your role does not sign."
        found["409"] = "Images are still being read, nothing was, or it is signed already."
    if method == "put" and path.endswith("/readings/"):
        found["403"] = "Your role does not read."
        found["409"] = "Your reading is closed, two people read it already, or it cannot close yet."
    if path.endswith("/second-reader/"):
        found["403"] = "Your role does not read."
        found["409"] = "It is signed, several have spoken, or the second reader has begun."
    if method == "post" and path.endswith("/differences/"):
        found["403"] = "Your role does not settle."
        found["409"] = "The two readings do not differ there, or not in that."
    if method == "post" and path.endswith("/cells/"):
        found["403"] = "Your role does not review."
        found["409"] = "Your reading is closed, or two others read the slide already."
    if method == "put" and path.endswith("/kind/"):
        found["409"] = "Somebody has closed their reading with the image as it is."
    if method != "get" and path.endswith(NEEDS_MODEL):
        found["503"] = "No model is active on this site."
    if "multipart/form-data" in operation.get("requestBody", {}).get("content", {}):
        found["507"] = "The laboratory has filled its storage."
    return found


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    return SchemaGenerator().get_schema(public=True)


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(description())
    patch_cache_control(response, public=True, max_age=300)
    return response


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    return render(request, "diagnosis/api.html", {"operations": _operations(description())})


def _operations(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        operation | {"path": path, "method": method.upper(), "body": _body(found, operation)}
        for path, operations in found["paths"].items()
        for method, operation in operations.items()
    ]


def _body(found: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of what is sent, each with its name."""
    [content] = [*operation.get("requestBody", {}).get("content", {}).values()][:1] or [{}]
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    schema = found["components"]["schemas"].get(name, content.get("schema", {}))
    required = schema.get("required", [])
    fields = schema.get("properties", {}).items()
    return [value | {"name": key, "required": key in required} for key, value in fields]
