"""The pipeline context, assembled from the cast, its spell version and the finished generations; it is never stored."""

from __future__ import annotations

from collections.abc import Iterable

from spellcast.domain.casts import Cast
from spellcast.domain.documents import Document
from spellcast.domain.generations import Generation, latest_attempts
from spellcast.domain.outputs import pipeline_context
from spellcast.domain.spells import SpellVersion


def context_before(step_index: int, cast: Cast, version: SpellVersion, generations: Iterable[Generation]) -> Document:
    """What the step at this index finds: the caster's inputs overlaid by the outputs of the steps before it."""
    latest = latest_attempts(generations)
    steps = version.steps
    finished = [
        (steps[index], generation.result.payload)
        for index, generation in sorted(latest.items())
        if index < min(step_index, len(steps)) and generation.status == "completed" and generation.result
    ]
    return pipeline_context(cast.inputs, finished)


def assembled_metadata(
    generation: Generation, cast: Cast, version: SpellVersion, generations: Iterable[Generation]
) -> Document:
    """`spell`, `pipelineContext` and `originalContext` as the original kept them in every record.

    An attempt has found the outputs of no later one.
    """
    earlier = [other for other in generations if other.attempt <= generation.attempt]
    return {
        "spell": {"spellId": cast.spell_id, "slug": cast.spell_slug, "name": version.name, **version.content},
        "pipelineContext": context_before(generation.step_index, cast, version, earlier),
        "originalContext": {
            **cast.metadata,
            "masterAccountId": cast.account_id,
            "castId": cast.cast_id,
            "parameterOverrides": cast.inputs,
            **({"webhookUrl": cast.webhook_url} if cast.webhook_url else {}),
        },
    }
