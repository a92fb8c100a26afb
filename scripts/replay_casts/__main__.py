"""`python -m scripts.replay_casts export.json`: the original's casts, replayed, and what comes out other than there.

Exit code 0 if every difference has its reason (docs/migrating.md lists them), 1 if one has none, 2 if the export
cannot be read. Nothing is cast, and nothing is called.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from scripts.replay_casts.recordings import read_export
from scripts.replay_casts.replay import Difference, replay
from spellcast.catalog import built_in_tools
from spellcast.domain import documents
from spellcast.domain.errors import InvalidInput

MAX_VALUE_CHARACTERS = 80


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", type=Path, help="tools, spells, casts and generationOutputs, as JSON")
    file: Path = parser.parse_args(arguments).export
    try:
        recordings = read_export(documents.from_text(file.read_bytes()))
    except InvalidInput as error:
        print(*(f"{fault.path}: {fault.message}" for fault in error.faults), sep="\n", file=sys.stderr)
        return 2
    except (OSError, ValueError, RecursionError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return 2
    tools = [*built_in_tools().values(), *recordings.tools]
    differences = [difference for cast in recordings.casts for difference in replay(cast, tools)]
    for difference in differences:
        print(_line(difference))
    unexplained = sum(difference.reason is None for difference in differences)
    steps = sum(len(cast.steps) for cast in recordings.casts)
    print(f"{len(recordings.casts)} casts, {steps} steps: {len(differences)} differences, {unexplained} unexplained")
    return 1 if unexplained else 0


def _line(difference: Difference) -> str:
    where = "cast" if difference.step_index is None else f"step {difference.step_index}"
    values = f"recorded {_shown(difference.recorded)}, ours {_shown(difference.ours)}"
    return f"{difference.cast_id} {where} {difference.key}: {values} [{difference.reason or 'UNEXPLAINED'}]"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else documents.to_text(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
