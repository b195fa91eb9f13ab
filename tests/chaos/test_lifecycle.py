"""Repeated, parallel and failed starts and stops leak nothing."""

import asyncio
import gc
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, webhook_pb2
from event_service.app import App, build
from event_service.identity.key_file import KeySetError
from event_service.rpc.address import PortTaken
from event_service.settings import Settings
from event_service.store.embedded.database import EmbeddedDatabaseError
from tests.chaos.caller import OK, Caller
from tests.chaos.scale import scaled
from tests.e2e.service import BIN, CHECKOUT, clean_environment, free_port

WEBHOOK = "/spaceone.api.monitoring.v1.Webhook"


def settings_of(folder: Path, **values: Any) -> Settings:
    """Return settings of a service in this process, on free ports."""
    return Settings(
        **{"data_dir": folder, "grpc_address": "127.0.0.1:0", "http_address": "127.0.0.1:0", "grace_seconds": 5}
        | values
    )


async def make_webhook(caller: Caller) -> tuple[str, str]:
    request = webhook_pb2.CreateWebhookRequest(
        name="test", project_id="project-1", plugin_info=webhook_pb2.WebhookPluginInfo(plugin_id="native")
    )
    answer = await caller.call(f"{WEBHOOK}/create", request)
    made = webhook_pb2.WebhookInfo.FromString(answer.reply)
    return made.webhook_id, made.access_key


async def count(caller: Caller) -> int:
    """Return the number of events that callers of this service see."""
    answer = await caller.list(query={"count_only": True})
    assert answer.code is OK, answer
    return int(event_pb2.EventsInfo.FromString(answer.reply).total_count)


class Belongings:
    """Resources of the process: files, threads, children, and tasks of the event loop."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._now()

    def _now(self) -> dict[str, int]:
        gc.collect()
        return {
            "files": self._process.num_fds(),
            # asyncio makes threads for to_thread when it wants to, and keeps them.
            "threads": sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate()),
            "children": len(self._process.children()),
            "tasks": len(asyncio.all_tasks()),
        }

    async def are_the_same(self, more: int = 0) -> None:
        """Wait a little for what ends by itself.

        Args:
            more: gRPC keeps a few files and threads for good once it has been used.
        """
        for _ in range(100):
            now = self._now()
            if all(now[name] <= self._before[name] + more for name in now):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{self._before} became {now}")


async def test_repeated_start_and_stop_leaks_nothing(tmp_path: Path, database_uri: str, database_name: str) -> None:
    settings = settings_of(tmp_path, mongodb_uri=database_uri, database=database_name)
    rounds = scaled(4, 100)
    belongings: Belongings | None = None
    webhook: tuple[str, str] | None = None
    for number in range(rounds):
        app = build(settings)
        await app.start()
        try:
            async with Caller(app.addresses.grpc) as caller:
                webhook = webhook or await make_webhook(caller)
                assert (await caller.create(webhook, {"event_key": f"round {number}"})).code is OK
                assert await count(caller) == number + 1
        finally:
            await app.stop()
            await app.stop()  # once more is no harm
        belongings = belongings or Belongings()  # after the first round: what is made once is made
    assert belongings is not None
    await belongings.are_the_same(more=3)


async def test_two_services_in_one_process_are_independent(
    tmp_path: Path, database_uri: str, database_name: str
) -> None:
    """Each has its own database, webhooks, metrics and end."""
    one, other = (
        build(settings_of(tmp_path / name, mongodb_uri=database_uri, database=f"{database_name}_{name}"))
        for name in ("one", "other")
    )
    await asyncio.gather(one.start(), other.start())
    try:
        async with Caller(one.addresses.grpc) as first, Caller(other.addresses.grpc) as second:
            webhooks = [await make_webhook(caller) for caller in (first, second)]
            for number, (caller, webhook) in enumerate(zip((first, second), webhooks, strict=True), 1):
                for event in range(number):
                    assert (await caller.create(webhook, {"event_key": f"event {event}"})).code is OK
            assert [await count(caller) for caller in (first, second)] == [1, 2]
            assert (await first.create(webhooks[1], {"event_key": "k"})).code is not OK
            assert [await stored(app) for app in (one, other)] == [1, 2]
            await one.stop()
            assert (await second.create(webhooks[1], {"event_key": "afterwards"})).code is OK
            assert await count(second) == 3
    finally:
        await asyncio.gather(one.stop(), other.stop())


async def stored(app: App) -> int:
    """Return the number of stored events in the service's metrics."""
    address = app.addresses.http
    async with httpx.AsyncClient(base_url=address if "://" in address else f"http://{address}") as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return round(sum(float(line.split()[-1]) for line in lines if line.startswith("event_service_events_total{")))


def taken_port() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


# What makes a start fail, from its first step to its last, and the error that says so.
Hindrance = Callable[[Path, int], tuple[dict[str, Any], type[Exception]]]
HINDRANCES: dict[str, Hindrance] = {
    "no keys": lambda folder, _: ({"auth": "jwt", "jwks_file": folder / "nothing.json"}, KeySetError),
    "no database": lambda folder, _: ({"data_dir": folder / "a file" / "data"}, EmbeddedDatabaseError),
    "no port for gRPC": lambda _, port: ({"grpc_address": f"127.0.0.1:{port}"}, PortTaken),
    "no port for HTTP": lambda _, port: ({"http_address": f"127.0.0.1:{port}"}, PortTaken),
}


async def test_a_start_that_fails_half_way_frees_everything(tmp_path: Path) -> None:
    """Embedded database and all: afterwards the same data directory and ports serve."""
    (tmp_path / "a file").touch()
    ports = {"grpc_address": f"127.0.0.1:{free_port()}", "http_address": f"127.0.0.1:{free_port()}"}
    settings = settings_of(tmp_path / "data", **ports)
    app = build(settings)
    await app.start()
    await app.stop()
    with taken_port() as taken:
        for name in scaled(["no port for HTTP"], list(HINDRANCES)):
            values, expected = HINDRANCES[name](tmp_path, taken.getsockname()[1])
            belongings: Belongings | None = None
            for _ in range(scaled(3, 10)):
                failing = build(settings.model_copy(update=values))
                with pytest.raises(expected):
                    await failing.start()
                await failing.stop()
                belongings = belongings or Belongings()
            assert belongings is not None
            await belongings.are_the_same(more=1)
    app = build(settings)
    await app.start()
    async with Caller(app.addresses.grpc) as caller:
        assert await count(caller) == 0
    await app.stop()


def test_a_data_directory_that_may_only_be_read(tmp_path: Path) -> None:
    """Uses a mount namespace, since the user of the tests may be root."""
    (tmp_path / "data").mkdir()
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("this system does not allow a read-only mount (unshare -rm)")
    environment = clean_environment(
        EVENT_SERVICE_DATA_DIR=str(tmp_path / "data"),
        EVENT_SERVICE_GRPC_ADDRESS=f"127.0.0.1:{free_port()}",
        EVENT_SERVICE_HTTP_ADDRESS=f"127.0.0.1:{free_port()}",
    )
    script = (
        f"mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro {tmp_path} && exec {BIN}/event-service serve"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert str(tmp_path / "data") in done.stderr
    assert "Read-only" in done.stderr or "read-only" in done.stderr
    assert "Traceback" not in done.stderr
