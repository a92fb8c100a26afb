"""Spells: a head that says which version is the latest, the versions, and the slug that leads to the head."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from spellcast.aws.documents import DocumentStore
from spellcast.aws.table import Row, Table
from spellcast.domain import times
from spellcast.domain.spells import Permission, Spell, SpellVersion
from spellcast.ports.store import Page

SPELL = "SPELL"
PERMISSION = "PERMISSION"
_CACHED_VERSIONS = 100
# What callers ask for may be longer than a key.
_NO_VERSION = 10**8


@dataclass(frozen=True, slots=True)
class DynamoSpellStore:
    """Implements `ports.store.SpellStore`. Versions never change, so those read are kept for the container's life."""

    table: Table
    documents: DocumentStore
    _versions: OrderedDict[tuple[str, int], SpellVersion] = field(default_factory=OrderedDict)

    def create_spell(self, spell: Spell, version: SpellVersion) -> None:
        """Raises WriteConflict where the slug or the id is taken."""
        slug = {"pk": f"SLUG#{spell.slug}", "sk": "SLUG", "entity": "SLUG", "spellId": spell.spell_id}
        self.table.create_all([_spell_row(spell), self._version_row(version), slug])

    def save_spell(self, spell: Spell, version: SpellVersion) -> None:
        """Raises WriteConflict where the head is not that of the version before."""
        head = _spell_row(spell)
        # Casts are counted meanwhile: what was read before is not written back.
        del head["usageCount"]
        self.table.create_all([self._version_row(version)], newer=head)

    def count_usage(self, spell_id: str) -> None:
        """One more; nothing where there is no such head."""
        self.table.count(_pk(spell_id), SPELL, "usageCount")

    def delete_spell(self, spell: Spell) -> bool:
        """The versions stay for the casts that name them, the slug so that it never leads to another spell."""
        return self.table.take(_pk(spell.spell_id), SPELL) is not None

    def erase_spell(self, spell: Spell) -> None:
        """The slug first: it must not lead to a spell that is gone."""
        self.table.take(f"SLUG#{spell.slug}", "SLUG")
        self.table.erase(_pk(spell.spell_id))

    def get_spell(self, spell_id: str) -> Spell | None:
        """The head, by id."""
        row = self.table.get(_pk(spell_id), SPELL)
        return _to_spell(row) if row else None

    def get_spell_by_slug(self, slug: str) -> Spell | None:
        """The head, by slug."""
        row = self.table.get(f"SLUG#{slug}", "SLUG")
        return self.get_spell(row["spellId"]) if row else None

    def list_spells(self, account_id: str, *, limit: int, cursor: str | None) -> Page[Spell]:
        """The account's spells, latest first. Raises InvalidInput for a cursor that is none."""
        rows, following = self.table.list_index(
            f"ACCOUNT#{account_id}#SPELLS", status=None, limit=limit, cursor=cursor, key="SPELL#{id}/SPELL"
        )
        return Page([_to_spell(row) for row in rows], following)

    def get_version(self, spell_id: str, version: int) -> SpellVersion | None:
        """The version, read once."""
        known = self._versions.get((spell_id, version))
        if known is not None:
            return known
        row = self.table.get(_pk(spell_id), _version_sk(version)) if version < _NO_VERSION else None
        if row is None:
            return None
        found = SpellVersion(
            spell_id=spell_id,
            version=version,
            name=row["name"],
            content=self.documents.unpack(row, "content"),
            created_at=times.from_text(row["createdAt"]),
        )
        self._versions[spell_id, version] = found
        if len(self._versions) > _CACHED_VERSIONS:
            self._versions.popitem(last=False)
        return found

    def create_permission(self, permission: Permission) -> None:
        """Raises WriteConflict where the account has one for this spell."""
        self.table.create(
            {
                "pk": _pk(permission.spell_id),
                "sk": f"{PERMISSION}#{permission.account_id}",
                "entity": PERMISSION,
                "spellId": permission.spell_id,
                "accountId": permission.account_id,
                "grantedBy": permission.granted_by,
                "grantedAt": times.to_text(permission.granted_at),
            }
        )

    def delete_permission(self, spell_id: str, account_id: str) -> None:
        """Harmless where it is gone."""
        self.table.take(_pk(spell_id), f"{PERMISSION}#{account_id}")

    def get_permission(self, spell_id: str, account_id: str) -> Permission | None:
        """The account's own row: no other is read."""
        row = self.table.get(_pk(spell_id), f"{PERMISSION}#{account_id}")
        return _to_permission(row) if row else None

    def list_permissions(self, spell_id: str) -> list[Permission]:
        """In the order of the accounts' ids."""
        return [_to_permission(row) for row in self.table.query(_pk(spell_id), f"{PERMISSION}#")]

    def _version_row(self, version: SpellVersion) -> Row:
        return {
            "pk": _pk(version.spell_id),
            "sk": _version_sk(version.version),
            "entity": "SPELL_VERSION",
            "name": version.name,
            "createdAt": times.to_text(version.created_at),
            **self.documents.pack(f"spells/{version.spell_id}", {"content": version.content}),
        }


def _pk(spell_id: str) -> str:
    return f"SPELL#{spell_id}"


def _version_sk(version: int) -> str:
    return f"VERSION#{version:08d}"


def _spell_row(spell: Spell) -> Row:
    return {
        "pk": _pk(spell.spell_id),
        "sk": SPELL,
        "gsi1pk": f"ACCOUNT#{spell.account_id}#SPELLS",
        "gsi1sk": f"{times.to_text(spell.created_at)}#{spell.spell_id}",
        "entity": SPELL,
        "spellId": spell.spell_id,
        "accountId": spell.account_id,
        "slug": spell.slug,
        "name": spell.name,
        "visibility": spell.visibility,
        "version": spell.version,
        "usageCount": spell.usage_count,
        "createdAt": times.to_text(spell.created_at),
        "updatedAt": times.to_text(spell.updated_at),
    }


def _to_spell(row: Row) -> Spell:
    return Spell(
        spell_id=row["spellId"],
        account_id=row["accountId"],
        slug=row["slug"],
        name=row["name"],
        visibility=row["visibility"],
        version=row["version"],
        usage_count=row["usageCount"],
        created_at=times.from_text(row["createdAt"]),
        updated_at=times.from_text(row["updatedAt"]),
    )


def _to_permission(row: Row) -> Permission:
    return Permission(row["spellId"], row["accountId"], row["grantedBy"], times.from_text(row["grantedAt"]))
