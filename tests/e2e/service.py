"""The real service process, on free ports, with a separate data directory."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2, event_pb2, webhook_pb2

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# An embedded database may take 30 s on a busy machine; the service adds little to that.
START_SECONDS = 60.0
STOP_SECONDS = 30.0

_STYLES = re.compile(rb"\x1b\[[0-9;]*m")


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment with these settings of the service, and no others of its settings.

    EVENT_SERVICE_MONGOD stays: it says which mongod the tests are run on.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "EVENT_SERVICE_MONGOD" or not name.startswith("EVENT_SERVICE_")
    }
    # The checkout's own environment first, so that `event-service` and `grpcurl` mean ours.
    kept["PATH"] = f"{BIN}{os.pathsep}{kept.get('PATH', '')}"
    return kept | settings


def copy_lines(master: int, path: Path) -> None:
    """Append what a terminal shows to a file, until its programs have ended."""
    with os.fdopen(master, "rb", buffering=0) as terminal, path.open("ab", buffering=0) as file:
        try:
            while piece := terminal.read(65536):
                file.write(_STYLES.sub(b"", piece).replace(b"\r\n", b"\n"))
        except OSError:  # EIO: the last program has closed it
            return


@dataclass
class Service:
    """One `event-service serve`.

    Attributes:
        folder: for its data directory and its log.
        settings: EVENT_SERVICE_* beyond addresses and data directory.
        command: what is run.
        outside: environment to run in, in place of this process's own.
        terminal: its standard output is a terminal of 400 columns; the log has it without colours.
        credentials: what clients need to reach its gRPC port; None where it has no TLS.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (str(BIN / "event-service"), "serve")
    cwd: Path = CHECKOUT
    grpc_address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    http_address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    outside: Mapping[str, str] | None = None
    terminal: bool = False
    credentials: grpc.ChannelCredentials | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        """Everything it has printed, since its first start."""
        path = self.folder / "service.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process is not None, "not started"
        return self.process.pid

    def environment(self) -> dict[str, str]:
        """Return its environment; clients that read the same data directory can use it too."""
        base = clean_environment() if self.outside is None else self.outside
        return {
            **base,
            "EVENT_SERVICE_DATA_DIR": str(self.data_dir),
            "EVENT_SERVICE_GRPC_ADDRESS": self.grpc_address,
            "EVENT_SERVICE_HTTP_ADDRESS": self.http_address,
            "EVENT_SERVICE_SERVER": self.grpc_address,
            **self.settings,
        }

    def spawn(self) -> None:
        """Start the process and does not wait for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path, environment = self.folder / "service.log", self.environment()
        with path.open("ab") as log:
            out = log.fileno()
            if self.terminal:
                master, out = pty.openpty()
                threading.Thread(target=copy_lines, args=(master, path), daemon=True).start()
                environment |= {"TERM": "xterm", "COLUMNS": "400"}
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=log
            )
            if self.terminal:
                os.close(out)

    def start(self) -> Self:
        """Start it and return once it is SERVING."""
        self.spawn()
        self.wait_serving()
        return self

    def wait_serving(self, seconds: float = START_SECONDS) -> None:
        """Wait until grpc.health.v1 says SERVING; fails with the log's end when the process ends first."""
        deadline = time.monotonic() + seconds
        while self.health() != "SERVING":
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with status {self.process.returncode}:\n{self.log[-3000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not SERVING after {seconds} s:\n{self.log[-3000:]}")
            time.sleep(0.05)

    def health(self) -> str:
        """SERVING, NOT_SERVING, or "" where nothing answers."""
        with self.channel() as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
            except grpc.RpcError:
                return ""
            return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def channel(self) -> grpc.Channel:
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        if self.credentials is not None:
            return grpc.secure_channel(self.grpc_address, self.credentials, options=options)
        return grpc.insecure_channel(self.grpc_address, options=options)

    def stop(self) -> int:
        """SIGTERM, and its exit status. Kills it after 30 s, which fails."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"still there {STOP_SECONDS} s after SIGTERM:\n{self.log[-3000:]}") from None
        return self.process.returncode

    def kill(self) -> None:
        """Kill it by SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def call(self, service: str, method: str, request: Mapping[str, Any], **metadata: str) -> dict[str, Any]:
        """Make a call with our own stubs; return the reply as JSON. `metadata` names take `_` for `-`."""
        module = {"Alert": alert_pb2, "Event": event_pb2, "Webhook": webhook_pb2}[service]
        description = module.DESCRIPTOR.services_by_name[service].methods_by_name[method]
        with self.channel() as channel:
            rpc = channel.unary_unary(
                f"/{description.containing_service.full_name}/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=description.output_type._concrete_class.FromString,
            )
            message = json_format.ParseDict(dict(request), description.input_type._concrete_class())
            sent = [(name.replace("_", "-"), value) for name, value in metadata.items()]
            reply = rpc(message, timeout=30, metadata=sent)
        return json_format.MessageToDict(reply, preserving_proto_field_name=True)

    def create_webhook(self, name: str = "test", **options: Any) -> tuple[str, str]:
        """Make a webhook; its id and access key."""
        request = {"name": name, "project_id": "project-1", "plugin_info": {"plugin_id": "native", "options": options}}
        made = self.call("Webhook", "create", request)
        return made["webhook_id"], made["access_key"]

    def create_event(self, webhook: tuple[str, str], data: Mapping[str, Any], **metadata: str) -> None:
        """Send one payload to a webhook."""
        self.call(
            "Event", "create", {"webhook_id": webhook[0], "access_key": webhook[1], "data": dict(data)}, **metadata
        )
