"""AWS Health events, as EventBridge delivers them, straight or through SNS.

Source: https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html
"""

from datetime import UTC, datetime

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import extra_fields, first, joined_key, mapping, objects, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

_URGENT_CATEGORIES = frozenset({"issue", "scheduledChange"})


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict) and payload.get("source") == "aws.health" and "detail" in payload


def parse(payload: Json, _headers: Headers, _options: Options, received_at: datetime) -> Parsed:
    """Return one event; a RECOVERY if it is closed or, without a status, if its end has passed."""
    event = object_of(payload)
    detail = mapping(event.get("detail"))
    arn = text(detail.get("eventArn"))
    if not arn:
        raise ParseError.at("detail.eventArn", "must be given")
    account = first(detail.get("affectedAccount"), event.get("account"))
    code, category, status = (text(detail.get(name)) for name in ("eventTypeCode", "eventTypeCategory", "statusCode"))
    started_at, ended_at = moment(detail.get("startTime"), UTC), moment(detail.get("endTime"), UTC)
    closed = status == "closed" or (not status and ended_at is not None and ended_at <= received_at)
    entities = [entity.get("entityValue") for entity in objects(detail.get("affectedEntities"))]
    descriptions = objects(detail.get("eventDescription"))
    draft = EventDraft(
        event_key=joined_key("aws-health", arn, account),
        event_type=EventType.RECOVERY if closed else EventType.ALERT,
        title=code.replace("_", " ").title() or first(event.get("detail-type")) or "AWS Health event",
        description=text(descriptions[0].get("latestDescription")) if descriptions else "",
        severity=Severity.ERROR if category in _URGENT_CATEGORIES else Severity.INFO,
        rule=category,
        resources=texts(entities) or texts(event.get("resources")),
        provider="aws",
        account=account,
        additional_info=extra_fields(
            event_arn=arn,
            event_type_code=code,
            service=detail.get("service"),
            region=first(detail.get("eventRegion"), event.get("region")),
            status=status,
            page=detail.get("page"),
            total_pages=detail.get("totalPages"),
        ),
        occurred_at=ended_at if closed else started_at,
    )
    parsed = single(event, draft)
    # One communication is sent page by page, and once more from another region under another event id.
    communication = text(detail.get("communicationId"))
    if communication:
        parsed.message_id = "health:" + joined_key(arn, account, communication, text(detail.get("page")))
    elif event_id := text(event.get("id")):
        parsed.message_id = f"eventbridge:{event_id}"
    return parsed
