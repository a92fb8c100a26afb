"""Ids: derived where a repeat must find its own record, otherwise drawn and sortable by nothing but chance."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import NamedTuple

_NAMESPACE = uuid.UUID("7a1f3c9e-52d4-5a0b-9d54-5be11ca50000")
_ID = re.compile(r"[0-9a-f]{32}")
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_GENERATION_ID = re.compile(
    r"(?P<cast_id>[A-Za-z0-9_-]{1,64})\.(?P<step_index>0|[1-9][0-9]{0,3})\.(?P<attempt>[1-9][0-9]{0,3})"
)


class GenerationKey(NamedTuple):
    """The three parts of a generation id."""

    cast_id: str
    step_index: int
    attempt: int


def new_id() -> str:
    """A fresh id for a spell, or for a cast without an Idempotency-Key."""
    return uuid.uuid4().hex


def is_id(text: str) -> bool:
    """Whether the text has the form of an id of ours; no slug has it."""
    return _ID.fullmatch(text) is not None


def is_object_id(text: str) -> bool:
    """Whether the text has the form of the original's ids (MongoDB's); none of ours has."""
    return _OBJECT_ID.fullmatch(text) is not None


def shard_of(cast_id: str, shards: int) -> int:
    """0 to `shards` - 1, always the same for a cast and evenly spread over them."""
    return int(fingerprint(cast_id)[:8], 16) % shards


def share_of(account_id: str) -> int:
    """0 to 99, always the same for an account and evenly spread over them."""
    return int(fingerprint(account_id), 16) % 100


def cast_id_for(account_id: str, idempotency_key: str) -> str:
    """The cast id that this account's key always leads to."""
    return uuid.uuid5(_NAMESPACE, f"{account_id}\n{idempotency_key}").hex


def spell_id_for(account_id: str, source: str) -> str:
    """The id under which this account's copy of a spell from elsewhere is kept."""
    return uuid.uuid5(_NAMESPACE, f"{account_id}\nspell\n{source}").hex


def generation_id(cast_id: str, step_index: int, attempt: int) -> str:
    """`<castId>.<stepIndex>.<attempt>`, contract §2."""
    return f"{cast_id}.{step_index}.{attempt}"


def parse_generation_id(text: str) -> GenerationKey | None:
    """The parts of a generation id, or None where the text is not one."""
    match = _GENERATION_ID.fullmatch(text)
    if match is None:
        return None
    return GenerationKey(match["cast_id"], int(match["step_index"]), int(match["attempt"]))


def job_uuid(generation: str) -> str:
    """The job id that we choose for a provider that lets us (ComfyUI's `prompt_id` must be a canonical UUID)."""
    return str(uuid.uuid5(_NAMESPACE, generation))


def polling_name(generation: str, execution: int) -> str:
    """How the job's polling is called, of each execution of its cast another; a dot is not allowed everywhere."""
    name = generation.replace(".", "-")
    return name if execution == 1 else f"{name}-{execution}"


def cast_execution_name(cast_id: str, execution: int) -> str:
    """The cast's id for its first execution, `<castId>-<n>` for a later one, contract §2."""
    return cast_id if execution == 1 else f"{cast_id}-{execution}"


def slug_base(name: str) -> str:
    """`A cat, painted!` as `a-cat-painted`; a name without a single letter or digit becomes `spell`."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return f"spell-{slug}" if is_id(slug) else slug or "spell"


def fingerprint(text: str) -> str:
    """SHA-256 as hex: what is stored of keys and tickets, and compared of repeated requests."""
    return hashlib.sha256(text.encode()).hexdigest()
