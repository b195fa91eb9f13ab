"""Check what the service's user may do. `readWrite` on the one database is enough for everything.

Source: MongoDB manual, "Resource Document", "Privilege Actions", and "connectionStatus", which needs no privilege.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pymongo.errors import OperationFailure

from event_service.store.client import Database
from event_service.store.driver_errors import database_errors
from event_service.store.requirements.faults import UnsuitableDatabase

TO_SERVE = ("find", "insert", "update", "remove", "changeStream", "listIndexes", "listCollections")
"""Actions without which nothing works, or `Watch` would look for news again and again."""

TO_READ = ("find", "listIndexes", "listCollections")
"""For `db check`, `db backup` and `db prune --dry-run`."""

TO_MAINTAIN = (*TO_SERVE, "createCollection", "createIndex", "dropIndex", "dropCollection")
"""For the other `db` commands. A service needs the indexes' ones where `db init` has not been run by another user."""

UNAUTHORIZED = 13

Privilege = Mapping[str, Any]


def check_rights(database: Database, collections: Iterable[str], actions: Sequence[str] = TO_SERVE) -> None:
    """Check that the connection's user may do all this in the database. Nothing is written.

    Raises:
        UnsuitableDatabase: he may not; or there is no user and the server asks for one.
        Unavailable: the database does not answer.
    """
    with database_errors():
        info = database.command("connectionStatus", showPrivileges=True)["authInfo"]
    users = [str(user["user"]) for user in info.get("authenticatedUsers", ())]
    if not users:
        check_anonymous(database)
        return
    lacking = missing(info.get("authenticatedUserPrivileges", ()), database.name, list(collections), actions)
    if lacking:
        raise lacks(database, users[0], str(info["authenticatedUsers"][0].get("db", "admin")), lacking)


def check_anonymous(database: Database) -> None:
    """Check that the server lets a connection without a user read: where it has no access control, all is allowed.

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
                "the MongoDB asks for a user, and EVENT_SERVICE_MONGODB_URI names none",
                f"put USER:PASSWORD@ before the host, of a user with the role readWrite on {database.name!r}",
            ) from None


def missing(
    privileges: Iterable[Privilege], database: str, collections: Sequence[str], actions: Iterable[str]
) -> list[str]:
    """Return those of the actions that are not granted on every one of the collections."""
    granted = list(privileges)
    # `listCollections` is asked of the database as a whole.
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
    if "db" not in resource:  # the cluster's
        return False
    return resource["db"] in ("", database) and resource.get("collection") in ("", collection)


def lacks(database: Database, user: str, defined_in: str, actions: Sequence[str]) -> UnsuitableDatabase:
    """The error for a user who may not do something; it says which command grants it."""
    role = f"{{role: 'readWrite', db: '{database.name}'}}"
    return UnsuitableDatabase(
        f"the user {user!r} may not {', '.join(actions)} in the database {database.name!r}",
        f"grant the role: db.getSiblingDB('{defined_in}').grantRolesToUser('{user}', [{role}])",
    )
