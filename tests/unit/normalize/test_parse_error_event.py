"""The event of a payload that cannot be parsed."""

from event_service.model.event import EventType, Severity
from event_service.normalize import build_parse_error_event
from event_service.normalize.result import BadItem, Fault


def key(webhook_id: str, *faults: Fault) -> str:
    return build_parse_error_event(BadItem(list(faults), {}), webhook_id=webhook_id, webhook_name="n").event_key


def test_event_names_webhook_and_every_fault() -> None:
    raw = {"severity": "x"}
    item = BadItem([Fault("event_key", "must be given"), Fault("severity", "is unknown")], raw)
    event = build_parse_error_event(item, webhook_id="webhook-1", webhook_name="Prometheus Seoul")
    assert event.title == "Webhook Event Parsing Error - Prometheus Seoul"
    assert event.description == "event_key: must be given\nseverity: is unknown"
    assert (event.event_type, event.severity) == (EventType.ERROR, Severity.CRITICAL)
    assert event.raw_data is raw


def test_one_key_per_webhook_and_class_of_fault() -> None:
    assert key("w", Fault("results[1].severity", "not 'x'")) == key("w", Fault("results[77].severity", "not 'y'"))
    assert key("w", Fault("severity", "p")) != key("v", Fault("severity", "p"))
    assert key("w", Fault("severity", "p")) != key("w", Fault("title", "p"))
    assert key("w", Fault("plugin", "p", "timeout")) != key("w", Fault("plugin", "p", "crash"))


def test_the_description_is_bounded_and_says_how_many_faults_it_left_out() -> None:
    item = BadItem([Fault(f"results[{n}].severity", "x" * 100) for n in range(1000)], {})
    description = build_parse_error_event(item, webhook_id="w", webhook_name="n").description
    assert len(description) < 4200
    last = description.splitlines()[-1]
    assert last.startswith("and ")
    assert int(last.split()[1]) + description.count("\n") == 1000
