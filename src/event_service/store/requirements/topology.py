"""Checks the servers: reachable, new enough, and a replica set with a primary or the mongos of a sharded cluster.

    hello through the driver ── replied ──> check the reply
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
"""A server's reply to `hello`, or the reason for no reply."""

OLDEST_WIRE_VERSION, OLDEST_VERSION = 9, "4.4"
OLDEST_TESTED = (6, 0)

_SECONDS = 2.0  # time limit of the commands through the driver
_HELLO_MS = 1000  # time limit of `hello` to one server
_PARALLEL_HELLOS = 8

# AuthenticationFailed, UserNotFound, BadValue and MechanismUnavailable (both: unsupported mechanism), AtlasError.
_CREDENTIALS_REFUSED = frozenset({18, 11, 2, 334, 8000})

_USE_SET = (
    "start it with --replSet and run rs.initiate() once, or unset EVENT_SERVICE_MONGODB_URI to use the embedded one"
)
_NAME_MONGOS = "name the cluster's mongos in EVENT_SERVICE_MONGODB_URI"


class Reservation(NamedTuple):
    """A warning; `problem` and `advice` as of `UnsuitableDatabase`."""

    problem: str
    advice: str


@dataclass(frozen=True, slots=True)
class Server:
    """A MongoDB that meets the requirements.

    Attributes:
        version: of the server, such as "6.0.5".
        topology: such as "replica set 'rs0'".
    """

    version: str
    topology: str
    reservations: tuple[Reservation, ...] = ()


def check_topology(database: Database, uri: str) -> Server:
    """Check the servers. Nothing is written.

    Args:
        uri: the URI of the connection.

    Raises:
        UnsuitableDatabase: they must be changed first.
        DatabaseNotReady: not reachable, or without a primary, at present.
    """
    try:
        with time_limit(_SECONDS):
            hello = database.command("hello")
            build = database.command("buildInfo")
    except OperationFailure as error:
        if error.code not in _CREDENTIALS_REFUSED:
            raise DatabaseNotReady(_reason(error), "see the log of the MongoDB") from None
        # A server outside a replica set has no users yet: that explains the refusal.
        replies = ask_directly(uri)
        if not any(map(_usable, replies.values())):
            explain(replies, uri)
        raise _credentials_refused(uri, error) from None
    except ConfigurationError as error:  # a wire version that the driver does not speak
        raise UnsuitableDatabase(_reason(error).rstrip("."), f"use MongoDB {OLDEST_VERSION} or later") from None
    except ServerSelectionTimeoutError as error:
        explain(ask_directly(uri), uri)
        raise DatabaseNotReady(_reason(error), "correct EVENT_SERVICE_MONGODB_URI") from None
    except PyMongoError as error:
        raise DatabaseNotReady(_reason(error), "correct EVENT_SERVICE_MONGODB_URI if this lasts") from None
    check_version(hello, str(build.get("version", "")))
    check_role(hello, _address(hello, uri))
    if not is_writable(hello):
        explain(ask_directly(uri), uri)
        raise DatabaseNotReady(
            f"{_address(hello, uri)} is {_state(hello)} and accepts no writes", "wait for the election"
        )
    return Server(str(build.get("version", "")), _topology(hello), reservations(hello, str(build.get("version", ""))))


def is_writable(hello: Hello) -> bool:
    """Return whether the server accepts writes: a primary or a mongos."""
    return bool(hello.get("isWritablePrimary") or hello.get("ismaster"))


def is_router(hello: Hello) -> bool:
    """Return whether the server is a mongos."""
    return hello.get("msg") == "isdbgrid"


def check_version(hello: Hello, version: str) -> None:
    """Raise UnsuitableDatabase if the server is older than `OLDEST_VERSION`."""
    if int(hello.get("maxWireVersion") or 0) < OLDEST_WIRE_VERSION:
        raise UnsuitableDatabase(
            f"it is MongoDB {version or '(unknown version)'}", f"use MongoDB {OLDEST_VERSION} or later"
        )


def check_role(hello: Hello, address: str) -> None:
    """Refuse servers that are unsuitable in every state.

    Raises:
        UnsuitableDatabase: a standalone, a shard or config server, or a set without a data-bearing majority.
    """
    if is_router(hello):
        return
    if hello.get("isreplicaset"):
        return  # not initiated yet; `explain` handles it
    if "setName" not in hello:
        raise UnsuitableDatabase(
            f"{address} is a standalone mongod, which has no majority writes and no change streams", _USE_SET
        )
    # Only members of a cluster reply with these: a config server, a member with --shardsvr, one added to a cluster.
    if "configsvr" in hello:
        raise UnsuitableDatabase(f"{address} is a config server of a sharded cluster", _NAME_MONGOS)
    if "isImplicitDefaultMajorityWC" in hello or "lastCommittedOpTime" in hello:
        raise UnsuitableDatabase(f"{address} is a shard of a sharded cluster, not its mongos", _NAME_MONGOS)
    data, arbiters = data_members(hello), list(hello.get("arbiters", ()))
    majority = (len(data) + len(arbiters)) // 2 + 1
    if len(data) < majority:
        raise UnsuitableDatabase(
            f"only {len(data)} of the {len(data) + len(arbiters)} members of the replica set {hello['setName']!r} "
            "hold data, which is not a majority",
            f"replace the arbiter {arbiters[0]} by a member that holds data, or remove it with rs.remove()",
        )


def data_members(hello: Hello) -> list[str]:
    """Return the addresses of the data-bearing members that are not hidden."""
    return [*hello.get("hosts", ()), *hello.get("passives", ())]


def _members(hello: Hello) -> list[str]:
    return [*data_members(hello), *hello.get("arbiters", ())]


def reservations(hello: Hello, version: str) -> tuple[Reservation, ...]:
    """Return warnings about a server that meets the requirements."""
    found = []
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers and numbers < OLDEST_TESTED:
        found.append(Reservation(f"MongoDB {version} has reached its end of life", "use MongoDB 7.0 or 8.0"))
    if arbiters := hello.get("arbiters"):
        problem = f"the arbiter {', '.join(arbiters)} holds no data: writes wait while another member is unreachable"
        found.append(Reservation(problem, "replace it by a member that holds data"))
    return tuple(found)


def ask_directly(uri: str) -> dict[str, Reply]:
    """Send `hello` without credentials to each server in the URI and to each member that their replies name."""
    try:
        parsed = parse_uri(uri, warn=False)
    except PyMongoError:  # an SRV record that no longer resolves
        return {}
    tls = {name: value for name, value in parsed["options"].items() if name.startswith("tls")}
    if tls.get("tlsInsecure"):  # parse_uri adds the options that it implies, which MongoClient refuses beside it
        tls = {name: value for name, value in tls.items() if "Invalid" not in name and "OCSP" not in name}
    replies: dict[str, Reply] = {}
    named = [_joined(host, port) for host, port in parsed["nodelist"]]
    with ThreadPoolExecutor(_PARALLEL_HELLOS) as pool:
        while addresses := [address for address in dict.fromkeys(named) if address not in replies]:
            replies |= zip(addresses, pool.map(partial(_hello, tls=tls), addresses), strict=True)
            latest = [replies[address] for address in addresses]
            named = [name for reply in latest if not isinstance(reply, str) for name in _members(reply)]
    return replies


def _hello(address: str, tls: dict[str, Any]) -> Reply:
    options = {"serverSelectionTimeoutMS": _HELLO_MS, "connectTimeoutMS": _HELLO_MS, **tls}
    try:
        client: MongoClient[Document] = MongoClient(address, directConnection=True, **options)
        with client, time_limit(_HELLO_MS / 1000):
            return client.get_database("admin").command("hello")
    except PyMongoError as error:
        return _reason(error).removeprefix(f"{address}: ")


def explain(replies: Mapping[str, Reply], uri: str) -> None:
    """Raise the error that the replies explain; return if they explain none.

    Raises:
        UnsuitableDatabase: the servers must be changed first.
        DatabaseNotReady: the servers are not ready at present.
    """
    unreachable = {address: reply for address, reply in replies.items() if isinstance(reply, str)}
    hellos = {address: reply for address, reply in replies.items() if not isinstance(reply, str)}
    if not hellos:
        if unreachable:
            reasons = ", ".join(f"{address}: {reason}" for address, reason in unreachable.items())
            raise DatabaseNotReady(f"cannot reach {reasons}", "start it, or correct EVENT_SERVICE_MONGODB_URI")
        return
    for address, hello in hellos.items():
        check_version(hello, "")
        check_role(hello, address)
    _check_set_name(hellos, uri)
    uninitiated = [address for address, hello in hellos.items() if hello.get("isreplicaset")]
    members = {address: hello for address, hello in hellos.items() if "setName" in hello}
    if not members and uninitiated:
        raise DatabaseNotReady(
            f"{', '.join(uninitiated)} has no valid replica set configuration",
            "run rs.initiate() on it once, or rs.add() on the primary if it was removed from its set",
        )
    primary = next((address for address, hello in members.items() if is_writable(hello)), None)
    # Members that reply but elect no primary: say who is missing.
    if primary is None and members:
        raise _no_primary(members, unreachable, uninitiated)
    if primary is None:
        return
    if state := _direct(uri, members):
        raise DatabaseNotReady(state, f"name {primary}, or all members without directConnection=true")
    if (own_name := members[primary].get("me")) in unreachable:
        raise DatabaseNotReady(
            f"{primary} calls itself {own_name}, which is unreachable from this host ({unreachable[own_name]})",
            "make that name resolvable here, or reconfigure the replica set with names that are",
        )


def _no_primary(
    members: Mapping[str, Hello], unreachable: Mapping[str, str], uninitiated: Iterable[str]
) -> DatabaseNotReady:
    name = next(iter(members.values()))["setName"]
    states = [f"{address} is {_state(hello)}" for address, hello in members.items()]
    states += [f"{address} has no valid configuration" for address in uninitiated]
    states += [f"{address} is unreachable ({reason})" for address, reason in unreachable.items()]
    advice = "start a majority of the members" if unreachable else "wait for the election, or see their logs"
    return DatabaseNotReady(f"the replica set {name!r} has no primary: {', '.join(states)}", advice)


def _direct(uri: str, members: Mapping[str, Hello]) -> str:
    """Return the problem with the one member of a URI with directConnection=true; "" if it is the primary."""
    parsed = parse_uri(uri, warn=False)
    if not parsed["options"].get("directConnection"):
        return ""
    address = _joined(*parsed["nodelist"][0])
    hello = members.get(address)
    return "" if hello is None or is_writable(hello) else f"{address} is {_state(hello)} and accepts no writes"


def _check_set_name(hellos: Mapping[str, Hello], uri: str) -> None:
    expected = parse_uri(uri, warn=False)["options"].get("replicaSet")
    names = {str(hello["setName"]) for hello in hellos.values() if "setName" in hello}
    if expected and names and expected not in names:
        raise UnsuitableDatabase(
            f"EVENT_SERVICE_MONGODB_URI names the replica set {expected!r}, but the servers belong to "
            f"{', '.join(sorted(names))!r}",
            "correct replicaSet in it",
        )


def _credentials_refused(uri: str, error: OperationFailure) -> UnsuitableDatabase:
    parsed = parse_uri(uri, warn=False)
    source = parsed["options"].get("authSource") or parsed["database"] or "admin"
    reason = _reason(error).rstrip(".")
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


def _reason(error: Exception) -> str:
    """Return the reason in the driver's message, without timeouts and topology description."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    text = text.partition(", full error")[0].partition(", Timeout:")[0]
    return re.sub(r" \(configured timeouts:[^)]*\)|\[Errno -?\d+\] ", "", text)
