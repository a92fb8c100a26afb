"""A provider to cast against without an account: ComfyUI's and Replicate's protocols, and real pictures."""

import base64
from typing import Final

# Replicate's callbacks are signed with it, unless SPELLCAST_DEMO_WEBHOOK_SECRET says otherwise.
WEBHOOK_SECRET: Final = "whsec_" + base64.b64encode(b"spellcast-demo-webhook-secret").decode()
