"""The original's internal routes that its callers use (original-system.md §7), behind a key of the deployment's.

They are a resolver of their own: no API key opens them, and the public description does not name them. The account
that acts is named in body or query. Where a read by id names none, the record is anybody's: whoever holds the key
speaks for all accounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path

from spellcast.api.errors import status_of
from spellcast.api.internal_bodies import OUTCOME_KEYS, CastUpdateBody, EventBody, ExecuteBody
from spellcast.api.refusals import add_errors
from spellcast.application.authenticate_internal import AuthenticateInternal
from spellcast.application.cast_in_context import CastInContext
from spellcast.application.complete_generation import CompleteGeneration
from spellcast.application.find_records import FindRecords
from spellcast.application.fit_answer import MAX_ANSWER_BYTES, FitAnswer
from spellcast.application.record_event import RecordEvent
from spellcast.application.route_cast import RouteCast
from spellcast.application.run_tool import RunTool, ToolRun
from spellcast.application.update_cast import CastUpdate, UpdateCast
from spellcast.domain import documents, money, originals, times
from spellcast.domain.casts import CastFailure
from spellcast.domain.documents import Document
from spellcast.domain.errors import Fault, IllegalTransition, InvalidInput, MadeByCasts, SpellcastError
from spellcast.domain.generation_queries import parse_moment, parse_query
from spellcast.domain.outputs import merge_payload
from spellcast.domain.resources import within

_DATA = "/internal/v1/data"
# Statuses of a tool run that failed. What may have cost money is a 500: the original's client asks again after 502 to
# 504, and only a provider that accepted nothing may be asked again.
_FAILURES = {
    "INVALID_STEP_INPUT": 400,
    "MISSING_INPUTS": 400,
    "EXPRESSION_FAILED": 400,
    "ADDRESS_REFUSED": 400,
    "BUDGET_EXCEEDED": 402,
    "TOOL_NOT_FOUND": 404,
    "PROVIDER_UNAVAILABLE": 503,
    "FILE_UNAVAILABLE": 503,
}


@dataclass(frozen=True, slots=True)
class InternalApi:
    """The key first, then whether the request is still the original's, then the routes."""

    authenticate: AuthenticateInternal
    route_cast: RouteCast
    resolver: APIGatewayHttpResolver


@dataclass(frozen=True, slots=True)
class InternalUseCases:
    """What the internal routes call."""

    record_event: RecordEvent
    find_records: FindRecords
    fit_answer: FitAnswer
    complete_generation: CompleteGeneration
    run_tool: RunTool
    cast_in_context: CastInContext
    update_cast: UpdateCast


def build_internal_api(authenticate: AuthenticateInternal, route_cast: RouteCast, use: InternalUseCases) -> InternalApi:
    """The routes with the refusals that all of the API has."""
    app = APIGatewayHttpResolver(enable_validation=True)
    add_errors(app)
    _add_events(app, use)
    _add_generations(app, use)
    _add_execute(app, use)
    _add_casts(app, use)
    return InternalApi(authenticate, route_cast, app)


def _add_events(app: APIGatewayHttpResolver, use: InternalUseCases) -> None:
    @app.post(f"{_DATA}/events")
    def record_event(body: Annotated[EventBody, Body()]) -> Response[str]:
        timestamp = None
        if body.timestamp and (timestamp := parse_moment(body.timestamp)) is None:
            raise InvalidInput([Fault("timestamp", "is not an ISO 8601 time")])
        event = use.record_event(
            body.master_account_id, body.event_type, body.event_data, body.source_platform, timestamp, body.session_id
        )
        return _json(201, event.document())

    @app.get(f"{_DATA}/events/<event_id>")
    def get_event(event_id: str) -> Response[str]:
        return _json(200, use.record_event.find(event_id, _asked_account(app)).document())


def _add_generations(app: APIGatewayHttpResolver, use: InternalUseCases) -> None:
    @app.get(f"{_DATA}/generations")
    def list_generations() -> Response[str]:
        query = parse_query(app.current_event.query_string_parameters or {})
        records, complete = use.find_records.generations(query)
        share = MAX_ANSWER_BYTES // max(1, len(records))
        cut = {} if complete else {"truncated": True}
        return _json(200, {"generations": [within(record, share, documents.size_in_text) for record in records], **cut})

    @app.post(f"{_DATA}/generations")
    def create_generation() -> Response[str]:
        raise MadeByCasts("Generations are made by casts and by POST /internal/v1/data/execute; none is written here.")

    @app.get(f"{_DATA}/generations/last/<account_id>")
    def get_last_generation(account_id: Annotated[str, Path(max_length=200)]) -> Response[str]:
        return _json(200, use.fit_answer(use.find_records.last_generation(account_id)))

    @app.get(f"{_DATA}/generations/<generation_id>")
    def get_generation(generation_id: str) -> Response[str]:
        return _json(200, use.fit_answer(use.find_records.generation(generation_id, _asked_account(app))))

    @app.put(f"{_DATA}/generations/<generation_id>")
    def update_generation(generation_id: str) -> Response[str]:
        update = _object(app)
        account_id = originals.id_text(update.get("masterAccountId")) or _asked_account(app)
        _check_outcome(update)
        if update["status"] not in ("completed", "failed"):
            raise IllegalTransition(
                f"A caller completes or fails a generation; {update['status']!r} is not for it to say."
            )
        use.complete_generation(generation_id, originals.record_result(update), account_id)
        return _json(200, use.fit_answer(use.find_records.generation(generation_id, account_id)))


def _add_execute(app: APIGatewayHttpResolver, use: InternalUseCases) -> None:
    @app.post(f"{_DATA}/execute")
    def execute(
        body: Annotated[ExecuteBody, Body()],
        idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)] = None,
    ) -> Response[str]:
        run = use.run_tool(body.user.master_account_id, body.tool_id, body.inputs, body.context(), idempotency_key)
        return _answer(run)


def _add_casts(app: APIGatewayHttpResolver, use: InternalUseCases) -> None:
    @app.post(f"{_DATA}/spells/cast")
    def cast_spell() -> Response[str]:
        body = _object(app)
        slug, context = body.get("slug"), body.get("context")
        context = context if isinstance(context, dict) else {}
        if not isinstance(slug, str) or not 0 < len(slug) <= 200 or not context.get("masterAccountId"):
            return _refused(400, "BAD_REQUEST", "Send a slug, and a context with the masterAccountId that casts.")
        try:
            cast = use.cast_in_context(context, slug)
        except SpellcastError as error:
            return _refused(status_of(type(error)), "SPELL_CAST_FAILED", error.message)
        return _json(200, {"status": "running", "castId": cast.cast_id})

    @app.post(f"{_DATA}/spells/casts")
    def create_cast() -> Response[str]:
        raise MadeByCasts("A cast is made when it starts: POST /internal/v1/data/spells/cast answers its castId.")

    @app.get(f"{_DATA}/spells/casts/<cast_id>")
    def get_cast(cast_id: str) -> Response[str]:
        return _json(200, use.fit_answer(use.find_records.cast(cast_id, _asked_account(app))))

    @app.put(f"{_DATA}/spells/casts/<cast_id>")
    def update_cast(cast_id: str, body: Annotated[CastUpdateBody, Body()]) -> Response[str]:
        update = CastUpdate(
            status=body.status,
            failure_reason=body.failure_reason,
            generation_id=body.generation_id,
            cost_delta_usd=originals.amount("costDeltaUsd", body.cost_delta_usd),
        )
        use.update_cast(cast_id, update, body.master_account_id or _asked_account(app))
        return _json(200, {"ok": True})


def _check_outcome(update: Document) -> None:
    faults = [Fault(key, "cannot be set here") for key in update if key not in OUTCOME_KEYS]
    if not isinstance(update.get("status"), str):
        faults.append(Fault("status", "says what became of the generation, and is missing"))
    if faults:
        raise InvalidInput(faults)


def _answer(run: ToolRun) -> Response[str]:
    cast, generation = run.cast, run.generation
    about: Document = {"generationId": run.generation_id, "toolId": run.tool.tool_id, "service": run.tool.service}
    if cast.status == "completed" and generation and generation.result:
        payload = generation.result.payload
        output = merge_payload(payload)
        done = {"status": "completed", "final": True, "costUsd": money.to_text(generation.cost_usd)}
        kind = payload[0].get("type", "text") if payload else "text"
        data = payload[0].get("data") if len(payload) == 1 else output
        response = {"response": output["text"]} if "text" in output else {}
        whole = {**about, **done, "outputs": {"type": kind, "data": data}, **response}
        # The text stands in it twice; where it is left out, the record has it.
        fits = documents.size_in_text(whole) <= MAX_ANSWER_BYTES
        return _json(200, whole if fits else {**about, **done, "truncated": True})
    if cast.is_terminal:
        failure = cast.failure or CastFailure("INTERNAL_ERROR", f"The run is {cast.status}.")
        return _refused(_FAILURES.get(failure.code, 500), failure.code, failure.message)
    waiting = {
        "status": "processing",
        **({"runId": generation.run_id} if generation and generation.run_id else {}),
        "queuedAt": times.to_text(run.queued_at),
        "message": "The tool is running; its record tells when it has ended.",
    }
    return _json(202, {**about, **waiting})


def _object(app: APIGatewayHttpResolver) -> Document:
    """The body, of which the resolver knows that it is an object if there is one."""
    body = app.current_event.json_body if app.current_event.body else {}
    if not body:
        raise InvalidInput([Fault("body", "holds nothing")])
    return dict(body)


def _asked_account(app: APIGatewayHttpResolver) -> str | None:
    return (app.current_event.query_string_parameters or {}).get("masterAccountId") or None


def _refused(status: int, code: str, message: str) -> Response[str]:
    return _json(status, {"error": {"code": code, "message": message}})


def _json(status: int, document: Document) -> Response[str]:
    return Response(status, "application/json", documents.to_text(document))
