"""Every change of a row since the tables were last saved, on disk before it is answered: a kill loses none.

Only the end of this process is guarded against, not that of the machine: nothing waits for the disk.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

LONG = 16_000_000  # bytes; read in about a second at a start


class Journal:
    """Numbered files; those before the newest are needed until the save that followed them is done."""

    def __init__(self, folder: Path) -> None:
        """Beside the state of MiniStack, whose file of tables it goes on from."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._tables = folder.parent / "dynamodb.json"
        self._lock = threading.Lock()
        self._file = -1
        self._marked: Any = None
        self.size = 0  # bytes since the last `begin`
        self.begin()

    def begin(self) -> None:
        """Changes from here on are in a new file. To be called in the moment in which the tables are copied."""
        self._before = self._saved()
        numbers = [int(file.stem) for file in self._files()]
        path = self._folder / f"{max(numbers, default=0) + 1:08d}.jsonl"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with self._lock:
            before, self._file, self.size = self._file, file, 0
        if before >= 0:
            os.close(before)

    def forget(self) -> None:
        """Drop every file but the newest, if the tables were saved since; MiniStack goes on where that has failed."""
        if self._saved() != self._before:
            for file in self._files()[:-1]:
                file.unlink()

    @property
    def is_long(self) -> bool:
        """It has outgrown the tables: to save them costs as much as they are large, so it is done the more rarely."""
        return self.size > max(LONG, self._tables.stat().st_size if self._tables.exists() else 0)

    def mark(self, read: Any) -> None:
        """Write down how far the tables' streams were read, so that a restart does not deliver all of them again."""
        if read != self._marked:
            self._marked = read
            self._append({"read": read})

    def install(self) -> None:
        """Write down what is written, and write it again where tables are loaded that were saved before it."""
        from ministack.services import dynamodb, lambda_svc

        emit, load = dynamodb._emit_stream_event, dynamodb.load_persisted_state

        def written(name: str, event: str, old: Any, new: Any, *rest: Any, **named: Any) -> Any:
            self._append([name, event, old, new])
            return emit(name, event, old, new, *rest, **named)

        def loaded(data: Any) -> None:
            load(data)
            for line in self._lines():
                if isinstance(line, dict):
                    # A change has the same place again: the stream goes on from where it was saved.
                    lambda_svc._dynamodb_stream_positions._data.update({tuple(key): at for key, at in line["read"]})
                    continue
                name, event, old, new = line
                table = dynamodb._tables.get(name)
                if table is None:
                    continue
                place = [dynamodb._extract_key_val((new or old)[table[key]]) for key in ("pk_name", "sk_name")]
                if new is None:
                    dynamodb._remove_item(table, *place)
                else:
                    dynamodb._set_item(table, *place, new)
                emit(name, event, old, new)  # the table's stream may not have been read so far

        dynamodb._emit_stream_event = written
        dynamodb.load_persisted_state = loaded

    def _append(self, line: Any) -> None:
        encoded = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self.size += os.write(self._file, encoded)

    def _lines(self) -> list[Any]:
        """What a kill has torn, the last line of a file, was not answered."""
        lines = [line for file in self._files() for line in file.read_bytes().splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def _saved(self) -> int:
        """Every save puts another file in the place of the last one."""
        return self._tables.stat().st_ino if self._tables.exists() else 0

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))
