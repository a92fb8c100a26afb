"""One method for each route of the API.

Written by scripts/generate_client.py from the API's OpenAPI document: `make generated` writes it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, TypeVar

from spellcast_client import models
from spellcast_client.calls import Call, new_key, quoted

A = TypeVar("A")


class Routes:
    """The routes, for who waits for each answer."""

    def _send(self, call: Call[A]) -> A:
        raise NotImplementedError

    def list_spells(self, *, limit: int = 25, cursor: str | None = None) -> models.Spells:
        """The account's spells."""
        return self._send(Call("GET", "/v1/spells", models.Spells, query={"limit": limit, "cursor": cursor}))

    def create_spell(self, body: models.SpellBody | Mapping[str, Any]) -> models.Spell:
        """Save a new spell; with dryRun only say what is wrong with it."""
        return self._send(Call("POST", "/v1/spells", models.Spell, body=body))

    def lint_spell(self, body: models.SpellBody | Mapping[str, Any]) -> models.Lint:
        """What would be said of it; nothing is saved."""
        return self._send(Call("POST", "/v1/spells", models.Lint, query={"dryRun": "true"}, body=body))

    def get_spell(self, spell: str, *, version: int | None = None) -> models.Spell:
        """One spell."""
        return self._send(Call("GET", f"/v1/spells/{quoted(spell)}", models.Spell, query={"version": version}))

    def update_spell(self, spell: str, body: models.SpellBody | Mapping[str, Any]) -> models.Spell:
        """Save a new version."""
        return self._send(Call("PUT", f"/v1/spells/{quoted(spell)}", models.Spell, body=body))

    def delete_spell(self, spell: str) -> None:
        """Delete a spell."""
        return self._send(Call("DELETE", f"/v1/spells/{quoted(spell)}", NoneType))

    def draw_spell(self, spell: str, *, format: Literal["svg", "mermaid"] = "svg", version: int | None = None) -> str:
        """A spell's steps and wires as a picture."""
        return self._send(
            Call("GET", f"/v1/spells/{quoted(spell)}/graph", str, query={"format": format, "version": version})
        )

    def list_permissions(self, spell: str) -> models.Permissions:
        """To whom a spell is granted."""
        return self._send(Call("GET", f"/v1/spells/{quoted(spell)}/permissions", models.Permissions))

    def grant_permission(self, spell: str, account_id: str) -> models.Permission:
        """Let an account use a spell while it is listed."""
        return self._send(
            Call("PUT", f"/v1/spells/{quoted(spell)}/permissions/{quoted(account_id)}", models.Permission)
        )

    def revoke_permission(self, spell: str, account_id: str) -> None:
        """Take a grant back."""
        return self._send(Call("DELETE", f"/v1/spells/{quoted(spell)}/permissions/{quoted(account_id)}", NoneType))

    def quote_spell(self, spell: str, body: models.QuoteBody | Mapping[str, Any] | None = None) -> models.Quote:
        """What a cast will probably cost and take."""
        return self._send(Call("POST", f"/v1/spells/{quoted(spell)}/quote", models.Quote, body=body))

    def list_casts(
        self,
        *,
        status: Literal["running", "completed", "failed", "cancelled"] | None = None,
        limit: int = 25,
        cursor: str | None = None,
        spell: str | None = None,
    ) -> models.Casts:
        """The account's casts, latest first."""
        return self._send(
            Call(
                "GET",
                "/v1/casts",
                models.Casts,
                query={"status": status, "limit": limit, "cursor": cursor, "spell": spell},
            )
        )

    def cast_spell(
        self, body: models.CastBody | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> models.Cast:
        """Cast a spell; 200 where the Idempotency-Key has been seen."""
        return self._send(Call("POST", "/v1/casts", models.Cast, body=body, key=idempotency_key or new_key()))

    def get_cast(self, cast_id: str) -> models.Cast:
        """A cast and its steps."""
        return self._send(Call("GET", f"/v1/casts/{quoted(cast_id)}", models.Cast))

    def cancel_cast(self, cast_id: str) -> models.Cast:
        """Stop a cast; 409 where it was completed or failed before."""
        return self._send(Call("POST", f"/v1/casts/{quoted(cast_id)}/cancel", models.Cast))

    def draw_cast(
        self, cast_id: str, *, format: Literal["svg", "mermaid"] = "svg", view: Literal["graph", "gantt"] = "graph"
    ) -> str:
        """A cast's steps as a picture: how they are wired, or when each of them ran."""
        return self._send(
            Call("GET", f"/v1/casts/{quoted(cast_id)}/graph", str, query={"format": format, "view": view})
        )

    def resume_cast(
        self,
        cast_id: str,
        body: models.ResumeBody | Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> models.Cast:
        """Go on with a cast that failed or was cancelled; finished steps are kept."""
        return self._send(
            Call(
                "POST", f"/v1/casts/{quoted(cast_id)}/resume", models.Cast, body=body, key=idempotency_key or new_key()
            )
        )

    def get_generation(self, generation_id: str) -> models.Generation:
        """The record of one step."""
        return self._send(Call("GET", f"/v1/generations/{quoted(generation_id)}", models.Generation))

    def retry_step(
        self,
        generation_id: str,
        body: models.RetryBody | Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> models.Cast:
        """Run a step of an ended cast again, with other inputs, and all steps after it."""
        return self._send(
            Call(
                "POST",
                f"/v1/generations/{quoted(generation_id)}/retry",
                models.Cast,
                body=body,
                key=idempotency_key or new_key(),
            )
        )

    def list_tools(self) -> models.Tools:
        """All tools that steps can use."""
        return self._send(Call("GET", "/v1/tools", models.Tools))

    def create_tool(self, body: models.ToolBody | Mapping[str, Any]) -> models.Tool:
        """Add an own tool."""
        return self._send(Call("POST", "/v1/tools", models.Tool, body=body))

    def import_tool(self, body: models.ImportBody | Mapping[str, Any]) -> models.Tool:
        """Add an own tool, made of a workflow or of a model's description."""
        return self._send(Call("POST", "/v1/tools/import", models.Tool, body=body))

    def get_tool(self, tool_id: str) -> models.Tool:
        """One tool's definition."""
        return self._send(Call("GET", f"/v1/tools/{quoted(tool_id)}", models.Tool))

    def delete_tool(self, tool_id: str) -> None:
        """Delete an own tool."""
        return self._send(Call("DELETE", f"/v1/tools/{quoted(tool_id)}", NoneType))

    def list_api_keys(self, *, limit: int = 25, cursor: str | None = None) -> models.ApiKeys:
        """The account's API keys."""
        return self._send(Call("GET", "/v1/accounts/me/keys", models.ApiKeys, query={"limit": limit, "cursor": cursor}))

    def revoke_api_key(self, key_id: str) -> None:
        """End an API key at once."""
        return self._send(Call("DELETE", f"/v1/accounts/me/keys/{quoted(key_id)}", NoneType))

    def rotate_api_key(
        self, key_id: str, body: models.RotationBody | Mapping[str, Any] | None = None
    ) -> models.IssuedKey:
        """Replace an API key; the old one stays good for a while."""
        return self._send(Call("POST", f"/v1/accounts/me/keys/{quoted(key_id)}/rotate", models.IssuedKey, body=body))

    def get_ledger(
        self, *, from_: str | None = None, to: str | None = None, limit: int = 25, cursor: str | None = None
    ) -> models.Ledger:
        """What the account has spent and earned, latest first."""
        return self._send(
            Call(
                "GET",
                "/v1/accounts/me/ledger",
                models.Ledger,
                query={"from": from_, "to": to, "limit": limit, "cursor": cursor},
            )
        )

    def get_settings(self) -> models.Settings:
        """The account's own defaults of tools' inputs."""
        return self._send(Call("GET", "/v1/accounts/me/settings", models.Settings))

    def save_settings(self, body: models.SettingsBody | Mapping[str, Any]) -> models.Settings:
        """Set them all anew."""
        return self._send(Call("PUT", "/v1/accounts/me/settings", models.Settings, body=body))

    def issue_ticket(self) -> models.Ticket:
        """A ticket for the WebSocket."""
        return self._send(Call("POST", "/v1/realtime/ticket", models.Ticket))

    def complete_job(self, token: str, body: dict[str, Any] | Mapping[str, Any] | None = None) -> None:
        """A provider's callback; the token is the authorisation, or `openai` and the signature."""
        return self._send(Call("POST", f"/v1/completions/{quoted(token)}", NoneType, body=body))

    def get_health(self) -> models.Health:
        """Whether the API answers."""
        return self._send(Call("GET", "/v1/health", models.Health))


class AsyncRoutes:
    """The routes, for who awaits them."""

    async def _send(self, call: Call[A]) -> A:
        raise NotImplementedError

    async def list_spells(self, *, limit: int = 25, cursor: str | None = None) -> models.Spells:
        """The account's spells."""
        return await self._send(Call("GET", "/v1/spells", models.Spells, query={"limit": limit, "cursor": cursor}))

    async def create_spell(self, body: models.SpellBody | Mapping[str, Any]) -> models.Spell:
        """Save a new spell; with dryRun only say what is wrong with it."""
        return await self._send(Call("POST", "/v1/spells", models.Spell, body=body))

    async def lint_spell(self, body: models.SpellBody | Mapping[str, Any]) -> models.Lint:
        """What would be said of it; nothing is saved."""
        return await self._send(Call("POST", "/v1/spells", models.Lint, query={"dryRun": "true"}, body=body))

    async def get_spell(self, spell: str, *, version: int | None = None) -> models.Spell:
        """One spell."""
        return await self._send(Call("GET", f"/v1/spells/{quoted(spell)}", models.Spell, query={"version": version}))

    async def update_spell(self, spell: str, body: models.SpellBody | Mapping[str, Any]) -> models.Spell:
        """Save a new version."""
        return await self._send(Call("PUT", f"/v1/spells/{quoted(spell)}", models.Spell, body=body))

    async def delete_spell(self, spell: str) -> None:
        """Delete a spell."""
        return await self._send(Call("DELETE", f"/v1/spells/{quoted(spell)}", NoneType))

    async def draw_spell(
        self, spell: str, *, format: Literal["svg", "mermaid"] = "svg", version: int | None = None
    ) -> str:
        """A spell's steps and wires as a picture."""
        return await self._send(
            Call("GET", f"/v1/spells/{quoted(spell)}/graph", str, query={"format": format, "version": version})
        )

    async def list_permissions(self, spell: str) -> models.Permissions:
        """To whom a spell is granted."""
        return await self._send(Call("GET", f"/v1/spells/{quoted(spell)}/permissions", models.Permissions))

    async def grant_permission(self, spell: str, account_id: str) -> models.Permission:
        """Let an account use a spell while it is listed."""
        return await self._send(
            Call("PUT", f"/v1/spells/{quoted(spell)}/permissions/{quoted(account_id)}", models.Permission)
        )

    async def revoke_permission(self, spell: str, account_id: str) -> None:
        """Take a grant back."""
        return await self._send(
            Call("DELETE", f"/v1/spells/{quoted(spell)}/permissions/{quoted(account_id)}", NoneType)
        )

    async def quote_spell(self, spell: str, body: models.QuoteBody | Mapping[str, Any] | None = None) -> models.Quote:
        """What a cast will probably cost and take."""
        return await self._send(Call("POST", f"/v1/spells/{quoted(spell)}/quote", models.Quote, body=body))

    async def list_casts(
        self,
        *,
        status: Literal["running", "completed", "failed", "cancelled"] | None = None,
        limit: int = 25,
        cursor: str | None = None,
        spell: str | None = None,
    ) -> models.Casts:
        """The account's casts, latest first."""
        return await self._send(
            Call(
                "GET",
                "/v1/casts",
                models.Casts,
                query={"status": status, "limit": limit, "cursor": cursor, "spell": spell},
            )
        )

    async def cast_spell(
        self, body: models.CastBody | Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> models.Cast:
        """Cast a spell; 200 where the Idempotency-Key has been seen."""
        return await self._send(Call("POST", "/v1/casts", models.Cast, body=body, key=idempotency_key or new_key()))

    async def get_cast(self, cast_id: str) -> models.Cast:
        """A cast and its steps."""
        return await self._send(Call("GET", f"/v1/casts/{quoted(cast_id)}", models.Cast))

    async def cancel_cast(self, cast_id: str) -> models.Cast:
        """Stop a cast; 409 where it was completed or failed before."""
        return await self._send(Call("POST", f"/v1/casts/{quoted(cast_id)}/cancel", models.Cast))

    async def draw_cast(
        self, cast_id: str, *, format: Literal["svg", "mermaid"] = "svg", view: Literal["graph", "gantt"] = "graph"
    ) -> str:
        """A cast's steps as a picture: how they are wired, or when each of them ran."""
        return await self._send(
            Call("GET", f"/v1/casts/{quoted(cast_id)}/graph", str, query={"format": format, "view": view})
        )

    async def resume_cast(
        self,
        cast_id: str,
        body: models.ResumeBody | Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> models.Cast:
        """Go on with a cast that failed or was cancelled; finished steps are kept."""
        return await self._send(
            Call(
                "POST", f"/v1/casts/{quoted(cast_id)}/resume", models.Cast, body=body, key=idempotency_key or new_key()
            )
        )

    async def get_generation(self, generation_id: str) -> models.Generation:
        """The record of one step."""
        return await self._send(Call("GET", f"/v1/generations/{quoted(generation_id)}", models.Generation))

    async def retry_step(
        self,
        generation_id: str,
        body: models.RetryBody | Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> models.Cast:
        """Run a step of an ended cast again, with other inputs, and all steps after it."""
        return await self._send(
            Call(
                "POST",
                f"/v1/generations/{quoted(generation_id)}/retry",
                models.Cast,
                body=body,
                key=idempotency_key or new_key(),
            )
        )

    async def list_tools(self) -> models.Tools:
        """All tools that steps can use."""
        return await self._send(Call("GET", "/v1/tools", models.Tools))

    async def create_tool(self, body: models.ToolBody | Mapping[str, Any]) -> models.Tool:
        """Add an own tool."""
        return await self._send(Call("POST", "/v1/tools", models.Tool, body=body))

    async def import_tool(self, body: models.ImportBody | Mapping[str, Any]) -> models.Tool:
        """Add an own tool, made of a workflow or of a model's description."""
        return await self._send(Call("POST", "/v1/tools/import", models.Tool, body=body))

    async def get_tool(self, tool_id: str) -> models.Tool:
        """One tool's definition."""
        return await self._send(Call("GET", f"/v1/tools/{quoted(tool_id)}", models.Tool))

    async def delete_tool(self, tool_id: str) -> None:
        """Delete an own tool."""
        return await self._send(Call("DELETE", f"/v1/tools/{quoted(tool_id)}", NoneType))

    async def list_api_keys(self, *, limit: int = 25, cursor: str | None = None) -> models.ApiKeys:
        """The account's API keys."""
        return await self._send(
            Call("GET", "/v1/accounts/me/keys", models.ApiKeys, query={"limit": limit, "cursor": cursor})
        )

    async def revoke_api_key(self, key_id: str) -> None:
        """End an API key at once."""
        return await self._send(Call("DELETE", f"/v1/accounts/me/keys/{quoted(key_id)}", NoneType))

    async def rotate_api_key(
        self, key_id: str, body: models.RotationBody | Mapping[str, Any] | None = None
    ) -> models.IssuedKey:
        """Replace an API key; the old one stays good for a while."""
        return await self._send(
            Call("POST", f"/v1/accounts/me/keys/{quoted(key_id)}/rotate", models.IssuedKey, body=body)
        )

    async def get_ledger(
        self, *, from_: str | None = None, to: str | None = None, limit: int = 25, cursor: str | None = None
    ) -> models.Ledger:
        """What the account has spent and earned, latest first."""
        return await self._send(
            Call(
                "GET",
                "/v1/accounts/me/ledger",
                models.Ledger,
                query={"from": from_, "to": to, "limit": limit, "cursor": cursor},
            )
        )

    async def get_settings(self) -> models.Settings:
        """The account's own defaults of tools' inputs."""
        return await self._send(Call("GET", "/v1/accounts/me/settings", models.Settings))

    async def save_settings(self, body: models.SettingsBody | Mapping[str, Any]) -> models.Settings:
        """Set them all anew."""
        return await self._send(Call("PUT", "/v1/accounts/me/settings", models.Settings, body=body))

    async def issue_ticket(self) -> models.Ticket:
        """A ticket for the WebSocket."""
        return await self._send(Call("POST", "/v1/realtime/ticket", models.Ticket))

    async def complete_job(self, token: str, body: dict[str, Any] | Mapping[str, Any] | None = None) -> None:
        """A provider's callback; the token is the authorisation, or `openai` and the signature."""
        return await self._send(Call("POST", f"/v1/completions/{quoted(token)}", NoneType, body=body))

    async def get_health(self) -> models.Health:
        """Whether the API answers."""
        return await self._send(Call("GET", "/v1/health", models.Health))
