"""The payload of a set of files, for providers that give addresses or names and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from spellcast.domain.documents import Document


def media_payload(files: Iterable[Document], kind_of_unknown: str = "file") -> Iterator[Document]:
    """One payload element for each kind of file: `images`, or `files` of video, audio and anything else."""
    found: dict[str, list[Document]] = {"image": [], "video": [], "audio": [], "file": []}
    for file in files:
        kind = str(file.get("mediaType") or kind_of_unknown).partition("/")[0]
        found[kind if kind in found else "file"].append(file)
    for kind, members in found.items():
        if members:
            yield {"type": kind, "data": {"images" if kind == "image" else "files": members}}
