"""Casts a spell by a version that is about to be let in, and says whether it came to its end as it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from spellcast.application.find_tools import FindTools
from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.errors import WriteConflict
from spellcast.domain.segments import cast_seconds, plan_segments
from spellcast.domain.spells import Spell, SpellVersion
from spellcast.observability import logger
from spellcast.ports.clock import Clock
from spellcast.ports.machine import Machine
from spellcast.ports.store import CastStore, SpellStore

# Its records begin with this, so that its role reaches no others. No account can have the name: it has a space.
PREFIX = "check-"
ACCOUNT = "check deployment"
PATIENCE = timedelta(seconds=60)
_EVERY = 0.5  # seconds
_STEPS: list[Document] = [
    {
        "id": "words",
        "toolIdentifier": "string-primitive",
        "parameterMappings": {
            "operation": {"type": "static", "value": "concat"},
            "inputText": {"type": "static", "value": "spell"},
            "appendText": {"type": "static", "value": "cast"},
        },
    },
    {
        "id": "more",
        "toolIdentifier": "string-primitive",
        "parameterMappings": {
            "operation": {"type": "static", "value": "concat"},
            "inputText": {"type": "nodeOutput", "nodeId": "words", "outputKey": "text"},
            "appendText": {"type": "static", "value": "!"},
        },
    },
]
EXPECTED: Document = {"text": "spellcast!"}


@dataclass(frozen=True, slots=True)
class CheckDeployment:
    """`machine` starts casts by the version that is checked. Its steps cost no points: nothing is booked.

    Everything is derived from the check's id, so a repeat finds the cast of the one that died.
    """

    casts: CastStore
    spells: SpellStore
    find_tools: FindTools
    machine: Machine
    clock: Clock
    pause: Callable[[float], None]

    def __call__(self, check_id: str, report: Callable[[bool], None]) -> bool:
        """Reports before it cleans up: of a check that dies in between, the repeat finds what it needs."""
        spell = self._spell(f"{PREFIX}{check_id.lower()}")
        try:
            passed = self._came_to_its_end(self._cast(spell))
        except Exception:
            logger().exception("The deployment could not be checked")
            passed = False
        report(passed)
        self.casts.erase_cast(spell.spell_id)
        self.spells.erase_spell(spell)
        return passed

    def _spell(self, spell_id: str) -> Spell:
        now = self.clock.now()
        return Spell(
            spell_id=spell_id,
            account_id=ACCOUNT,
            slug=spell_id,
            name=spell_id,
            visibility="private",
            version=1,
            created_at=now,
            updated_at=now,
        )

    def _cast(self, spell: Spell) -> Cast:
        now = self.clock.now()
        version = SpellVersion(
            spell_id=spell.spell_id, version=1, name=spell.name, content={"steps": _STEPS}, created_at=now
        )
        segments = plan_segments(self.find_tools.of_version(ACCOUNT, version))
        cast = Cast(
            cast_id=spell.spell_id,
            account_id=ACCOUNT,
            spell_id=spell.spell_id,
            spell_slug=spell.slug,
            spell_name=spell.name,
            version=1,
            inputs={},
            step_count=len(_STEPS),
            started_at=now,
            updated_at=now,
            deadline_at=now + timedelta(seconds=cast_seconds(segments)),
            request_fingerprint="",
        )
        try:
            self.spells.create_spell(spell, version)
            self.casts.create_cast(cast)
        except WriteConflict:
            pass  # A check that died had written it; what of it is missing will be missed.
        self.machine.start_cast(cast, segments)
        return cast

    def _came_to_its_end(self, cast: Cast) -> bool:
        """The machine's end, not the record's: what it does behind the last write is checked too."""
        until = self.clock.now() + PATIENCE
        while (execution := self.machine.find_execution(cast.execution_name)) is None or execution.is_running:
            if self.clock.now() >= until:
                logger().error("The cast of the check did not end in time")
                return False
            self.pause(_EVERY)
        found = self.casts.get_cast(cast.cast_id)
        status = found.status if found else "lost"
        passed = execution.code is None and found is not None and (status, found.outputs) == ("completed", EXPECTED)
        logger().info("Checked the deployment", passed=passed, status=status, code=execution.code)
        return passed
