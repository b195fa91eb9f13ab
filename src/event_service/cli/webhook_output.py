"""Output of the webhook commands."""

from typing import Any

from event_service.cli.output import (
    EVENT_TYPE_STYLES,
    SEVERITY_STYLES,
    STATE_STYLES,
    listed,
    print_document,
    print_fields,
    print_table,
    say,
    skip_line,
    styled,
)

# Fields of StatisticsResponse.
COUNTERS = ("calls", "stored", "errors", "duplicates", "unmatched_recoveries", "refused")
LAST = ("last_received_at", "last_error_at", "last_error")


def readable(webhook: dict[str, Any]) -> dict[str, Any]:
    """Convert the counters of a WebhookInfo to int: protobuf's JSON writes 64-bit integers as strings."""
    requests = webhook.get("requests", {})
    return {**webhook, "requests": {name: int(requests.get(name, 0)) for name in ("total", "error")}}


def numbers(statistics: dict[str, Any]) -> dict[str, Any]:
    """Return a StatisticsResponse with all counters as int."""
    counters = {name: int(statistics.get(name, 0)) for name in COUNTERS}
    ignored = {reason: int(times) for reason, times in statistics.get("ignored", {}).items()}
    last = {name: statistics[name] for name in LAST if name in statistics}
    return {**counters, "ignored": ignored, **last}


def print_webhook(webhook: dict[str, Any]) -> None:
    """Print a webhook, one field per line."""
    plugin = webhook.get("plugin_info", {})
    print_fields(
        (
            ("webhook", webhook.get("webhook_id", "")),
            ("name", webhook.get("name", "")),
            ("state", styled(webhook.get("state", ""), STATE_STYLES)),
            ("access key", webhook.get("access_key", "")),
            ("URL", webhook.get("webhook_url", "")),
            ("parser", plugin.get("plugin_id", "")),
            ("calls", f"{webhook['requests']['total']}, {webhook['requests']['error']} with parse errors"),
            ("domain", webhook.get("domain_id", "")),
            ("workspace", webhook.get("workspace_id", "")),
            ("project", webhook.get("project_id", "")),
            ("created", webhook.get("created_at", "")),
        )
    )
    if plugin.get("options"):
        print_document("options", plugin["options"])
    if webhook.get("tags"):
        print_document("tags", webhook["tags"])


def print_statistics(statistics: dict[str, Any]) -> None:
    """Print the statistics of a webhook's deliveries."""
    ignored = ", ".join(f"{times} {reason}" for reason, times in sorted(statistics["ignored"].items()))
    error = " ".join(statistics[name] for name in LAST[1:] if name in statistics)
    skip_line()
    say("deliveries", style="bold")
    print_fields(
        (
            ("events stored", f"{statistics['stored']}, {statistics['errors']} of them parse errors"),
            ("duplicates", str(statistics["duplicates"] or "")),
            ("recoveries without an alert", str(statistics["unmatched_recoveries"] or "")),
            ("ignored", ignored),
            ("refused", str(statistics["refused"] or "")),
            ("last received", statistics.get("last_received_at", "never")),
            ("last error", error),
        )
    )


def print_preview(outcome: dict[str, Any]) -> None:
    """Print one event per line; a single event also with its additional_info."""
    events = outcome["events"]
    say(f"Parser: {outcome['parser']}." if outcome["parser"] else "No parser detected.", style="dim")
    if events:
        print_table(
            ("TYPE", "SEVERITY", "TITLE", "RESOURCES", "OCCURRED", "KEY"),
            [
                (
                    styled(event.get("event_type", ""), EVENT_TYPE_STYLES),
                    styled(event.get("severity", ""), SEVERITY_STYLES),
                    event.get("title", ""),
                    listed(event.get("resources", [])),
                    event.get("occurred_at", ""),
                    event.get("event_key", ""),
                )
                for event in events
            ],
        )
    else:
        say("The payload has no events.", style="yellow")
    for reason in outcome["ignored"]:
        say(f"Ignored: {reason}", style="yellow")
    for fault in outcome["faults"]:
        say(f"Not parsed: {fault}", style="bold red")
    if len(events) == 1 and events[0].get("additional_info"):
        print_document("additional_info", events[0]["additional_info"])
