"""The composition root: one object per function, built when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from spellcast.aws.clock import SystemClock
from spellcast.settings import Settings

if TYPE_CHECKING:
    import httpx
    from aws_lambda_powertools.utilities.feature_flags.base import StoreProvider
    from aws_lambda_powertools.utilities.parameters import SecretsProvider
    from botocore.session import Session
    from mypy_boto3_apigatewaymanagementapi import ApiGatewayManagementApiClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

    from spellcast.adapters.registry import Registry
    from spellcast.api.internal import InternalApi
    from spellcast.api.resolver import CastApi
    from spellcast.application.adopt_spell import AdoptSpell
    from spellcast.application.authorize import Authorize
    from spellcast.application.budgets import Budgets
    from spellcast.application.cast_in_context import CastInContext
    from spellcast.application.cast_spell import CastSpell
    from spellcast.application.check_deployment import CheckDeployment
    from spellcast.application.complete_generation import CompleteGeneration
    from spellcast.application.complete_job import CompleteJob
    from spellcast.application.execute_spell import ExecuteSpell
    from spellcast.application.execute_step import ExecuteStep
    from spellcast.application.finalize_cost import FinalizeCost
    from spellcast.application.find_casts import FindCasts
    from spellcast.application.find_spells import FindSpells
    from spellcast.application.find_tools import FindTools
    from spellcast.application.fit_answer import FitAnswer
    from spellcast.application.give_up_job import GiveUpJob
    from spellcast.application.keep_outputs import KeepOutputs
    from spellcast.application.lint_spell import LintSpell
    from spellcast.application.media_links import MediaLinks
    from spellcast.application.notify import Notify
    from spellcast.application.poll_job import PollJob
    from spellcast.application.process_output import ProcessOutput
    from spellcast.application.receive_callback import ReceiveCallback
    from spellcast.application.route_cast import RouteCast
    from spellcast.application.send_webhook import SendWebhook
    from spellcast.application.slots import Slots
    from spellcast.application.stop_cast import StopCast
    from spellcast.application.sweep import Sweep
    from spellcast.application.watch_casts import WatchCasts
    from spellcast.aws.access_store import DynamoAccessStore
    from spellcast.aws.announcer import AwsAnnouncer
    from spellcast.aws.budget_store import DynamoBudgetStore
    from spellcast.aws.cast_store import DynamoCastStore
    from spellcast.aws.deployments import CodeDeployDeployments
    from spellcast.aws.documents import DocumentStore
    from spellcast.aws.history_store import DynamoHistoryStore
    from spellcast.aws.ledger_store import DynamoLedgerStore
    from spellcast.aws.machine import StepFunctionsMachine
    from spellcast.aws.media_store import S3MediaStore
    from spellcast.aws.queue import SqsQueue
    from spellcast.aws.secrets import SecretsManagerSecrets
    from spellcast.aws.settings_store import DynamoSettingsStore
    from spellcast.aws.spell_store import DynamoSpellStore
    from spellcast.aws.table import Table
    from spellcast.aws.tool_store import DynamoToolStore
    from spellcast.domain.casts import Cast
    from spellcast.domain.generations import Generation
    from spellcast.outbound.downloads import HttpMediaSource
    from spellcast.ports.store import Connection


@dataclass
class Parts:
    """What stands behind the ports; every part is made when a use case first needs it."""

    settings: Settings
    session: Session
    clock: SystemClock

    def _client(self, service: str, **options: Any) -> Any:
        from botocore.config import Config

        # The defaults of 60 s would outlast most functions. A request to the API may wait for the bucket, and has 29 s:
        # who has to be told that it does not answer is told before that.
        is_bucket = service == "s3"
        # A message to a WebSocket is not waited for: `aws.announcer` says what is done instead.
        is_socket = service == "apigatewaymanagementapi"
        config = Config(
            connect_timeout=1 if is_socket else 3,
            read_timeout=2 if is_socket else 5 if is_bucket else 10,
            retries={"mode": "standard", "max_attempts": 0 if is_socket else 2 if is_bucket else 4},
            # Links would be signed in the old way; nothing else would.
            signature_version="s3v4" if is_bucket else None,
        )
        return self.session.create_client(service, config=config, **options)

    @cached_property
    def table(self) -> Table:
        from spellcast.aws.table import Table

        return Table(self._client("dynamodb"), self.settings.table)

    @cached_property
    def documents(self) -> DocumentStore:
        from spellcast.aws.documents import DocumentStore

        return DocumentStore(lambda: self.storage, self.settings.bucket)

    @cached_property
    def storage(self) -> S3Client:
        client: S3Client = self._client("s3")
        return client

    @cached_property
    def media(self) -> S3MediaStore:
        from spellcast.aws.media_store import S3MediaStore

        return S3MediaStore(lambda: self.storage, self.settings.bucket)

    @cached_property
    def links(self) -> MediaLinks:
        from spellcast.application.media_links import MediaLinks

        return MediaLinks(self.media)

    @cached_property
    def keep_outputs(self) -> KeepOutputs:
        import time

        from spellcast.application.keep_outputs import KeepOutputs

        return KeepOutputs(self.media, lambda: self.media_source, self.adapters, self.tools, self.clock, time.sleep)

    @cached_property
    def media_source(self) -> HttpMediaSource:
        from spellcast.outbound.downloads import HttpMediaSource
        from spellcast.outbound.guard import shared_guarded_client

        return HttpMediaSource(
            lambda: shared_guarded_client(self.settings.allow_loopback), lambda: self.provider_client
        )

    @cached_property
    def provider_client(self) -> httpx.Client:
        from spellcast.adapters.exchange import provider_client

        return provider_client()

    @cached_property
    def casts(self) -> DynamoCastStore:
        from spellcast.aws.cast_store import DynamoCastStore

        return DynamoCastStore(self.table, self.documents)

    @cached_property
    def spells(self) -> DynamoSpellStore:
        from spellcast.aws.spell_store import DynamoSpellStore

        return DynamoSpellStore(self.table, self.documents)

    @cached_property
    def tools(self) -> DynamoToolStore:
        from spellcast.aws.tool_store import DynamoToolStore
        from spellcast.catalog import built_in_tools

        return DynamoToolStore(self.table, self.documents, built_in_tools())

    @cached_property
    def history(self) -> DynamoHistoryStore:
        from spellcast.aws.history_store import DynamoHistoryStore
        from spellcast.catalog import built_in_tools

        return DynamoHistoryStore(self.table, built_in_tools().keys())

    @cached_property
    def days(self) -> DynamoBudgetStore:
        from spellcast.aws.budget_store import DynamoBudgetStore

        return DynamoBudgetStore(self.table)

    @cached_property
    def ledger(self) -> DynamoLedgerStore:
        from spellcast.aws.ledger_store import DynamoLedgerStore

        return DynamoLedgerStore(self.table)

    @cached_property
    def account_settings(self) -> DynamoSettingsStore:
        from spellcast.aws.settings_store import DynamoSettingsStore

        return DynamoSettingsStore(self.table, self.documents)

    @cached_property
    def access(self) -> DynamoAccessStore:
        from spellcast.aws.access_store import DynamoAccessStore

        return DynamoAccessStore(self.table)

    @cached_property
    def machine(self) -> StepFunctionsMachine:
        from spellcast.aws.machine import StepFunctionsMachine

        return StepFunctionsMachine(lambda: self.step_functions, self.settings.cast_machine, self.settings.poll_machine)

    @cached_property
    def step_functions(self) -> SFNClient:
        client: SFNClient = self._client("stepfunctions")
        return client

    @cached_property
    def secrets(self) -> SecretsManagerSecrets:
        from spellcast.aws.secrets import SecretsManagerSecrets

        return SecretsManagerSecrets(lambda: self.secrets_provider, self.settings.secrets)

    @cached_property
    def secrets_provider(self) -> SecretsProvider:
        from aws_lambda_powertools.utilities.parameters import SecretsProvider

        return SecretsProvider(boto3_client=self._client("secretsmanager"))

    @cached_property
    def announcer(self) -> AwsAnnouncer:
        from spellcast.aws.announcer import AwsAnnouncer

        return AwsAnnouncer(lambda: self.connections, lambda: self.events, self.settings.bus, self.access, self.clock)

    @cached_property
    def connections(self) -> ApiGatewayManagementApiClient:
        endpoint = self.settings.websocket_endpoint
        client: ApiGatewayManagementApiClient = self._client("apigatewaymanagementapi", endpoint_url=endpoint)
        return client

    @cached_property
    def events(self) -> EventBridgeClient:
        client: EventBridgeClient = self._client("events")
        return client

    @cached_property
    def webhook_queue(self) -> SqsQueue:
        from spellcast.aws.queue import SqsQueue

        return SqsQueue(lambda: self.sqs, self.settings.webhook_queue)

    @cached_property
    def sqs(self) -> SQSClient:
        client: SQSClient = self._client("sqs")
        return client

    @cached_property
    def adapters(self) -> Registry:
        from spellcast.adapters.registry import Registry

        return Registry(
            lambda service: self.secrets.provider_config(service),
            lambda: self.provider_client,
            self.settings.allow_loopback,
        )

    @cached_property
    def process_output(self) -> ProcessOutput:
        from spellcast.application.process_output import ProcessOutput

        return ProcessOutput(self.casts, self.tools, self.keep_outputs, self.settings.pricing, self.budgets, self.clock)

    @cached_property
    def budgets(self) -> Budgets:
        from spellcast.application.budgets import Budgets

        return Budgets(self.days, self.history)

    @cached_property
    def finalize_cost(self) -> FinalizeCost:
        from spellcast.application.finalize_cost import FinalizeCost
        from spellcast.application.keep_accounts import KeepAccounts

        keep_accounts = KeepAccounts(self.casts, self.days, self.ledger, self.settings.pricing)
        return FinalizeCost(self.casts, self.process_output, self.slots, keep_accounts, self.clock)

    @cached_property
    def stop_cast(self) -> StopCast:
        from spellcast.application.stop_cast import StopCast

        return StopCast(self.tools, self.adapters, self.machine)

    @cached_property
    def complete_job(self) -> CompleteJob:
        from spellcast.application.complete_job import CompleteJob

        return CompleteJob(self.casts, self.machine, self.finalize_cost, self.keep_outputs, self.slots, self.clock)

    @cached_property
    def slots(self) -> Slots:
        from spellcast.application.slots import Slots
        from spellcast.aws.lease_store import DynamoLeaseStore

        return Slots(DynamoLeaseStore(self.table, self.clock), self.adapters, self.clock)

    @cached_property
    def give_up_job(self) -> GiveUpJob:
        from spellcast.application.give_up_job import GiveUpJob

        return GiveUpJob(self.tools, self.adapters, self.complete_job)

    def written(self, image: dict[str, Any]) -> Cast | Generation | Connection:
        """What a row in the table's stream is, without what is not in it: an announcement has no room for that."""
        from spellcast.aws.access_store import to_connection
        from spellcast.aws.table import from_item

        row = from_item(image)
        match row["entity"]:
            case "CAST":
                return self.casts.to_cast(row, whole=False)
            case "GENERATION":
                return self.casts.to_generation(row, whole=False)
            case _:
                return to_connection(row)

    @cached_property
    def find_casts(self) -> FindCasts:
        from spellcast.application.find_casts import FindCasts

        return FindCasts(self.casts, self.spells, self.links)

    @cached_property
    def fit_answer(self) -> FitAnswer:
        from spellcast.application.fit_answer import FitAnswer

        return FitAnswer(self.media)

    @cached_property
    def find_tools(self) -> FindTools:
        from spellcast.application.find_tools import FindTools

        return FindTools(self.tools)

    @cached_property
    def find_spells(self) -> FindSpells:
        from spellcast.application.find_spells import FindSpells

        return FindSpells(self.spells)

    @cached_property
    def lint_spell(self) -> LintSpell:
        from spellcast.application.lint_spell import LintSpell

        return LintSpell(self.find_tools)

    def _check_url(self, url: str) -> str | None:
        from spellcast.outbound.guard import check_url

        return check_url(url, self.settings.allow_loopback)

    @cached_property
    def cast_spell(self) -> CastSpell:
        from spellcast.application.cast_spell import CastSpell

        return CastSpell(
            self.casts,
            self.find_spells,
            self.find_tools,
            self.machine,
            self.finalize_cost,
            self.clock,
            self._check_url,
            self.account_settings,
            self.settings.daily_budget_usd,
        )

    @cached_property
    def adopt_spell(self) -> AdoptSpell:
        from spellcast.api.bodies import read_draft
        from spellcast.application.adopt_spell import AdoptSpell

        return AdoptSpell(self.spells, self.find_spells, self.find_tools, self.lint_spell, self.clock, read_draft)

    @cached_property
    def cast_in_context(self) -> CastInContext:
        from spellcast.application.cast_in_context import CastInContext

        return CastInContext(self.casts, self.cast_spell)

    @cached_property
    def complete_generation(self) -> CompleteGeneration:
        from spellcast.application.complete_generation import CompleteGeneration

        return CompleteGeneration(self.casts, self.complete_job)

    @cached_property
    def deployments(self) -> CodeDeployDeployments:
        from spellcast.aws.deployments import CodeDeployDeployments

        return CodeDeployDeployments(self._client("codedeploy"))

    @cached_property
    def route_cast(self) -> RouteCast:
        from spellcast.application.route_cast import RouteCast
        from spellcast.aws.flags import AppConfigFlags
        from spellcast.outbound.original import HttpOriginal, original_client

        original = HttpOriginal(lambda: self.secrets.provider_config("original"), cache(original_client))
        return RouteCast(original, AppConfigFlags(self._open_flags, self.clock))

    def _open_flags(self) -> StoreProvider:
        import boto3
        from aws_lambda_powertools.utilities.feature_flags import AppConfigStore
        from botocore.config import Config

        application, environment, profile = self.settings.flags.split("/")
        # A request waits for it, and there is what was read before.
        config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "max_attempts": 2})
        session = boto3.session.Session(botocore_session=self.session)
        return AppConfigStore(environment, application, profile, 0, boto_config=config, boto3_session=session)


@cache
def parts() -> Parts:
    """One session and one set of clients for the container's life."""
    from botocore.session import get_session  # boto3 adds nothing that is used here, and a tenth to a cold start

    settings = Settings.read()
    if not settings.table:
        raise RuntimeError("SPELLCAST_TABLE is not set: the environment must name a deployment, as template.yaml does.")
    return Parts(settings, get_session(), SystemClock())


@cache
def cast_api() -> CastApi:
    """The HTTP API."""
    from spellcast.adapters.registry import DELIVERY_MODES
    from spellcast.api.bearer import JwtVerifier
    from spellcast.api.resolver import build_cast_api
    from spellcast.api.routes import UseCases
    from spellcast.application.authenticate import Authenticate
    from spellcast.application.cancel_cast import CancelCast
    from spellcast.application.create_spell import CreateSpell
    from spellcast.application.create_tool import CreateTool
    from spellcast.application.delete_spell import DeleteSpell
    from spellcast.application.delete_tool import DeleteTool
    from spellcast.application.draw_graphs import DrawGraphs
    from spellcast.application.find_api_keys import FindApiKeys
    from spellcast.application.find_ledger import FindLedger
    from spellcast.application.find_settings import FindSettings
    from spellcast.application.grant_permission import GrantPermission
    from spellcast.application.import_tool import ImportTool
    from spellcast.application.issue_ticket import IssueTicket
    from spellcast.application.quote_spell import QuoteSpell
    from spellcast.application.resume_cast import ResumeCast
    from spellcast.application.retry_step import RetryStep
    from spellcast.application.revoke_api_key import RevokeApiKey
    from spellcast.application.revoke_permission import RevokePermission
    from spellcast.application.rotate_api_key import RotateApiKey
    from spellcast.application.save_settings import SaveSettings
    from spellcast.application.update_spell import UpdateSpell

    have = parts()
    settings = have.settings
    create_tool = CreateTool(have.tools, DELIVERY_MODES)
    resume_cast = ResumeCast(
        have.casts,
        have.find_casts,
        have.find_spells,
        have.find_tools,
        have.cast_spell.restart_cast,
        have.clock,
        have.account_settings,
        settings.daily_budget_usd,
    )
    use = UseCases(
        lint_spell=have.lint_spell,
        create_spell=CreateSpell(have.spells, have.lint_spell, have.clock),
        update_spell=UpdateSpell(have.spells, have.find_spells, have.lint_spell, have.clock),
        delete_spell=DeleteSpell(have.spells, have.find_spells),
        find_spells=have.find_spells,
        draw_graphs=DrawGraphs(have.find_spells, have.find_casts, have.find_tools, have.spells, have.clock),
        grant_permission=GrantPermission(have.spells, have.find_spells, have.clock),
        revoke_permission=RevokePermission(have.spells, have.find_spells),
        quote_spell=QuoteSpell(
            have.find_spells, have.find_tools, have.history, settings.pricing, have.account_settings
        ),
        cast_spell=have.cast_spell,
        find_casts=have.find_casts,
        fit_answer=have.fit_answer,
        cancel_cast=CancelCast(have.casts, have.find_casts, have.clock),
        resume_cast=resume_cast,
        retry_step=RetryStep(resume_cast, have.spells, have.find_tools),
        create_tool=create_tool,
        import_tool=ImportTool(create_tool),
        delete_tool=DeleteTool(have.tools),
        find_tools=have.find_tools,
        find_settings=FindSettings(have.account_settings),
        find_ledger=FindLedger(have.ledger, have.days, have.account_settings, have.clock, settings.daily_budget_usd),
        save_settings=SaveSettings(have.account_settings, have.tools),
        issue_ticket=IssueTicket(have.access, have.clock),
        find_api_keys=FindApiKeys(have.access),
        rotate_api_key=RotateApiKey(have.access, have.clock),
        revoke_api_key=RevokeApiKey(have.access),
        websocket_url=settings.websocket_url,
    )
    authenticate = Authenticate(have.access, JwtVerifier(settings.jwt_issuer, settings.jwt_audience), have.clock)
    return build_cast_api(authenticate, use, internal_api)


@cache
def internal_api() -> InternalApi:
    """The original's internal routes."""
    import time

    from spellcast.api.internal import InternalUseCases, build_internal_api
    from spellcast.application.authenticate_internal import AuthenticateInternal
    from spellcast.application.find_records import FindRecords
    from spellcast.application.record_event import RecordEvent
    from spellcast.application.run_tool import RunTool
    from spellcast.application.update_cast import UpdateCast
    from spellcast.aws.event_store import DynamoEventStore

    have = parts()
    use = InternalUseCases(
        record_event=RecordEvent(DynamoEventStore(have.table, have.documents), have.clock),
        find_records=FindRecords(have.casts, have.find_casts),
        fit_answer=have.fit_answer,
        complete_generation=have.complete_generation,
        run_tool=RunTool(
            have.find_tools, have.adopt_spell, have.cast_spell, have.casts, have.links, have.clock, time.sleep
        ),
        cast_in_context=have.cast_in_context,
        update_cast=UpdateCast(have.casts, have.finalize_cost),
    )
    return build_internal_api(AuthenticateInternal(have.secrets), have.route_cast, use)


@cache
def execute_spell() -> ExecuteSpell:
    """Casts a spell document."""
    from spellcast.application.execute_spell import ExecuteSpell

    return ExecuteSpell(parts().adopt_spell, parts().cast_in_context)


def complete_generation() -> CompleteGeneration:
    """Applies a completed record."""
    return parts().complete_generation


@cache
def execute_step() -> ExecuteStep:
    """Runs a segment."""
    import random
    import time

    from spellcast.adapters.registry import BUILT_IN
    from spellcast.application.execute_step import ExecuteStep
    from spellcast.application.start_job import StartJob
    from spellcast.application.submit import Submit
    from spellcast.aws.breaker import PowertoolsBreaker

    have = parts()
    breaker = PowertoolsBreaker(lambda: have.table.client, have.settings.table, BUILT_IN)
    submit = Submit(breaker, have.clock, time.sleep, random.random)
    return ExecuteStep(
        casts=have.casts,
        spells=have.spells,
        tools=have.tools,
        adapters=have.adapters,
        machine=have.machine,
        process_output=have.process_output,
        keep_outputs=have.keep_outputs,
        links=have.links,
        complete_job=have.complete_job,
        start_job=StartJob(
            casts=have.casts,
            adapters=have.adapters,
            machine=have.machine,
            secrets=have.secrets,
            complete_job=have.complete_job,
            give_up_job=have.give_up_job,
            links=have.links,
            submit=submit,
            clock=have.clock,
            callback_base_url=have.settings.http_url,
        ),
        submit=submit,
        slots=have.slots,
        budgets=have.budgets,
        clock=have.clock,
    )


@cache
def check_deployment() -> CheckDeployment:
    """Casts a smoke spell by the version that the machine's name says."""
    import time

    from spellcast.application.check_deployment import CheckDeployment

    have = parts()
    return CheckDeployment(have.casts, have.spells, have.find_tools, have.machine, have.clock, time.sleep)


@cache
def poll_job() -> PollJob:
    """Asks after a job."""
    from spellcast.application.poll_job import PollJob

    have = parts()
    return PollJob(
        have.casts, have.tools, have.adapters, have.announcer, have.complete_job, have.give_up_job, have.clock
    )


def complete_job() -> CompleteJob:
    """Applies a completion that came over the bus."""
    return parts().complete_job


@cache
def receive_callback() -> ReceiveCallback:
    """Applies a completion that a provider sent."""
    from spellcast.adapters.registry import SHARED_ADDRESSES
    from spellcast.application.receive_callback import ReceiveCallback

    have = parts()
    return ReceiveCallback(
        have.casts,
        have.tools,
        have.adapters,
        have.announcer,
        have.complete_job,
        have.secrets,
        have.clock,
        SHARED_ADDRESSES,
    )


def process_output() -> ProcessOutput:
    """Finishes a step."""
    return parts().process_output


@cache
def finalize_cost() -> FinalizeCost:
    """Closes a cast; it alone has seen all that was run, keeps samples of it, and stops what was cancelled."""
    return replace(parts().finalize_cost, history=parts().history, stop_cast=parts().stop_cast)


@cache
def notify() -> Notify:
    """Announces what was written."""
    from spellcast.application.notify import Notify

    return Notify(parts().announcer, parts().links, parts().clock)


@cache
def send_webhook() -> SendWebhook:
    """Calls the caster's webhook."""
    from spellcast.application.send_webhook import SendWebhook
    from spellcast.outbound.guard import shared_guarded_client
    from spellcast.outbound.receiver import HttpReceiver

    have = parts()
    return SendWebhook(
        casts=have.casts,
        receiver=HttpReceiver(shared_guarded_client(have.settings.allow_loopback)),
        queue=have.webhook_queue,
        links=have.links,
        clock=have.clock,
        backoff_seconds=have.settings.webhook_backoff_seconds,
    )


@cache
def sweep() -> Sweep:
    """Mends what was lost sight of."""
    import random

    from spellcast.application.interrupt_cast import InterruptCast
    from spellcast.application.restart_cast import RestartCast
    from spellcast.application.sweep import Sweep

    have = parts()
    return Sweep(
        casts=have.casts,
        machine=have.machine,
        queue=have.webhook_queue,
        finalize_cost=replace(have.finalize_cost, stop_cast=have.stop_cast),
        interrupt_cast=InterruptCast(
            have.casts,
            have.tools,
            have.adapters,
            have.complete_job,
            have.give_up_job,
            have.finalize_cost,
            have.machine,
        ),
        restart_cast=RestartCast(
            have.casts, have.spells, have.find_tools, have.machine, have.finalize_cost, have.clock
        ),
        clock=have.clock,
        shuffle=random.shuffle,
    )


@cache
def watch_casts() -> WatchCasts:
    """Serves an account's WebSocket."""
    from spellcast.application.watch_casts import WatchCasts

    have = parts()
    return WatchCasts(have.access, have.find_casts, have.announcer, have.clock)


@cache
def authorize() -> Authorize:
    """Lets a WebSocket in."""
    from spellcast.application.authorize import Authorize

    return Authorize(parts().access, parts().clock)
