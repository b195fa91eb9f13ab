"""The service layer of alerts: Alert.*, for every transport.

get, list, stat                query/ (validate) > store/alert_reader.py
create                         store/alerts.py
update, assign_user, delete    changes.py (one transaction) > transitions.py (decide)
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from event_service.alerts.changes import AlertChanges
from event_service.alerts.transitions import SETTABLE, AlertChange, acknowledge, reopen, resolve
from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import InvalidArgument, NotFound, PermissionDenied, RequiredParameter
from event_service.model.condition import Alert, AlertReference, AlertState, Condition, Urgency
from event_service.model.event import Severity
from event_service.model.scope import Scope
from event_service.query.fields import ALERT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.alert_reader import AlertEvents, AlertPage, AlertReader
from event_service.store.alerts import StoredAlert
from event_service.store.object_ids import new_object_id
from event_service.wire.timestamps import Clock, utc_now

MOST_COUNTED = 1000
"""Alerts of one Count."""

LONGEST_TITLE = 1000
LONGEST_DESCRIPTION = 100_000
LONGEST_USER_ID = 255

ANONYMOUS = "anonymous"
"""User id of callers without one: without authentication, or by a token without `aud`."""


T = TypeVar("T")


class AlertManager:
    """The service layer of alerts.

    Args:
        threads: runs reads and changes.
    """

    def __init__(
        self, *, reader: AlertReader, changes: AlertChanges, threads: ThreadPool, clock: Clock = utc_now
    ) -> None:
        self._reader = reader
        self._changes = changes
        self._threads = threads
        self._clock = clock

    async def get(self, scope: Scope, alert_id: str) -> dict[str, Any]:
        """Return the fields of AlertInfo of one alert.

        Raises:
            RequiredParameter: no alert_id.
            NotFound: not found in this scope.
        """
        _require_id(alert_id)
        found = await self._threads.run_for(scope.domain_id, self._reader.get, scope, alert_id)
        if found is None:
            raise NotFound("alert_id", alert_id)
        return found

    async def list(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str | int], *, counted: bool = True
    ) -> AlertPage:
        """Return matching alerts as fields of AlertInfo; see `query/list_query.py` for the language and its errors.

        Args:
            equals: the request's fields beside the query.
            counted: False: total_count is only that of this page.
        """
        # Parsed in the thread: large queries take long.
        return await self._threads.run_for(
            scope.domain_id,
            lambda: self._reader.list(
                scope, parse_list_query(query, equals, ALERT_FIELDS, self._clock()), counted=counted
            ),
        )

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        """Return aggregated values as the reply's JSON; see `query/stat_query.py` for the language and its errors."""
        return await self.encoded_stat(scope, query, lambda reply: reply)

    async def encoded_stat(self, scope: Scope, query: Mapping[str, Any], encode: Callable[[dict[str, Any]], T]) -> T:
        """Return the reply of `stat`, encoded in the thread that read it."""
        return await self._threads.run_for(
            scope.domain_id,
            lambda: encode(self._reader.stat(scope, parse_stat_query(query, ALERT_FIELDS, self._clock()))),
        )

    async def events(self, scope: Scope, alert_ids: Sequence[str]) -> dict[str, AlertEvents]:
        """Return the events of alerts, by alert_id; those that the scope lacks are missing.

        Raises:
            RequiredParameter: no alert_ids.
            InvalidArgument: too many.
        """
        if not alert_ids:
            raise RequiredParameter("alert_ids")
        if len(alert_ids) > MOST_COUNTED:
            raise InvalidArgument.at("alert_ids", f"must not have more than {MOST_COUNTED} members")
        return await self._threads.run_for(scope.domain_id, self._reader.events, scope, alert_ids)

    async def create(
        self,
        scope: Scope,
        user_id: str,
        *,
        title: str,
        project_id: str,
        description: str = "",
        assignee: str = "",
        urgency: str = "",
    ) -> dict[str, Any]:
        """Create an alert in the scope's workspace.

        Args:
            urgency: HIGH or LOW; "" for HIGH.

        Raises:
            RequiredParameter: title or project_id is missing, checked in this order; or the scope has no workspace.
            InvalidArgument: a text is too long, or project_id is not one project.
            PermissionDenied: a project outside the scope.
        """
        title = _checked_title(title)
        if not title:
            raise RequiredParameter("title")
        if not project_id:
            raise RequiredParameter("project_id")
        _check_project(scope, project_id)
        if scope.workspace_id is None:
            raise RequiredParameter("x_workspace_id")
        _check_length("description", description, LONGEST_DESCRIPTION)
        alert = Alert(
            reference=AlertReference(new_object_id(), f"alert-{secrets.token_hex(6)}"),
            condition_id="",
            state=AlertState.TRIGGERED,
            urgency=Urgency(urgency or Urgency.HIGH),
            severity=Severity.NONE,
            title=title,
            description=description,
            rule="",
            image_url="",
            resources=(),
            provider="",
            account="",
            additional_info={},
            triggered_by=user_id or ANONYMOUS,
            webhook_id="",
            project_id=project_id,
            workspace_id=scope.workspace_id,
            domain_id=scope.domain_id,
            created_at=self._clock(),
            assignee=_checked_user("assignee", assignee),
        )
        await self._threads.run_for(scope.domain_id, self._changes.create, alert)
        self._reader.changed()
        return await self.get(scope, alert.reference.alert_id)

    async def update(
        self,
        scope: Scope,
        user_id: str,
        alert_id: str,
        *,
        title: str = "",
        state: str = "",
        description: str = "",
        reset_description: bool = False,
        urgency: str = "",
        project_id: str = "",
    ) -> dict[str, Any]:
        """Change an alert, in one transaction; "" leaves a field as it is.

        Raises:
            RequiredParameter: no alert_id.
            InvalidArgument: an invalid value, or a state that the alert cannot get.
            NotFound: not found in this scope.
            PermissionDenied: a project outside the scope.
        """
        _require_id(alert_id)
        fields: dict[str, Any] = {}
        if title := _checked_title(title):
            fields["title"] = title
        if description and reset_description:
            raise InvalidArgument.at("reset_description", "cannot be set together with description")
        if description or reset_description:
            _check_length("description", description, LONGEST_DESCRIPTION)
            fields["description"] = description
        if urgency:
            fields["urgency"] = urgency
        if project_id:
            _check_project(scope, project_id)
            fields["project_id"] = project_id
        await self._change(scope, user_id, alert_id, fields, _settable(state) if state else None)
        return await self.get(scope, alert_id)

    async def assign_user(self, scope: Scope, alert_id: str, assignee: str) -> dict[str, Any]:
        """Assign an alert to a user.

        Raises:
            RequiredParameter: alert_id or assignee is missing.
            InvalidArgument: the assignee is too long.
            NotFound: not found in this scope.
        """
        _require_id(alert_id)
        assignee = _checked_user("assignee", assignee)
        if not assignee:
            raise RequiredParameter("assignee")
        await self._change(scope, "", alert_id, {"assignee": assignee}, None)
        return await self.get(scope, alert_id)

    async def delete(self, scope: Scope, alert_id: str) -> None:
        """Delete an alert; its events stay, without alert_id.

        Raises:
            RequiredParameter: no alert_id.
            NotFound: not found in this scope.
        """
        _require_id(alert_id)
        await self._threads.run_for(scope.domain_id, self._changes.delete, scope, alert_id)
        self._reader.changed()

    async def _change(
        self, scope: Scope, user_id: str, alert_id: str, fields: Mapping[str, Any], state: AlertState | None
    ) -> None:
        now = self._clock()
        decide = partial(_decide, state=state, fields=fields, now=now, user_id=user_id or ANONYMOUS)
        await self._threads.run_for(scope.domain_id, self._changes.change, scope, alert_id, now, decide)
        self._reader.changed()


def _decide(
    stored: StoredAlert,
    condition: Condition | None,
    *,
    state: AlertState | None,
    fields: Mapping[str, Any],
    now: Any,
    user_id: str,
) -> AlertChange:
    alert = stored.reference
    match state:
        case AlertState.RESOLVED:
            change = resolve(alert, stored.state, condition, now, user_id)
        case AlertState.ACKNOWLEDGED:
            change = acknowledge(stored.state, now, user_id)
        case AlertState.TRIGGERED:
            change = reopen(alert, stored.state, condition, now, user_id)
        case _:
            change = AlertChange()
    return AlertChange({**fields, **change.fields}, change.resolution, change.condition)


def _settable(state: str) -> AlertState:
    if state not in SETTABLE:
        raise InvalidArgument.at("state", f"must be one of {', '.join(SETTABLE)}")
    return AlertState(state)


def _require_id(alert_id: str) -> None:
    if not alert_id:
        raise RequiredParameter("alert_id")


def _check_project(scope: Scope, project_id: str) -> None:
    if project_id == "*":
        raise InvalidArgument.at("project_id", "must be one project, since an alert belongs to one")
    if scope.projects is not None and project_id not in scope.projects:
        raise PermissionDenied


def _checked_title(title: str) -> str:
    title = title.strip()
    _check_length("title", title, LONGEST_TITLE)
    return title


def _checked_user(name: str, user_id: str) -> str:
    user_id = user_id.strip()
    _check_length(name, user_id, LONGEST_USER_ID)
    return user_id


def _check_length(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise InvalidArgument.at(name, f"must not have more than {most} characters")
