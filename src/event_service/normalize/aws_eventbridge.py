"""Other events through Amazon EventBridge: GuardDuty, EC2, Config, custom applications.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
"""

from datetime import UTC, datetime

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first, joined_key, mapping, text, texts
from event_service.normalize.generic import NamedFields, names_of
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import State, named_severity, named_state, recovery_severity, severity_of_state
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

# GuardDuty's and Inspector's scale: https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings-severity.html
_SCALE = ((9.0, Severity.CRITICAL), (7.0, Severity.ERROR), (4.0, Severity.WARNING))


# Fields of `detail` that name what an event of Glue, RDS, Backup, CloudFormation, ECS and others is about.
_IDENTIFIERS = names_of(
    "sourceidentifier jobname resourcearn backupvaultname backupvaultarn stackid logicalresourceid clusterarn"
    " clustername group instanceid projectname pipeline statemachinearn crawlername functionname volumeid bucketname"
    " repositoryname name"
)
# Codes that tell the events of one kind and resource apart: RDS reports every change as one kind.
_KINDS = names_of("eventid logicalresourceid")


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict) and "detail-type" in payload and "source" in payload and "detail" in payload


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event, keyed by source, type and subject: the event's own id identifies the delivery."""
    event = object_of(payload)
    detail = mapping(event.get("detail"))
    kind, source, account = (text(event.get(name)) for name in ("detail-type", "source", "account"))
    if not kind:
        raise ParseError.at("detail-type", "must be given")
    resources = texts(event.get("resources"))
    named = NamedFields.of(detail)
    names = texts([*named.values(_IDENTIFIERS)])
    # Backup lists the recovery point of each run as its resource.
    stable = [] if source == "aws.backup" else resources
    subject = first(detail.get("id"), detail.get("arn"), *stable) or "/".join(names) or first(*resources)
    about = [text(value) for value in named.values(_KINDS)]
    written = first(detail.get("state"), detail.get("status"), mapping(detail.get("status-details")).get("status"))
    state = named_state(written) or State.FIRING
    severity = _severity(detail.get("severity")) or severity_of_state(written)
    message = first(detail.get("message"), detail.get("Message"), detail.get("statusMessage"))
    draft = EventDraft(
        event_key=joined_key("aws-eventbridge", source, kind, account, text(event.get("region")), subject, *about),
        event_type=state.event_type,
        title=first(detail.get("title")) or (f"{kind}: {names[0]}" if names else kind),
        description=first(detail.get("description")) or message,
        severity=recovery_severity(severity, state.event_type, Severity.INFO),
        rule=kind,
        resources=resources or names[:1],
        provider="aws" if source.startswith("aws.") else "",
        account=account,
        additional_info=extra_fields(source=source, region=event.get("region"), detail_type=kind),
        occurred_at=moment(event.get("time"), UTC),
    )
    parsed = single(event, draft)
    if event_id := text(event.get("id")):
        parsed.message_id = f"eventbridge:{event_id}"
    return parsed


def _severity(value: Json) -> Severity | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return next((severity for least, severity in _SCALE if value >= least), Severity.INFO)
    return named_severity(value)
