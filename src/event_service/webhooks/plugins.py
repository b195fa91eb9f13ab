"""Which parser a webhook may name: one that is built in, one of upstream's ids for it, or a remote plugin."""

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from event_service.errors import InvalidArgument, PluginVerifyFailed
from event_service.normalize import AUTO, canonical_name, endpoint_of, known_names
from event_service.webhooks.options import OPTIONS_LEVEL, check_options
from event_service.wire.struct_encode import encode_struct

DEFAULT = AUTO
"""What a webhook made without a plugin_id gets. Upstream refuses such a request; here the URL alone is enough."""

LONGEST_ID = 255


class RemotePlugins(Protocol):
    """How plugin servers are asked; `Webhook.init` and `Webhook.verify` of spaceone.api.monitoring.plugin.

    Both raise PluginVerifyFailed where the plugin does not answer as agreed.
    """

    def init(self, endpoint: str, options: Mapping[str, Any]) -> Awaitable[dict[str, Any]]: ...
    def verify(self, endpoint: str, options: Mapping[str, Any]) -> Awaitable[None]: ...


class Plugins:
    """What is known of parsers when a webhook is written.

    Args:
        endpoints: the settings' table, plugin_id -> grpc://host:port.
        remote: how plugin servers are asked.
    """

    def __init__(self, endpoints: Mapping[str, str], remote: RemotePlugins) -> None:
        self._endpoints = dict(endpoints)
        self._remote = remote

    def check(self, plugin_id: str, options: Mapping[str, Any]) -> None:
        """
        Raises:
            InvalidArgument: there is no such parser; the text names those there are.
        """
        if len(plugin_id) > LONGEST_ID:
            raise InvalidArgument.at("plugin_info.plugin_id", f"must not have more than {LONGEST_ID} characters")
        if canonical_name(plugin_id) is None and not self._endpoint(plugin_id, options):
            known = ", ".join([*known_names(), *sorted(self._endpoints)])
            raise InvalidArgument.at(
                "plugin_info.plugin_id",
                f"no parser {plugin_id!r}; there are {known}, and any remote one with the option endpoint",
            )

    async def init(self, plugin_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the plugin wants to be kept with the webhook: {} for a built-in parser.

        Raises:
            PluginVerifyFailed: the remote plugin does not answer as agreed.
        """
        endpoint = self._endpoint(plugin_id, options)
        if not endpoint:
            return {}
        metadata = await self._remote.init(endpoint, options)
        try:
            encode_struct(metadata, path="metadata", level=OPTIONS_LEVEL)
        except InvalidArgument as error:
            raise PluginVerifyFailed(f"The plugin's metadata cannot be kept: {error.message}") from error
        return metadata

    async def verify(self, plugin_id: str, options: Mapping[str, Any]) -> None:
        """Asks whether the parser is there and accepts the options.

        Raises:
            PluginVerifyFailed: it is not, or does not.
        """
        endpoint = self._endpoint(plugin_id, options)
        if endpoint:
            await self._remote.verify(endpoint, options)
            return
        try:
            self.check(plugin_id, options)
            check_options(plugin_id, options)
        except InvalidArgument as error:
            raise PluginVerifyFailed(error.message, violations=error.violations) from error

    def _endpoint(self, plugin_id: str, options: Mapping[str, Any]) -> str:
        return endpoint_of(plugin_id, options, self._endpoints)
