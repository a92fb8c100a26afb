"""The OpenAPI document, where it says otherwise than Powertools writes it by itself."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.models import (
    APIKey,
    APIKeyIn,
    HTTPBearer,
    OpenAPI,
    Operation,
    PathItem,
    RequestBody,
    Schema,
)

from spellcast import __version__
from spellcast.api import answers
from spellcast.api.errors import meanings
from spellcast.api.refusals import add_errors
from spellcast.api.routes import Router, UseCases, add_routes
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    InvalidCallbackToken,
    InvalidInput,
    InvalidSignature,
    PayloadTooLarge,
    ProviderAnswerInvalid,
    SpellcastError,
    StorageUnavailable,
    Unauthorized,
)

# Powertools' own refusal of a body; ours is a 400 with every fault.
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError", "ResponseValidationError")
_COMPLETIONS = {
    "post": {
        "summary": "A provider's callback; the token is the authorisation, or `openai` and the signature",
        "operationId": "complete_job",
        "security": [],
        "parameters": [
            {
                "name": "token",
                "in": "path",
                "required": True,
                "description": "What stood at the end of the address that the provider was given.",
                "schema": {"type": "string"},
            }
        ],
        "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "200": {"description": "Taken, or taken before, or of a job that is nobody's here"},
            "400": {"description": f"`{ProviderAnswerInvalid.code}`: {ProviderAnswerInvalid.__doc__}"},
            **{
                str(status): {"description": said}
                for status, said in meanings(InvalidCallbackToken, InvalidSignature, PayloadTooLarge).items()
            },
            "429": {"description": f"`{StorageUnavailable.code}`: It cannot be taken just now; send it again."},
        },
    }
}


# What people do first comes first.
_ORDER = ("spells", "casts", "generations", "tools", "accounts", "realtime", "completions", "health")


def _group(path: str) -> str:
    return path.split("/")[2]


def _place(path: str) -> tuple[int, str]:
    group = _group(path)
    return (_ORDER.index(group) if group in _ORDER else len(_ORDER)), path


def _take_null_from_body(operation: Operation) -> None:
    """A body that may be absent may not be null."""
    body = operation.requestBody
    for media in body.content.values() if isinstance(body, RequestBody) else ():
        kinds = media.schema_.anyOf if isinstance(media.schema_, Schema) else None
        if kinds:
            media.schema_ = next(kind for kind in kinds if isinstance(kind, Schema) and kind.ref)


def build_description(use: UseCases) -> DescribedRouter:
    """The routes once more, with what the document and the page say of them."""
    app = DescribedRouter(enable_validation=True)
    add_errors(app)
    add_routes(app, use)
    about: Document = {
        "title": "Spellcast",
        "version": __version__,
        "description": "Casts of spells: ordered steps, each a tool that makes text, images or video.",
    }
    schemes: dict[str, Any] = {
        "apiKey": APIKey.model_validate({"name": "X-API-Key", "in": APIKeyIn.header}),
        "bearer": HTTPBearer(bearerFormat="JWT"),
    }
    required: list[dict[str, list[str]]] = [{"apiKey": []}, {"bearer": []}]

    @app.get("/openapi.json", include_in_schema=False)
    def get_openapi() -> Response[str]:
        document = app.get_openapi_json_schema(**about, security_schemes=schemes, security=required)
        return Response(200, "application/json", document)

    app.enable_swagger(path="/docs", **about, security_schemes=schemes, security=required)
    return app


class DescribedRouter(Router):
    """The page and the document show the same."""

    def answers(self, status: int, model: str, *refusals: type[SpellcastError]) -> dict[int, Any]:
        """The answers of a route."""
        done = {"description": "Done", "content": {"application/json": {"model": getattr(answers, model)}}}
        return {status: done} | _refused(*refusals)

    def deleted(self, unknown: type[SpellcastError]) -> dict[int, Any]:
        """The answers of a route that deletes."""
        return {204: {"description": "Done"}} | _refused(unknown)

    def drawn(self, *refusals: type[SpellcastError]) -> dict[int, Any]:
        """The answers of a route that answers a picture."""
        text: Any = {"schema": {"type": "string"}}
        done = {"description": "The picture", "content": {"image/svg+xml": text, "text/plain": text}}
        return {200: done} | _refused(*refusals)

    def get_openapi_schema(self, **about: Any) -> OpenAPI:
        """Powertools' document, with what is true here."""
        schema = super().get_openapi_schema(**about)
        schema.paths = schema.paths or {}
        # Answered by a function of its own, so that a provider's callback waits for nobody.
        schema.paths["/v1/completions/{token}"] = PathItem.model_validate(_COMPLETIONS)
        schema.paths = dict(sorted(schema.paths.items(), key=lambda item: _place(item[0])))
        for path, item in schema.paths.items():
            for operation in (item.get, item.post, item.put, item.delete):
                if operation is not None:
                    operation.tags = [_group(path)]
                    _take_null_from_body(operation)
                    responses = operation.responses or {}
                    operation.responses = {code: said for code, said in responses.items() if code != 422}
            if path == "/v1/health" and item.get is not None and item.get.responses:
                # Powertools drops an empty list, which is how OpenAPI says that a route needs no credentials.
                item.get.security = []
                item.get.responses = {code: said for code, said in item.get.responses.items() if code == 200}
        if schema.components and schema.components.schemas:
            for name in _UNUSED_SCHEMAS:
                schema.components.schemas.pop(name, None)
        return schema


def _refused(*refusals: type[SpellcastError]) -> dict[int, Any]:
    body = {"application/json": {"model": answers.ErrorAnswer}}
    said = meanings(InvalidInput, Unauthorized, *refusals)
    return {status: {"description": codes, "content": body} for status, codes in said.items()}
