"""The OpenAPI document, where it says otherwise than Powertools writes it by itself."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi.models import OpenAPI, Operation, PathItem, RequestBody, Schema

from spellcast.api.errors import meanings
from spellcast.domain.errors import (
    InvalidCallbackToken,
    InvalidSignature,
    PayloadTooLarge,
    ProviderAnswerInvalid,
    StorageUnavailable,
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


class DescribedResolver(APIGatewayHttpResolver):
    """The page and the document show the same."""

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
