"""ComfyUI workflows as tools hold them: `metadata.workflow` in API format, with inputs placed by node and field."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from spellcast.domain.documents import Document
from spellcast.domain.errors import InvalidStepInput
from spellcast.domain.tool_definitions import EDITOR_FORMAT, is_editor_workflow
from spellcast.domain.tools import Tool
from spellcast.ports.adapter import Request

# Below 2^53, so that every JSON reader sees the same number.
_SEED_BITS = 48
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.\-]+){2,}[\\/]?")


class Template:
    """A tool's workflow. Raises InvalidStepInput for one that cannot be run, or that has no node for an input."""

    def __init__(self, tool: Tool) -> None:
        workflow = tool.metadata.get("workflow")
        if is_editor_workflow(workflow):
            raise InvalidStepInput(f"The workflow of {tool.tool_id} {EDITOR_FORMAT}")
        if not isinstance(workflow, dict) or not workflow:
            hint = ""
            if tool.metadata.get("deploymentId") or (tool.metadata.get("defaultAdapterParams") or {}):
                hint = "; a deployment at ComfyDeploy is a tool of the service comfydeploy"
            raise InvalidStepInput(f"The tool {tool.tool_id} has no metadata.workflow{hint}")
        if not all(isinstance(node, dict) and node.get("class_type") for node in workflow.values()):
            raise InvalidStepInput(f"The workflow of {tool.tool_id} is not in API format; export it as API")
        self._workflow: Document = workflow
        places = tool.metadata.get("workflowInputs") or {}
        self._places = {key: _places(entry) for key, entry in places.items()}
        for key, pairs in self._places.items():
            for node_id, _ in pairs:
                if node_id not in workflow:
                    raise InvalidStepInput(f"{tool.tool_id}: its workflow has no node {node_id} for {key}")

    def is_placed(self, key: str) -> bool:
        """Whether the workflow takes this input at all."""
        return bool(self._places.get(key))

    def filled(self, inputs: Mapping[str, Any]) -> Document:
        """A copy with the values in their places; an input without a value leaves what the template says."""
        workflow = copy.deepcopy(self._workflow)
        for key, value in inputs.items():
            if value is not None:
                for node_id, field in self._places.get(key, ()):
                    workflow[node_id].setdefault("inputs", {})[field] = value
        return workflow


def with_seed(request: Request) -> Document:
    """The inputs; a seed that nobody chose is derived from the generation: a repetition draws the same picture."""
    key = request.tool.metadata.get("seedInputKey") or "input_seed"
    if key not in request.tool.inputs or request.inputs.get(key) not in (None, "", -1, "-1"):
        return request.inputs
    digest = hashlib.sha256(request.generation_id.encode()).digest()
    return {**request.inputs, key: int.from_bytes(digest[:8]) >> (64 - _SEED_BITS)}


def without_paths(text: str) -> str:
    """A server's message without the paths of its files."""
    return _PATH.sub("…", text)


def _places(entry: Any) -> list[tuple[str, str]]:
    """`[nodeId, field]`, or a list of them."""
    if not entry:
        return []
    pairs = entry if isinstance(entry[0], list) else [entry]
    return [(str(node_id), str(field)) for node_id, field in pairs]
