"""Recorded cases that contradict the rules of the Event API, and the answers that the rules demand.

They were recorded from upstream, whose faults they hold; the list of differences names each of these faults.
"""

from typing import Any

CONTRADICTIONS: dict[str, dict[str, Any]] = {
    # Difference 9, and `minimal`: its six fields, `only` ignored. Upstream has severity NONE where it is NOT_AVAILABLE.
    "0648-list-unwind.minimal": {
        "results": [
            {
                "event_id": "event-000000000000",
                "event_key": "key-010",
                "event_type": "ALERT",
                "title": "😀 emoji alert 🚨 fire",
                "severity": "NOT_AVAILABLE",
                "alert_id": "alert-000000000000",
            },
            {
                "event_id": "event-000000000001",
                "event_key": "key-021",
                "event_type": "ALERT",
                "title": "100% done",
                "severity": "INFO",
                "alert_id": "alert-000000000001",
            },
        ],
        "total_count": 397,
    },
    # Difference 11: an average with conditions is over the matching rows. Upstream counts the others as zero.
    "0868-stat-group.cond.average": {
        "results": [
            {"t": "ALERT", "x": 35.28461538461538},
            {"t": "ERROR", "x": 1.0},
            {"t": "RECOVERY", "x": 41.2},
        ]
    },
    # Difference 14: substrings of an unwind filter are found in any case. Upstream passes over SRV-1.
    "0894-stat-unwind.filter": {
        "results": [
            {"r": "SRV-1", "c": 69.0},
            {"r": "db.1", "c": 63.0},
            {"r": "srv-1", "c": 72.0},
            {"r": "srv-2", "c": 56.0},
        ]
    },
}
