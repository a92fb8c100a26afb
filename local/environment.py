"""The environment variables of the embedded cloud and its demo provider (docs/reference/settings.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """What may be set, what it is where it is not, and what that means."""

    name: str
    default: str
    meaning: str

    def of(self, environment: Mapping[str, str]) -> str:
        """Its value; the default where there is none, or an empty one."""
        return environment.get(self.name) or self.default


PORT = Variable("SPELLCAST_PORT", "4599", "The cloud's port; the demo provider has the next one.")
DIRECTORY = Variable("SPELLCAST_LOCAL_DIR", ".local", "Where the cloud keeps what it has, in the clone.")
JWT_ISSUER = Variable("SPELLCAST_JWT_ISSUER", "", "The parameter `JwtIssuer`.")
JWT_AUDIENCE = Variable("SPELLCAST_JWT_AUDIENCE", "", "The parameter `JwtAudience`.")
WORKERS = Variable(
    "SPELLCAST_WORKERS",
    "4",
    "Processes for each function at most; `SPELLCAST_WORKERS_<FUNCTION>` for one, as in `_EXECUTE_STEP`.",
)
ALL_WORKERS = Variable(
    "SPELLCAST_WORKERS_TOTAL", "8", "Processes for all functions together; a function has one all the same."
)
BRIDGE = Variable(
    "SPELLCAST_BRIDGE",
    "",
    "An address of this machine at which cloud and demo provider listen beside 127.0.0.1, for containers.",
)
MENDS = Variable("SPELLCAST_MENDS", "", "`-name,-name` leaves mends of the emulator out.")
FAULTS = Variable("SPELLCAST_FAULTS", "", "Anything puts faults, as AWS has them now and then, in front of it.")
JOB_SECONDS = Variable("SPELLCAST_DEMO_JOB_SECONDS", "1.5", "Seconds that a job of the demo provider runs.")
WEBHOOK_SECRET = Variable(
    "SPELLCAST_DEMO_WEBHOOK_SECRET",
    "",
    "What the demo provider signs its callbacks with; a fixed one where it is empty.",
)
VARIABLES = (
    PORT,
    DIRECTORY,
    JWT_ISSUER,
    JWT_AUDIENCE,
    WORKERS,
    ALL_WORKERS,
    BRIDGE,
    MENDS,
    FAULTS,
    JOB_SECONDS,
    WEBHOOK_SECRET,
)

# Of a provider: `SPELLCAST_<SERVICE>_<what>`; what is said of all of it becomes the service's secret.
OF_SERVICES = {
    "URL": "The provider's address, where it has not its usual one.",
    "KEY": "The provider's key.",
    "WEBHOOK_SECRET": "What the provider signs its callbacks with.",
    "LIMITS": "How much may be in flight at once, as JSON.",
}
