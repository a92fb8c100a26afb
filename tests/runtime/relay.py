"""What the embedded cloud calls in a function's place, where the function itself runs elsewhere."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

# What the cloud calls in a function's place: its error is the function's, by its name.
RELAY = """
import fcntl, json, urllib.request

def lambda_handler(event, context):
    request = urllib.request.Request({url!r}, json.dumps(event).encode())
    with open({lock!r}, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with urllib.request.urlopen(request, timeout=900) as answer:
            said = json.load(answer)
    if isinstance(said, dict) and "errorType" in said:
        raise type(said["errorType"], (Exception,), {{}})(said["errorMessage"])
    return said
"""
# Those of the two state machines, and how a cast comes to them and goes on after a job.
RELAYED = ("execute_step", "process_output", "finalize_cost", "poll_job", "cast_api", "complete_job")


def relay(url: str, lock: Path) -> bytes:
    """The code of a function that hands its events on to this address, one at a time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", RELAY.format(url=url, lock=str(lock)))
    return packed.getvalue()
