"""Checks the rights of the service's user. `readWrite` on the database suffices for everything.

Source: MongoDB manual, "Resource Document", "Privilege Actions", and "connectionStatus", which needs no privilege.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo.errors import OperationFailure

from event_service.store.client import Database
from event_service.store.driver_errors import database_errors
from event_service.store.requirements.faults import UnsuitableDatabase

TO_SERVE = ("find", "insert", "update", "remove", "changeStream", "listIndexes", "listCollections")
"""Privilege actions for serving; without changeStream, `Watch` would poll."""

TO_READ = ("find", "listIndexes", "listCollections")
"""For `db check`, `db backup` and `db prune --dry-run`."""

TO_MAINTAIN = (*TO_SERVE, "createCollection", "createIndex", "dropIndex", "dropCollection")
"""For the other `db` commands. A service needs those on indexes unless another user has run `db init`."""

UNAUTHORIZED = 13

Privilege = Mapping[str, Any]


def check_rights(database: Database, collections: Iterable[str], actions: Sequence[str] = TO_SERVE) -> None:
    """Check that the connection's user has these privilege actions on the collections. Nothing is written.

    Raises:
        UnsuitableDatabase: one is missing; or the connection has no user and the server requires one.
        Unavailable: the database does not answer.
    """
    with database_errors():
        info = database.command("connectionStatus", showPrivileges=True)["authInfo"]
    users = [str(user["user"]) for user in info.get("authenticatedUsers", ())]
    if not users:
        check_anonymous(database)
        return
    if lacking := missing(info.get("authenticatedUserPrivileges", ()), database.name, list(collections), actions):
        raise _unauthorized(database, users[0], str(info["authenticatedUsers"][0].get("db", "admin")), lacking)


def check_anonymous(database: Database) -> None:
    """Check that the server accepts reads without a user: then it has no access control and everything is allowed.

    Raises:
        UnsuitableDatabase: it does not.
        Unavailable: the database does not answer.
    """
    with database_errors():
        try:
            database["event_service"].find_one({}, {"_id": True})
        except OperationFailure as error:
            if error.code != UNAUTHORIZED:
                raise
            raise UnsuitableDatabase(
                "the MongoDB requires a user, and EVENT_SERVICE_MONGODB_URI names none",
                f"put USER:PASSWORD@ before the host, of a user with the role readWrite on {database.name!r}",
            ) from None


def missing(
    privileges: Iterable[Privilege], database: str, collections: Sequence[str], actions: Iterable[str]
) -> list[str]:
    """Return the actions that are not granted on every collection."""
    granted = list(privileges)
    # `listCollections` is an action on the database, which "" stands for.
    return [
        action
        for action in actions
        if not all(
            _is_granted(granted, action, database, name)
            for name in ([""] if action == "listCollections" else collections)
        )
    ]


def _is_granted(privileges: Iterable[Privilege], action: str, database: str, collection: str) -> bool:
    return any(
        action in privilege.get("actions", ()) and _covers(privilege.get("resource", {}), database, collection)
        for privilege in privileges
    )


def _covers(resource: Mapping[str, Any], database: str, collection: str) -> bool:
    if resource.get("anyResource"):
        return True
    if "db" not in resource:  # a cluster resource
        return False
    return resource["db"] in ("", database) and resource.get("collection") in ("", collection)


def _unauthorized(database: Database, user: str, defined_in: str, actions: Sequence[str]) -> UnsuitableDatabase:
    role = f"{{role: 'readWrite', db: '{database.name}'}}"
    return UnsuitableDatabase(
        f"the user {user!r} may not {', '.join(actions)} in the database {database.name!r}",
        f"grant the role: db.getSiblingDB('{defined_in}').grantRolesToUser('{user}', [{role}])",
    )
