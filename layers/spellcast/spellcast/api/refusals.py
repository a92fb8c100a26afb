"""What the routes of every resolver answer where they refuse or fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from spellcast.api.errors import error_document, faults_of, status_of
from spellcast.domain import documents
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, InvalidInput, NotFound, SpellcastError
from spellcast.observability import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.middlewares import NextMiddleware


def add_errors(
    app: APIGatewayHttpResolver,
    faults_of_meaning: Callable[[str, str, str, Document], Sequence[Fault]] = lambda account_id, method, path, body: (),
) -> None:
    """Adds the refusals that all routes have in common; a body's faults of meaning are named beside those of shape."""

    @app.exception_handler(SpellcastError)  # type: ignore[untyped-decorator]
    def refuse(error: SpellcastError) -> Response[str]:
        if status_of(type(error)) >= 500:
            logger().exception("A request failed", code=error.code)
        return _refusal(error)

    @app.exception_handler(RequestValidationError)  # type: ignore[untyped-decorator]
    def refuse_shape(error: RequestValidationError) -> Response[str]:
        faults = list(faults_of(error.errors()))
        event = app.current_event
        if isinstance(event.json_body, dict):
            named = {fault.path for fault in faults}
            account_id = str(app.context.get("account_id"))
            found = faults_of_meaning(account_id, event.http_method, event.path, event.json_body)
            faults += [fault for fault in found if fault.path not in named]
        return _refusal(InvalidInput(faults))

    @app.not_found
    def no_such_route(error: NotFoundError) -> Response[str]:
        return _refusal(NotFound("There is no such route."))

    @app.exception_handler(Exception)  # type: ignore[untyped-decorator]
    def fail(error: Exception) -> Response[str]:
        logger().exception("A request failed in a way that it should not")
        return _refusal(SpellcastError("The request failed because of a defect; it was logged."))


def refuse_unknown_queries(app: APIGatewayHttpResolver, next_middleware: NextMiddleware) -> Response[str]:
    """A filter that is misspelt would list everything, and a dry run that is misspelt save. Raises InvalidInput."""
    known = {field.alias for field in app.context["_route"].dependant.query_params}
    unknown = sorted(app.current_event.query_string_parameters.keys() - known)
    if unknown:
        raise InvalidInput([Fault(name, "is not known here") for name in unknown])
    answer: Response[str] = next_middleware(app)
    return answer


def _refusal(error: SpellcastError) -> Response[str]:
    return Response(status_of(type(error)), "application/json", documents.to_text(error_document(error)))
