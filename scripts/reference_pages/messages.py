"""docs/reference/messages.md: the WebSocket, the caster's webhook, the bus."""

from __future__ import annotations

import re
from typing import get_type_hints

from scripts.reference_pages.records import record
from scripts.reference_pages.texts import NOTE, cell
from spellcast.application.notify import CAST_UPDATED, GENERATION_UPDATED, Following
from spellcast.application.send_webhook import WebhookBody
from spellcast.application.watch_casts import MAX_CONNECTIONS, USAGE
from spellcast.aws.announcer import SOURCE
from spellcast.domain.completions import JobCompleted
from spellcast.domain.messages import KINDS

_MESSAGES = f"""\
# Messages

{NOTE}

Everything that is written is announced at least once, with the record's `revision`, which only grows: what has a lower
one than was seen is old news. No order is promised between records, and the bus does not wait for WebSockets. What is
too large comes as `truncated`: [limits](../limits.md).

## Over the WebSocket

`POST /v1/realtime/ticket` gives the address, with a ticket that is good for one connection. All messages of the account
arrive as `{{type, payload, at}}`, with `truncated: true` beside these where something was left out; `at` is when it was
sent. API Gateway closes a connection after two hours, or ten minutes without a message. An account has at most
{MAX_CONNECTIONS} open; one more is refused with 429.

@USAGE@

A client that connects anew subscribes, and has missed nothing. A connection that does not take a message, since its
client does not read or API Gateway does not answer, is closed, so that its client does that. Where not even that can be
done, or 3 s were not enough for all connections of the account, it has missed a message.

| type | is sent | payload |
|---|---|---|
"""

_WEBHOOK = """
## The caster's webhook

A cast with a `webhookUrl` posts this there once it was completed or has failed; never when it was cancelled. Any 2xx
takes it; otherwise it is tried three times in all (`WebhookBackoffSeconds`), and then kept as a dead letter. The cast's
`delivery` tells of it. With a `webhookSecret` it is signed in two ways, over the bytes
that are sent:

| header | is |
|---|---|
| `x-webhook-signature` | the original's: `sha256=` and the body's `signature` |
| `webhook-signature` | that of [Standard Webhooks](https://www.standardwebhooks.com), over the whole body |
| `webhook-id` | what is told: the same in every attempt, so that a repeat can be dropped |
| `webhook-timestamp` | when it was sent, in seconds since 1970 |

"""

_EVENTS = f"""
## On the bus

The output `EventBusName` names it. What it tells has the source `{SOURCE}`:

| detail-type | is put | detail |
|---|---|---|
| `{CAST_UPDATED}` | at every revision of a cast | a [Cast](api.md#castanswer), and the keys below |
| `{GENERATION_UPDATED}` | at every revision of a step's record | a [Generation](api.md#generationanswer) |

"""

_COMPLETED = """
### `Job Completed`

What it listens to, whatever its source: the result of a job, from whoever may put events on the bus.

"""


def page() -> str:
    """The WebSocket, the caster's webhook, the bus."""
    usage = re.sub(r"({.*?})", r"`\1`", USAGE)
    parts = [_MESSAGES.replace("@USAGE@", usage)]
    for kind in KINDS:
        shown = "a [Cast](api.md#castanswer)" if kind.payload is None else _record_link(kind.payload)
        parts.append(f"| `{kind.name}` | {cell(kind.sent)} | {shown} |\n")
    for kind in KINDS:
        if kind.payload is not None and get_type_hints(kind.payload):
            parts.append(f"\n### {kind.payload.__name__}\n\n{kind.payload.__doc__}\n\n{record(kind.payload)}")
    parts += [_WEBHOOK, record(WebhookBody)]
    parts += [_EVENTS, record(Following), _COMPLETED, record(JobCompleted)]
    return "".join(parts)


def _record_link(record: type) -> str:
    name = record.__name__
    return f"[{name}](#{name.lower()})" if get_type_hints(record) else "empty"
