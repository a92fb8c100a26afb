"""Every error of the product: its code, whether a retry can help, and a message that a caller can act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input, with the path at which it stands (`steps[1].toolIdentifier`)."""

    path: str
    message: str


class SpellcastError(Exception):
    """A defect of ours, which was logged; what else can go wrong has a class of its own in the closed list below.

    `code` is part of the API, `retryable` says whether asking again can help, `remedy` what a caller does about it.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"
    retryable: ClassVar[bool] = False
    # Empty where no caller ever sees it.
    remedy: ClassVar[str] = "Tell the operator, with the answer's `apigw-requestid`."

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


# --- A caller asked for something that cannot be done; nothing was changed. ---


class InvalidInput(SpellcastError):
    """The request is wrong; every fault is named with its path."""

    code = "INVALID_INPUT"
    remedy = "Mend each fault in `details`, at its path."

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)


class InvalidCompletion(InvalidInput):
    """A `Job Completed` event is wrong; its text names the faults and quotes nothing, so that it may be logged."""

    code = "INVALID_COMPLETION"
    remedy = "Send the keys that `Job Completed` has (messages.md)."


class PayloadTooLarge(SpellcastError):
    """The body is over the limit."""

    code = "PAYLOAD_TOO_LARGE"
    remedy = "Give addresses in the place of the data themselves."


class Unauthorized(SpellcastError):
    """No credentials, or wrong ones."""

    code = "UNAUTHORIZED"
    remedy = "Send a key as `X-API-Key`, or a token as `Authorization: Bearer`; rotate a key that has expired."


class InvalidCallbackToken(SpellcastError):
    """A callback token that this system did not sign, or that has expired."""

    code = "INVALID_TOKEN"
    remedy = "None: the cast has ended long ago, or the address is not ours."


class InvalidSignature(SpellcastError):
    """A webhook whose provider signature is missing, wrong or stale."""

    code = "INVALID_SIGNATURE"
    remedy = "Compare the provider's webhook secret with the deployment's, and the clocks."


class NotFound(SpellcastError):
    """The thing does not exist, or belongs to another account."""

    code = "NOT_FOUND"
    remedy = "Look the id up in the list of its kind, with the key of the account that owns it."


class SpellNotFound(NotFound):
    """No such spell for this account."""

    code = "SPELL_NOT_FOUND"


class SpellAmbiguous(SpellcastError):
    """Several of the account's spells have slugs that begin like this."""

    code = "SPELL_AMBIGUOUS"
    remedy = "Write the slug out, or give the id."


class CastNotFound(NotFound):
    """No such cast for this account."""

    code = "CAST_NOT_FOUND"


class GenerationNotFound(NotFound):
    """No such generation for this account."""

    code = "GENERATION_NOT_FOUND"


class EventNotFound(NotFound):
    """No such event of this account."""

    code = "EVENT_NOT_FOUND"


class ToolNotFound(NotFound):
    """No such tool in the catalog or among the account's own."""

    code = "TOOL_NOT_FOUND"


class ApiKeyNotFound(NotFound):
    """No such API key of this account."""

    code = "API_KEY_NOT_FOUND"


class CastEnded(SpellcastError):
    """The cast has ended in a way, or so often, that what was asked for is not possible any more."""

    code = "CAST_ENDED"
    remedy = "Cast the spell anew, or retry a step of the cast."


class CastRunning(SpellcastError):
    """The cast has not ended yet, so it cannot be run again."""

    code = "CAST_RUNNING"
    remedy = "Wait for its end, or cancel it."


class GenerationSuperseded(SpellcastError):
    """A later attempt has taken the place of this generation, so it cannot be retried."""

    code = "GENERATION_SUPERSEDED"
    remedy = "Retry the step's latest generation."


class IdempotencyKeyReused(SpellcastError):
    """The same Idempotency-Key came with another body."""

    code = "IDEMPOTENCY_KEY_REUSED"
    remedy = "Take a new key for another body."


class SpellNotExecutable(SpellcastError):
    """The original's refusals of a spell document, in its words."""

    code = "SPELL_NOT_EXECUTABLE"
    remedy = "Mend the spell as the message says."


class InvalidGenerationRecord(SpellcastError):
    """The original's refusals of a completed record, in its words."""

    code = "INVALID_GENERATION_RECORD"
    remedy = "Send the record of a step whose cast is known here."


class MissingInternalKey(SpellcastError):
    """An internal route was asked without X-Internal-Client-Key."""

    code = "MISSING_AUTH_HEADER"
    remedy = "Send the header."


class InvalidInternalKey(SpellcastError):
    """An internal route was asked with a key that is not this deployment's."""

    code = "INVALID_API_KEY"
    remedy = "Take the key from the secret `internal-key`."


class MadeByCasts(SpellcastError):
    """Casts and generations exist because something runs; nobody writes them by hand."""

    code = "MADE_BY_CASTS"
    remedy = "Cast a spell."


class IllegalTransition(SpellcastError):
    """A state was asked to change in a way that its life does not allow."""

    code = "ILLEGAL_TRANSITION"
    remedy = "Read the record again: it has changed, or ended, in the meantime."


class ToolExists(SpellcastError):
    """The tool id is taken, by the catalog or by the account."""

    code = "TOOL_EXISTS"
    remedy = "Choose another id or display name."


class FlagsUnreadable(SpellcastError):
    """Where an account casts cannot be read at the moment; nothing was changed."""

    code = "FLAGS_UNREADABLE"
    retryable = True
    remedy = "Ask again."


class TooManyConnections(SpellcastError):
    """The account has as many WebSockets open as it may."""

    code = "TOO_MANY_CONNECTIONS"
    remedy = "Close one that is not needed: one tells of all the account's casts."


class StorageUnavailable(SpellcastError):
    """The bucket or the table did not answer, or not in full; the same request can be made again."""

    code = "STORAGE_UNAVAILABLE"
    retryable = True
    remedy = "Ask again."


class OriginalUnavailable(SpellcastError):
    """The original service, whose the request is, could not be asked; nothing was changed."""

    code = "ORIGINAL_UNAVAILABLE"
    retryable = True
    remedy = "Ask again."


class OriginalUnanswered(SpellcastError):
    """A request was passed on to the original service and its answer was lost; it may have been carried out."""

    code = "ORIGINAL_UNANSWERED"
    remedy = "Look whether it was carried out before you ask again."


# --- A step cannot go on; the generation records code and message, and the cast fails with them. ---


class StepFailed(SpellcastError):
    """The step failed in a way that none of the classes below is for."""

    code = "STEP_FAILED"
    remedy = "Read the message; then resume the cast."


class MissingInputs(StepFailed):
    """A required input has no value; no provider was called."""

    code = "MISSING_INPUTS"
    remedy = "Retry the step with the inputs that the message names, or wire them in the spell."


class InvalidStepInput(StepFailed):
    """An input has a value that the tool cannot take; no provider was called."""

    code = "INVALID_STEP_INPUT"
    remedy = "Retry the step with another value."


class StepToolNotFound(StepFailed):
    """The step's tool is not, or no longer, known."""

    code = "TOOL_NOT_FOUND"
    remedy = "Add the tool again, or resume with a version of the spell that uses another."


class BudgetExceeded(StepFailed):
    """The step would pass the caster's budget; it was not started."""

    code = "BUDGET_EXCEEDED"
    remedy = "Resume with a larger `budgetUsd`, or on another day."


class PreviousStepIncomplete(StepFailed):
    """The step before this one has not been completed, so this one is refused."""

    code = "PREVIOUS_STEP_INCOMPLETE"
    remedy = "Resume the cast."


class ProviderNotConfigured(StepFailed):
    """The service has no address or no key here."""

    code = "PROVIDER_NOT_CONFIGURED"
    remedy = "Ask the operator for the service's secret (providers.md)."


class ProviderRefused(StepFailed):
    """The provider understood the request and declined it; nothing was started."""

    code = "PROVIDER_REFUSED"
    remedy = "Read why in the message; retry the step with other inputs."


class ProviderUnavailable(StepFailed):
    """The provider could not be reached or was overloaded before it accepted anything.

    Only where `nothing_started` is it proven that the very request that costs money began nothing, or was not sent: it
    may be sent again, or to another. `retry_after` is for how many seconds the provider wants to be left alone.
    """

    code = "PROVIDER_UNAVAILABLE"
    retryable = True
    remedy = "Resume the cast a little later, or give the step a `fallbackTool`."

    def __init__(self, message: str, *, nothing_started: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.nothing_started = nothing_started
        self.retry_after = retry_after


class FileUnavailable(StepFailed):
    """What an input's address leads to could not be fetched at the moment; no provider was asked to do anything.

    It is none of the provider's doing, and does not count against its circuit.
    """

    code = "FILE_UNAVAILABLE"
    retryable = True
    remedy = "Look whether the address still answers, then resume."


class NoFreeSlot(StepFailed):
    """The provider's limit is reached; nothing was reserved, and the machine executes the step again a little later."""

    code = "NO_FREE_SLOT"
    retryable = True
    remedy = "None: it is tried again by itself."


class LimitReached(StepFailed):
    """The provider's limit stayed reached for as long as the cast could wait."""

    code = "LIMIT_REACHED"
    retryable = True
    remedy = "Resume when there is less to do, or have the limit raised."


class ProviderAnswerInvalid(StepFailed):
    """The provider answered something that is not its protocol."""

    code = "PROVIDER_ANSWER_INVALID"
    remedy = "Resume; if it stays, tell the operator."


class AddressRefused(StepFailed):
    """An outbound address that is private, not https, or does not resolve."""

    code = "ADDRESS_REFUSED"
    remedy = "Give a public https address."


class JobFailed(StepFailed):
    """The provider ran the job and it failed."""

    code = "JOB_FAILED"
    remedy = "Read the provider's reason in the message; retry the step with other inputs."


class JobCancelled(StepFailed):
    """The provider's job was cancelled on the provider's side."""

    code = "JOB_CANCELLED"
    remedy = "Resume the cast."


class JobLost(StepFailed):
    """The provider no longer knows the job."""

    code = "JOB_LOST"
    remedy = "Resume the cast: the step is run again."


class StepTimedOut(StepFailed):
    """The step did not finish by its deadline."""

    code = "TIMED_OUT"
    retryable = True
    remedy = "Resume, or have the tool's `deadlineSeconds` raised."


class OutcomeUnknown(StepFailed):
    """A request that may have cost money was sent and its answer was lost, so it is not sent again.

    `run_id` names the job where its id was chosen on this side, so that it can be looked up.
    """

    code = "OUTCOME_UNKNOWN"
    remedy = "Look at the provider whether the job ran; to resume asks for it once more."

    def __init__(self, message: str, run_id: str | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id


class ExpressionFailed(StepFailed):
    """An expression does not parse, does not evaluate, or passes its bounds of time, memory or depth."""

    code = "EXPRESSION_FAILED"
    remedy = "Mend the expression."


class AdapterFault(StepFailed):
    """An adapter raised something that is not in this list: a defect of ours, logged with its traceback."""

    code = "ADAPTER_FAULT"
    remedy = "Tell the operator the `generationId`, by which the log is searched."


class DocumentLost(StepFailed):
    """A document of a record is no longer in the bucket, so that nothing can go on with it."""

    code = "DOCUMENT_LOST"
    remedy = "Cast the spell anew."


class CastInterrupted(StepFailed):
    """The cast's machine ended before the step did."""

    code = "CAST_INTERRUPTED"
    retryable = True
    remedy = "Resume the cast."


class CastCancelled(StepFailed):
    """The caster cancelled the cast; the step is not begun, or its job was asked to stop."""

    code = "CAST_CANCELLED"
    remedy = "Resume the cast, if it was not meant."


# --- Between the layers; never seen by a caller. ---


class StepEndedInFailure(SpellcastError):
    """Tells the machine that a step's terminal revision says failed; the record has the code and the reason."""

    code = "STEP_ENDED_IN_FAILURE"
    remedy = ""


class WriteConflict(SpellcastError):
    """The row is not as it was read: read it again and decide anew."""

    code = "WRITE_CONFLICT"
    retryable = True
    remedy = ""


class WebhookNotDelivered(SpellcastError):
    """A caster's receiver did not take the webhook; `status` is what it answered, where it answered.

    The message holds the start of its answer, which may repeat a prompt: it is for the record and not for the log.
    """

    code = "WEBHOOK_NOT_DELIVERED"
    retryable = True
    remedy = ""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
