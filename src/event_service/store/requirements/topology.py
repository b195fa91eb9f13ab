"""Check the servers: reachable, new enough, and a replica set with a primary or the mongos of a sharded cluster.

    hello through the driver ── answered ──> judge it
            │
            └── no primary, or authentication failed ──> hello to each server directly, without credentials ──> explain

`hello`, `buildInfo` and `connectionStatus` need no privileges.
Source: MongoDB manual, "hello"; server sources, `replication_info.cpp` and `service_entry_point_mongod.cpp`.
"""

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.uri_parser import parse_uri

from event_service.store.client import Database, Document, time_limit
from event_service.store.requirements.faults import DatabaseNotReady, UnsuitableDatabase

Hello: TypeAlias = Mapping[str, Any]
Reply: TypeAlias = Hello | str
"""What a server answers to `hello`, or why it does not."""

OLDEST_WIRE_VERSION, OLDEST_VERSION = 9, "4.4"
OLDEST_TESTED = (6, 0)

_SECONDS = 2.0  # for the questions through the driver
_ASK_MS = 1000  # for the question to one server
_ASKED_AT_ONCE = 8

# AuthenticationFailed, UserNotFound, BadValue and MechanismUnavailable (both: a mechanism the server does not offer),
# Atlas's own.
_CREDENTIALS_REFUSED = frozenset({18, 11, 2, 334, 8000})

_USE_SET = (
    "start it with --replSet and run rs.initiate() once, or unset EVENT_SERVICE_MONGODB_URI to use the embedded one"
)
_NAME_MONGOS = "name the cluster's mongos in EVENT_SERVICE_MONGODB_URI"


class Reservation(NamedTuple):
    """Something that works and should be better; `problem` and `advice` as of `UnsuitableDatabase`."""

    problem: str
    advice: str


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of a MongoDB that can be used.

    Attributes:
        version: of the server, such as "6.0.5".
        topology: such as "replica set 'rs0'".
    """

    version: str
    topology: str
    reservations: tuple[Reservation, ...] = ()


def check_topology(database: Database, uri: str) -> Server:
    """Ask the MongoDB what it is. Nothing is written.

    Args:
        uri: that the database was connected by.

    Raises:
        UnsuitableDatabase: it cannot be used as it is.
        DatabaseNotReady: not reachable, or without a primary, now.
    """
    try:
        with time_limit(_SECONDS):
            hello = database.command("hello")
            build = database.command("buildInfo")
    except OperationFailure as error:
        if error.code not in _CREDENTIALS_REFUSED:
            raise DatabaseNotReady(_plain(error), "see the log of the MongoDB") from None
        # Servers that are no members of a set (yet) know no users: say that first.
        asked = ask_directly(uri)
        if not any(map(_usable, asked.values())):
            explain(asked, uri)
        raise _credentials_refused(uri, error) from None
    except ConfigurationError as error:  # a wire version that the driver does not speak
        raise UnsuitableDatabase(_plain(error).rstrip("."), f"use MongoDB {OLDEST_VERSION} or later") from None
    except ServerSelectionTimeoutError as error:
        explain(ask_directly(uri), uri)
        raise DatabaseNotReady(_plain(error), "correct EVENT_SERVICE_MONGODB_URI") from None
    except PyMongoError as error:
        raise DatabaseNotReady(_plain(error), "correct EVENT_SERVICE_MONGODB_URI if this lasts") from None
    check_version(hello, str(build.get("version", "")))
    check_role(hello, _address(hello, uri))
    if not is_writable(hello):
        explain(ask_directly(uri), uri)
        raise DatabaseNotReady(
            f"{_address(hello, uri)} is {_state(hello)} and takes no writes", "wait for the election"
        )
    return Server(str(build.get("version", "")), _topology(hello), reservations(hello, str(build.get("version", ""))))


def is_writable(hello: Hello) -> bool:
    """Tell whether the server takes writes: a primary, or a mongos."""
    return bool(hello.get("isWritablePrimary") or hello.get("ismaster"))


def is_router(hello: Hello) -> bool:
    """Tell whether the server is a mongos."""
    return hello.get("msg") == "isdbgrid"


def check_version(hello: Hello, version: str) -> None:
    """
    Raises:
        UnsuitableDatabase: older than `OLDEST_VERSION`.
    """
    if int(hello.get("maxWireVersion") or 0) < OLDEST_WIRE_VERSION:
        raise UnsuitableDatabase(
            f"it is MongoDB {version or '(unknown version)'}", f"use MongoDB {OLDEST_VERSION} or later"
        )


def check_role(hello: Hello, address: str) -> None:
    """Refuse servers that can never serve, whatever state they are in.

    Raises:
        UnsuitableDatabase: a standalone, a cluster's own member, or a set of which too few members hold data.
    """
    if is_router(hello):
        return
    if hello.get("isreplicaset"):
        return  # no configuration yet; `explain` speaks of it
    if "setName" not in hello:
        raise UnsuitableDatabase(
            f"{address} is a standalone mongod, without majority writes and change streams", _USE_SET
        )
    # Only cluster members reply with these: a config server, one started with --shardsvr, one added to a cluster.
    if "configsvr" in hello:
        raise UnsuitableDatabase(f"{address} is a config server of a sharded cluster", _NAME_MONGOS)
    if "isImplicitDefaultMajorityWC" in hello or "lastCommittedOpTime" in hello:
        raise UnsuitableDatabase(f"{address} is a shard of a sharded cluster, not its mongos", _NAME_MONGOS)
    data, arbiters = data_members(hello), list(hello.get("arbiters", ()))
    majority = (len(data) + len(arbiters)) // 2 + 1
    if len(data) < majority:
        raise UnsuitableDatabase(
            f"only {len(data)} of the {len(data) + len(arbiters)} members of the replica set {hello['setName']!r} "
            "holds data, which is no majority",
            f"replace the arbiter {arbiters[0]} by a member that holds data, or remove it with rs.remove()",
        )


def data_members(hello: Hello) -> list[str]:
    """Return the addresses of the set's members that hold data and are not hidden."""
    return [*hello.get("hosts", ()), *hello.get("passives", ())]


def _members(hello: Hello) -> list[str]:
    return [*data_members(hello), *hello.get("arbiters", ())]


def reservations(hello: Hello, version: str) -> tuple[Reservation, ...]:
    """Return what works and should be better."""
    found = []
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers and numbers < OLDEST_TESTED:
        found.append(Reservation(f"MongoDB {version} is not supported by its maker", "use MongoDB 7.0 or 8.0"))
    if arbiters := hello.get("arbiters"):
        problem = f"the arbiter {', '.join(arbiters)} holds no data: writes wait while another member is away"
        found.append(Reservation(problem, "replace it by a member that holds data"))
    return tuple(found)


def ask_directly(uri: str) -> dict[str, Reply]:
    """Ask each server that the URI names, and each member that those name, for `hello`; without credentials."""
    try:
        parsed = parse_uri(uri, warn=False)
    except PyMongoError:  # a SRV record that is gone by now
        return {}
    tls = {name: value for name, value in parsed["options"].items() if name.startswith("tls")}
    if tls.get("tlsInsecure"):  # comes with what it stands for, which is refused beside it
        tls = {name: value for name, value in tls.items() if "Invalid" not in name and "OCSP" not in name}
    asked: dict[str, Reply] = {}
    named = [_joined(host, port) for host, port in parsed["nodelist"]]
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        while addresses := [address for address in dict.fromkeys(named) if address not in asked]:
            asked |= zip(addresses, pool.map(partial(_ask, tls=tls), addresses), strict=True)
            replies = [asked[address] for address in addresses]
            named = [name for reply in replies if not isinstance(reply, str) for name in _members(reply)]
    return asked


def _ask(address: str, tls: dict[str, Any]) -> Reply:
    options = {"serverSelectionTimeoutMS": _ASK_MS, "connectTimeoutMS": _ASK_MS, **tls}
    try:
        client: MongoClient[Document] = MongoClient(address, directConnection=True, **options)
        with client, time_limit(_ASK_MS / 1000):
            return client.get_database("admin").command("hello")
    except PyMongoError as error:
        return _plain(error).removeprefix(f"{address}: ")


def explain(asked: Mapping[str, Reply], uri: str) -> None:
    """Raise what the replies say; return where they say nothing against the database.

    Raises:
        UnsuitableDatabase: they say that it cannot be used as it is.
        DatabaseNotReady: they say that it cannot be used now.
    """
    silent = {address: reply for address, reply in asked.items() if isinstance(reply, str)}
    replies = {address: reply for address, reply in asked.items() if not isinstance(reply, str)}
    if not replies:
        if silent:
            raise DatabaseNotReady(f"cannot reach {_listed(silent)}", "start it, or correct EVENT_SERVICE_MONGODB_URI")
        return
    for address, hello in replies.items():
        check_version(hello, "")
        check_role(hello, address)
    _check_names(replies, uri)
    bare = [address for address, hello in replies.items() if hello.get("isreplicaset")]
    members = {address: hello for address, hello in replies.items() if "setName" in hello}
    if not members and bare:
        raise DatabaseNotReady(
            f"{', '.join(bare)} has no valid replica set configuration",
            "run rs.initiate() on it once, or rs.add() on the primary if it was removed from its set",
        )
    primary = next((address for address, hello in members.items() if is_writable(hello)), None)
    if primary is None and members:
        raise _no_primary(members, silent, bare)
    if primary is None:
        return
    if state := _direct(uri, members):
        raise DatabaseNotReady(state, f"name {primary}, or all members without directConnection=true")
    if (own_name := members[primary].get("me")) in silent:
        raise DatabaseNotReady(
            f"{primary} calls itself {own_name}, which cannot be reached from here ({silent[own_name]})",
            "make that name known here, or reconfigure the replica set with names that are",
        )


def _no_primary(members: Mapping[str, Hello], silent: Mapping[str, str], bare: Iterable[str]) -> DatabaseNotReady:
    name = next(iter(members.values()))["setName"]
    states = [f"{address} is {_state(hello)}" for address, hello in members.items()]
    states += [f"{address} has no valid configuration" for address in bare]
    states += [f"{address} is away ({reason})" for address, reason in silent.items()]
    advice = "start those that are away, a majority is needed" if silent else "wait for the election, or see their logs"
    return DatabaseNotReady(f"the replica set {name!r} has no primary: {', '.join(states)}", advice)


def _direct(uri: str, members: Mapping[str, Hello]) -> str:
    """Return what is wrong with a single member that the URI insists on; "" where it is the primary."""
    parsed = parse_uri(uri, warn=False)
    if not parsed["options"].get("directConnection"):
        return ""
    address = _joined(*parsed["nodelist"][0])
    hello = members.get(address)
    return "" if hello is None or is_writable(hello) else f"{address} is {_state(hello)} and takes no writes"


def _check_names(replies: Mapping[str, Hello], uri: str) -> None:
    wanted = parse_uri(uri, warn=False)["options"].get("replicaSet")
    names = {str(hello["setName"]) for hello in replies.values() if "setName" in hello}
    if wanted and names and wanted not in names:
        raise UnsuitableDatabase(
            f"EVENT_SERVICE_MONGODB_URI asks for the replica set {wanted!r}, and the servers belong to "
            f"{', '.join(sorted(names))!r}",
            "correct replicaSet in it",
        )


def _credentials_refused(uri: str, error: OperationFailure) -> UnsuitableDatabase:
    parsed = parse_uri(uri, warn=False)
    source = parsed["options"].get("authSource") or parsed["database"] or "admin"
    reason = _plain(error).rstrip(".")
    return UnsuitableDatabase(
        f"the MongoDB refuses the user {parsed['username']!r} of the database {source!r} ({reason})",
        "correct the user, the password or authSource in EVENT_SERVICE_MONGODB_URI",
    )


def _usable(reply: Reply) -> bool:
    return not isinstance(reply, str) and (is_router(reply) or ("setName" in reply and is_writable(reply)))


def _state(hello: Hello) -> str:
    if is_writable(hello):
        return "the primary"
    if hello.get("arbiterOnly"):
        return "an arbiter"
    return "a secondary" if hello.get("secondary") else "recovering or in its initial sync"


def _topology(hello: Hello) -> str:
    return "sharded cluster" if is_router(hello) else f"replica set {hello['setName']!r}"


def _address(hello: Hello, uri: str) -> str:
    return str(hello.get("me") or ", ".join(_joined(*node) for node in parse_uri(uri, warn=False)["nodelist"]))


def _joined(host: str, port: int | None) -> str:
    if port is None or host.startswith("/"):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listed(silent: Mapping[str, str]) -> str:
    return ", ".join(f"{address}: {reason}" for address, reason in silent.items())


def _plain(error: Exception) -> str:
    """Return the reason in the driver's text, without its timeouts and descriptions of everything."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    text = text.partition(", full error")[0].partition(", Timeout:")[0]
    return re.sub(r" \(configured timeouts:[^)]*\)|\[Errno -?\d+\] ", "", text)
