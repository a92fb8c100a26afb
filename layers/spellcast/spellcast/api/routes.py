"""The routes of contract §4. A new route goes here; what it does is a use case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from spellcast import __version__
from spellcast.api.bodies import (
    CastBody,
    ImportBody,
    QuoteBody,
    ResumeBody,
    RetryBody,
    RotationBody,
    SettingsBody,
    SpellBody,
    ToolBody,
)
from spellcast.api.errors import MAX_FAULT_CHARACTERS, MAX_FAULTS
from spellcast.application.cancel_cast import CancelCast
from spellcast.application.cast_spell import CastOrder, CastSpell
from spellcast.application.create_spell import CreateSpell
from spellcast.application.create_tool import CreateTool
from spellcast.application.delete_spell import DeleteSpell
from spellcast.application.delete_tool import DeleteTool
from spellcast.application.draw_graphs import DrawGraphs
from spellcast.application.find_api_keys import FindApiKeys
from spellcast.application.find_casts import FindCasts
from spellcast.application.find_ledger import FindLedger
from spellcast.application.find_settings import FindSettings
from spellcast.application.find_spells import FindSpells
from spellcast.application.find_tools import FindTools
from spellcast.application.fit_answer import MAX_ANSWER_BYTES, FitAnswer
from spellcast.application.grant_permission import GrantPermission
from spellcast.application.import_tool import ImportTool
from spellcast.application.issue_ticket import IssueTicket
from spellcast.application.lint_spell import LintSpell
from spellcast.application.quote_spell import QuoteSpell
from spellcast.application.resume_cast import ResumeCast, ResumeOrder
from spellcast.application.retry_step import RetryStep
from spellcast.application.revoke_api_key import RevokeApiKey
from spellcast.application.revoke_permission import RevokePermission
from spellcast.application.rotate_api_key import RotateApiKey
from spellcast.application.save_settings import SaveSettings
from spellcast.application.update_spell import UpdateSpell
from spellcast.domain import documents, drawings, identifiers, times
from spellcast.domain.documents import Document
from spellcast.domain.errors import (
    ApiKeyNotFound,
    CastEnded,
    CastNotFound,
    CastRunning,
    Fault,
    GenerationNotFound,
    GenerationSuperseded,
    IdempotencyKeyReused,
    InvalidInput,
    PayloadTooLarge,
    SpellAmbiguous,
    SpellcastError,
    SpellNotFound,
    ToolExists,
    ToolNotFound,
)
from spellcast.domain.resources import permission_resource, spell_resource, within
from spellcast.domain.spells import Spell, SpellVersion
from spellcast.domain.tools import Tool
from spellcast.ports.store import ApiKey


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the routes call."""

    lint_spell: LintSpell
    create_spell: CreateSpell
    update_spell: UpdateSpell
    delete_spell: DeleteSpell
    find_spells: FindSpells
    draw_graphs: DrawGraphs
    quote_spell: QuoteSpell
    grant_permission: GrantPermission
    revoke_permission: RevokePermission
    cast_spell: CastSpell
    find_casts: FindCasts
    fit_answer: FitAnswer
    cancel_cast: CancelCast
    resume_cast: ResumeCast
    retry_step: RetryStep
    create_tool: CreateTool
    import_tool: ImportTool
    delete_tool: DeleteTool
    find_tools: FindTools
    find_settings: FindSettings
    find_ledger: FindLedger
    save_settings: SaveSettings
    issue_ticket: IssueTicket
    find_api_keys: FindApiKeys
    rotate_api_key: RotateApiKey
    revoke_api_key: RevokeApiKey
    websocket_url: str


# A cast in a list that is larger comes without its documents: 100 of them fit into an answer.
MAX_LISTED_BYTES = 40_000

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
CastId = Annotated[str, Path(description="The cast's id.", max_length=200)]
GenerationId = Annotated[str, Path(description="`<castId>.<stepIndex>.<attempt>`.", max_length=200)]
ToolId = Annotated[str, Path(description="The tool's id.", max_length=200)]
SpellName = Annotated[str, Path(description="Id, slug or name.", max_length=200)]
# Ids of ours, and the subjects of tokens (`auth0|5f7c…`, addresses).
KeyId = Annotated[str, Path(description="The key's id.", pattern=r"^[0-9a-f]{64}$")]
AccountId = Annotated[
    str, Path(description="The other account's id.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@|+=-]*$", max_length=255)
]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=255, description="The same key and body: the same cast."),
]
Format = Annotated[Literal["svg", "mermaid"], Query(description="A picture, or a text in Mermaid's language.")]
VersionNumber = Annotated[int | None, Query(ge=1, description="The latest where none is named.")]
Cursor = Annotated[str | None, Query(max_length=512, description="The `cursor` of the part before.")]


class Router(APIGatewayHttpResolver):
    """Answers requests. What its routes answer is not said: the models of that would be half of a cold start."""

    @staticmethod
    def _compile_regex(rule: str, base_regex: str = "^{}$") -> re.Pattern[str]:
        """A part of a path is any text: a spell is found by a name with a question mark, an emoji or a quotation mark.

        Powertools' own takes letters and what a URL may hold; API Gateway gives paths unescaped.
        """
        return re.compile(base_regex.format(re.sub(r"(<\w+>)", r"(?P\1[^/]+)", rule)))

    def answers(self, status: int, model: str, *refusals: type[SpellcastError]) -> dict[int, Any]:
        """What the description says of a route: its answer, by the model's name in `answers`, and its refusals."""
        return {}

    def deleted(self, unknown: type[SpellcastError]) -> dict[int, Any]:
        """The same, of a route that deletes."""
        return {}

    def drawn(self, *refusals: type[SpellcastError]) -> dict[int, Any]:
        """The same, of a route that answers a picture."""
        return {}


def add_routes(app: Router, use: UseCases) -> None:
    """Adds every route to the resolver."""
    _add_spells(app, use)
    _add_casts(app, use)
    _add_second_thoughts(app, use)
    _add_generations(app, use)
    _add_tools(app, use)
    _add_settings(app, use)
    _add_keys(app, use)

    @app.post("/v1/realtime/ticket", summary="A ticket for the WebSocket", responses=app.answers(201, "TicketAnswer"))
    def issue_ticket() -> Response[str]:
        ticket = use.issue_ticket(_account(app))
        url = f"{use.websocket_url}?ticket={ticket.secret}"
        return _json(201, {"ticket": ticket.secret, "url": url, "expiresAt": times.to_text(ticket.expires_at)})

    @app.get("/v1/health", summary="Whether the API answers", responses=app.answers(200, "HealthAnswer"), security=[])
    def get_health() -> Response[str]:
        return _json(200, {"status": "ok", "version": __version__})


def _add_spells(app: Router, use: UseCases) -> None:
    @app.post(
        "/v1/spells",
        summary="Save a new spell; with dryRun only say what is wrong with it",
        responses=app.answers(201, "SpellAnswer", PayloadTooLarge) | app.answers(200, "LintAnswer"),
    )
    def create_spell(
        body: Annotated[SpellBody, Body()],
        dry_run: Annotated[
            bool, Query(alias="dryRun", description="Faults are refused, and nothing is saved.")
        ] = False,
    ) -> Response[str]:
        if dry_run:
            warnings = use.lint_spell(_account(app), body.content(), body.visibility)
            return _json(200, {"warnings": _faults(warnings)})
        saved = use.create_spell(_account(app), body.name, body.visibility, body.content())
        return _json(201, _saved_spell(*saved))

    @app.get("/v1/spells", summary="The account's spells", responses=app.answers(200, "SpellsAnswer"))
    def list_spells(limit: Limit = 25, cursor: Cursor = None) -> Response[str]:
        page = use.find_spells.list(_account(app), limit=limit, cursor=cursor)
        return _json(200, _page("spells", [spell_resource(spell) for spell in page.items], page.cursor))

    @app.get(
        "/v1/spells/<spell>",
        summary="One spell",
        responses=app.answers(200, "SpellAnswer", SpellNotFound, SpellAmbiguous),
    )
    def get_spell(spell: SpellName, version: VersionNumber = None) -> Response[str]:
        found = use.find_spells.get(_account(app), spell)
        return _json(200, spell_resource(found, use.find_spells.version(found, version)))

    @app.put(
        "/v1/spells/<spell>",
        summary="Save a new version",
        responses=app.answers(200, "SpellAnswer", SpellNotFound, PayloadTooLarge),
    )
    def update_spell(spell: SpellName, body: Annotated[SpellBody, Body()]) -> Response[str]:
        saved = use.update_spell(_account(app), spell, body.name, body.visibility, body.content())
        return _json(200, _saved_spell(*saved))

    @app.delete("/v1/spells/<spell>", summary="Delete a spell", responses=app.deleted(SpellNotFound))
    def delete_spell(spell: SpellName) -> Response[str]:
        use.delete_spell(_account(app), spell)
        return Response(204, body="")

    @app.post(
        "/v1/spells/<spell>/quote",
        summary="What a cast will probably cost and take",
        responses=app.answers(200, "QuoteAnswer", SpellNotFound, SpellAmbiguous, PayloadTooLarge),
    )
    def quote_spell(spell: SpellName, body: Annotated[QuoteBody | None, Body()] = None) -> Response[str]:
        quote = use.quote_spell(_account(app), spell, body.inputs if body else {})
        return _json(200, quote.document())

    @app.get(
        "/v1/spells/<spell>/graph",
        summary="A spell's steps and wires as a picture",
        responses=app.drawn(SpellNotFound, SpellAmbiguous),
    )
    def draw_spell(spell: SpellName, format: Format = "svg", version: VersionNumber = None) -> Response[str]:
        graph = use.draw_graphs.of_spell(_account(app), spell, version)
        return _picture(format, drawings.graph_to_svg(graph) if format == "svg" else drawings.graph_to_mermaid(graph))

    _add_permissions(app, use)


def _add_permissions(app: Router, use: UseCases) -> None:
    @app.get(
        "/v1/spells/<spell>/permissions",
        summary="To whom a spell is granted",
        responses=app.answers(200, "PermissionsAnswer", SpellNotFound),
    )
    def list_permissions(spell: SpellName) -> Response[str]:
        found = use.find_spells.permissions(_account(app), spell)
        return _json(200, {"permissions": [permission_resource(permission) for permission in found]})

    @app.put(
        "/v1/spells/<spell>/permissions/<account_id>",
        summary="Let an account use a spell while it is listed",
        responses=app.answers(200, "PermissionAnswer", SpellNotFound),
    )
    def grant_permission(spell: SpellName, account_id: AccountId) -> Response[str]:
        return _json(200, permission_resource(use.grant_permission(_account(app), spell, account_id)))

    @app.delete(
        "/v1/spells/<spell>/permissions/<account_id>", summary="Take a grant back", responses=app.deleted(SpellNotFound)
    )
    def revoke_permission(spell: SpellName, account_id: AccountId) -> Response[str]:
        use.revoke_permission(_account(app), spell, account_id)
        return Response(204, body="")


def _add_casts(app: Router, use: UseCases) -> None:
    started = app.answers(
        202, "CastAnswer", SpellNotFound, SpellAmbiguous, IdempotencyKeyReused, PayloadTooLarge
    ) | app.answers(200, "CastAnswer")

    @app.post("/v1/casts", summary="Cast a spell; 200 where the Idempotency-Key has been seen", responses=started)
    def cast_spell(
        body: Annotated[CastBody, Body()],
        idempotency_key: IdempotencyKey = None,
    ) -> Response[str]:
        order = CastOrder(
            spell=body.spell,
            fingerprint=identifiers.fingerprint(documents.canonical(body.document())),
            inputs=body.inputs,
            version=body.version,
            webhook_url=body.webhook_url,
            webhook_secret=body.webhook_secret,
            budget_usd=None if body.budget_usd is None else Decimal(body.budget_usd),
            metadata=body.metadata,
            idempotency_key=idempotency_key,
        )
        started = use.cast_spell.start(_account(app), order)
        resource = use.find_casts.shown(started.cast)
        if not started.is_new:
            return _json(200, resource)
        return _json(202, {**resource, "warnings": _faults(started.warnings)})

    @app.get(
        "/v1/casts",
        summary="The account's casts, latest first",
        responses=app.answers(200, "CastsAnswer", SpellNotFound, SpellAmbiguous),
    )
    def list_casts(
        status: Annotated[
            Literal["running", "completed", "failed", "cancelled"] | None, Query(description="All where none is named.")
        ] = None,
        limit: Limit = 25,
        cursor: Cursor = None,
        spell: Annotated[
            str | None, Query(description="A spell's id, slug or name: its casts only.", min_length=1, max_length=200)
        ] = None,
    ) -> Response[str]:
        spell_id = use.find_spells.id_of(_account(app), spell) if spell else None
        page = use.find_casts.list(_account(app), status=status, limit=limit, cursor=cursor, spell_id=spell_id)
        listed = [within(cast, MAX_LISTED_BYTES, documents.size_in_text) for cast in page.items]
        return _json(200, _page("casts", listed, page.cursor))

    @app.get(
        "/v1/casts/<cast_id>", summary="A cast and its steps", responses=app.answers(200, "CastAnswer", CastNotFound)
    )
    def get_cast(cast_id: CastId) -> Response[str]:
        return _json(200, use.fit_answer(use.find_casts.get(_account(app), cast_id)))

    @app.get(
        "/v1/casts/<cast_id>/graph",
        summary="A cast's steps as a picture: how they are wired, or when each of them ran",
        responses=app.drawn(CastNotFound),
    )
    def draw_cast(
        cast_id: CastId,
        format: Format = "svg",
        view: Annotated[Literal["graph", "gantt"], Query(description="Steps and wires, or times.")] = "graph",
    ) -> Response[str]:
        if view == "gantt":
            timeline = use.draw_graphs.timeline(_account(app), cast_id)
            draw = drawings.timeline_to_svg if format == "svg" else drawings.timeline_to_mermaid
            return _picture(format, draw(timeline))
        graph = use.draw_graphs.of_cast(_account(app), cast_id)
        return _picture(format, drawings.graph_to_svg(graph) if format == "svg" else drawings.graph_to_mermaid(graph))


def _add_second_thoughts(app: Router, use: UseCases) -> None:
    again = (CastRunning, CastEnded, SpellNotFound, IdempotencyKeyReused, PayloadTooLarge)

    @app.post(
        "/v1/casts/<cast_id>/cancel",
        summary="Stop a cast; 409 where it was completed or failed before",
        responses=app.answers(202, "CastAnswer", CastNotFound, CastEnded),
    )
    def cancel_cast(cast_id: CastId) -> Response[str]:
        return _json(202, use.find_casts.shown(use.cancel_cast(_account(app), cast_id)))

    @app.post(
        "/v1/casts/<cast_id>/resume",
        summary="Go on with a cast that failed or was cancelled; finished steps are kept",
        responses=app.answers(202, "CastAnswer", CastNotFound, *again),
    )
    def resume_cast(
        cast_id: CastId, body: Annotated[ResumeBody | None, Body()] = None, idempotency_key: IdempotencyKey = None
    ) -> Response[str]:
        asked = body or ResumeBody()
        order = ResumeOrder(
            fingerprint=_fingerprint("resume", asked.document()),
            idempotency_key=idempotency_key,
            version=asked.version,
            budget_usd=None if asked.budget_usd is None else Decimal(asked.budget_usd),
        )
        return _json(202, use.find_casts.shown(use.resume_cast(_account(app), cast_id, order)))

    @app.post(
        "/v1/generations/<generation_id>/retry",
        summary="Run a step of an ended cast again, with other inputs, and all steps after it",
        responses=app.answers(202, "CastAnswer", GenerationNotFound, GenerationSuperseded, *again),
    )
    def retry_step(
        generation_id: GenerationId,
        body: Annotated[RetryBody | None, Body()] = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[str]:
        inputs = body.inputs if body else {}
        order = ResumeOrder(fingerprint=_fingerprint(generation_id, inputs), idempotency_key=idempotency_key)
        return _json(202, use.find_casts.shown(use.retry_step(_account(app), generation_id, inputs, order)))


def _add_generations(app: Router, use: UseCases) -> None:
    @app.get(
        "/v1/generations/<generation_id>",
        summary="The record of one step",
        responses=app.answers(200, "GenerationAnswer", GenerationNotFound),
    )
    def get_generation(generation_id: GenerationId) -> Response[str]:
        return _json(200, use.fit_answer(use.find_casts.get_generation(_account(app), generation_id)))


def _add_tools(app: Router, use: UseCases) -> None:
    @app.get("/v1/tools", summary="All tools that steps can use", responses=app.answers(200, "ToolsAnswer"))
    def list_tools() -> Response[str]:
        return _json(200, {"tools": _listed_tools(use.find_tools.list(_account(app)))})

    @app.get(
        "/v1/tools/<tool_id>",
        summary="One tool's definition",
        responses=app.answers(200, "ToolAnswer", ToolNotFound),
    )
    def get_tool(tool_id: ToolId) -> Response[str]:
        return _json(200, use.find_tools.get(_account(app), tool_id).document)

    @app.post(
        "/v1/tools",
        summary="Add an own tool",
        responses=app.answers(201, "ToolAnswer", ToolExists, PayloadTooLarge),
    )
    def create_tool(body: Annotated[ToolBody, Body()]) -> Response[str]:
        return _json(201, use.create_tool(_account(app), body.document()).document)

    @app.post(
        "/v1/tools/import",
        summary="Add an own tool, made of a workflow or of a model's description",
        responses=app.answers(201, "ToolAnswer", ToolExists, PayloadTooLarge),
    )
    def import_tool(body: Annotated[ImportBody, Body()]) -> Response[str]:
        return _json(201, use.import_tool(_account(app), body.document()).document)

    @app.delete("/v1/tools/<tool_id>", summary="Delete an own tool", responses=app.deleted(ToolNotFound))
    def delete_tool(tool_id: ToolId) -> Response[str]:
        use.delete_tool(_account(app), tool_id)
        return Response(204, body="")


def _add_settings(app: Router, use: UseCases) -> None:
    @app.get(
        "/v1/accounts/me/settings",
        summary="The account's own defaults of tools' inputs",
        responses=app.answers(200, "SettingsAnswer"),
    )
    def get_settings() -> Response[str]:
        return _json(200, use.find_settings(_account(app)))

    @app.put(
        "/v1/accounts/me/settings",
        summary="Set them all anew",
        responses=app.answers(200, "SettingsAnswer", PayloadTooLarge),
    )
    def save_settings(body: Annotated[SettingsBody, Body()]) -> Response[str]:
        return _json(200, use.save_settings(_account(app), body.document()))

    @app.get(
        "/v1/accounts/me/ledger",
        summary="What the account has spent and earned, latest first",
        responses=app.answers(200, "LedgerAnswer"),
    )
    def get_ledger(
        start: Annotated[
            str | None,
            Query(
                alias="from", pattern=times.PATTERN, description="A day or time in UTC; at most 31 days before `to`."
            ),
        ] = None,
        end: Annotated[
            str | None, Query(alias="to", pattern=times.PATTERN, description="Entries before it; now without one.")
        ] = None,
        limit: Annotated[
            int, Query(ge=1, le=100, description="Of how many closings of casts at most; none is divided.")
        ] = 25,
        cursor: Cursor = None,
    ) -> Response[str]:
        begins, ends = _moment("from", start), _moment("to", end)
        return _json(200, use.find_ledger(_account(app), start=begins, end=ends, limit=limit, cursor=cursor))


def _moment(name: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else times.from_day_or_time(text)
    except ValueError as error:
        raise InvalidInput([Fault(name, "is no day or time")]) from error


def _add_keys(app: Router, use: UseCases) -> None:
    @app.get("/v1/accounts/me/keys", summary="The account's API keys", responses=app.answers(200, "ApiKeysAnswer"))
    def list_api_keys(limit: Limit = 25, cursor: Cursor = None) -> Response[str]:
        page = use.find_api_keys.list(_account(app), limit=limit, cursor=cursor)
        return _json(200, _page("keys", [_shown_key(key) for key in page.items], page.cursor))

    @app.post(
        "/v1/accounts/me/keys/<key_id>/rotate",
        summary="Replace an API key; the old one stays good for a while",
        responses=app.answers(201, "IssuedKeyAnswer", ApiKeyNotFound, PayloadTooLarge),
    )
    def rotate_api_key(key_id: KeyId, body: Annotated[RotationBody | None, Body()] = None) -> Response[str]:
        overlap = timedelta(seconds=(body or RotationBody()).valid_for_seconds)
        issued, ended = use.rotate_api_key(_account(app), key_id, overlap)
        shown = {**_shown_key(issued.kept), "key": issued.secret, "replaced": _shown_key(ended)}
        return _json(201, shown)

    @app.delete(
        "/v1/accounts/me/keys/<key_id>", summary="End an API key at once", responses=app.deleted(ApiKeyNotFound)
    )
    def revoke_api_key(key_id: KeyId) -> Response[str]:
        use.revoke_api_key(_account(app), key_id)
        return Response(204, body="")


def _shown_key(key: ApiKey) -> Document:
    """A key as its account sees it."""
    shown = {"keyId": key.fingerprint, "createdAt": times.to_text(key.created_at)}
    return shown if key.expires_at is None else {**shown, "expiresAt": times.to_text(key.expires_at)}


def _saved_spell(spell: Spell, version: SpellVersion, warnings: Sequence[Fault]) -> Document:
    return {**spell_resource(spell, version), "warnings": _faults(warnings)}


def _listed_tools(tools: Sequence[Tool]) -> list[Document]:
    """Whole, if they fit into an answer; otherwise those over their share of it as facts only."""
    definitions = [tool.document for tool in tools]
    if documents.size_in_text(definitions) <= MAX_ANSWER_BYTES:
        return definitions
    share = MAX_ANSWER_BYTES // len(definitions)
    return [
        definition
        if documents.size_in_text(definition) <= share
        else {key: definition[key] for key in ("toolId", "service", "displayName")} | {"truncated": True}
        for definition in definitions
    ]


def _faults(warnings: Sequence[Fault]) -> list[Document]:
    """As many as an error names of its faults: more would not fit into an answer."""
    return [
        {"path": warning.path, "message": warning.message[:MAX_FAULT_CHARACTERS]} for warning in warnings[:MAX_FAULTS]
    ]


def _fingerprint(what: str, body: Document) -> str:
    return identifiers.fingerprint(documents.canonical([what, body]))


def _account(app: Router) -> str:
    return str(app.context["account_id"])


def _json(status: int, document: Document) -> Response[str]:
    return Response(status, "application/json", documents.to_text(document))


def _picture(format: str, content: str) -> Response[str]:
    """The picture may be shown, and does nothing, wherever it is opened."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return Response(200, "image/svg+xml" if format == "svg" else "text/plain; charset=utf-8", content, headers)


def _page(name: str, items: list[Document], cursor: str | None) -> Document:
    return {name: items, **({"cursor": cursor} if cursor else {})}
