"""Validation of plugin ids: a built-in parser, upstream's id of one, or a remote plugin."""

from collections.abc import Mapping
from typing import Any

from event_service.errors import InvalidArgument, PluginVerifyFailed
from event_service.normalize import AUTO, canonical_name, endpoint_of, known_names
from event_service.normalize.remote_plugin import RemotePlugins
from event_service.webhooks.options import OPTIONS_LEVEL, check_options
from event_service.wire.struct_encode import encode_struct

DEFAULT = AUTO
"""The plugin_id if a request has none. Upstream refuses such a request; here the parser is detected."""

LONGEST_ID = 255


class Plugins:
    """Validates the parser of a webhook when it is written.

    Args:
        endpoints: from the settings: plugin_id -> grpc://host:port.
        remote: client of plugin servers.
    """

    def __init__(self, endpoints: Mapping[str, str], remote: RemotePlugins) -> None:
        self._endpoints = dict(endpoints)
        self._remote = remote

    def check(self, plugin_id: str, options: Mapping[str, Any]) -> None:
        """Check that the parser exists.

        Raises:
            InvalidArgument: it does not exist; the text lists the known ones.
        """
        if len(plugin_id) > LONGEST_ID:
            raise InvalidArgument.at("plugin_info.plugin_id", f"must not have more than {LONGEST_ID} characters")
        if canonical_name(plugin_id) is None and not self._endpoint(plugin_id, options):
            known = ", ".join([*known_names(), *sorted(self._endpoints)])
            raise InvalidArgument.at(
                "plugin_info.plugin_id",
                f"no parser {plugin_id!r}; use one of {known}, or set the option endpoint of a remote plugin",
            )

    async def init(self, plugin_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata that the plugin stores with the webhook; {} for a built-in parser.

        Raises:
            PluginVerifyFailed: the remote plugin does not respond, or violates the contract.
        """
        endpoint = self._endpoint(plugin_id, options)
        if not endpoint:
            return {}
        metadata = await self._remote.init(endpoint, options)
        try:
            encode_struct(metadata, path="metadata", level=OPTIONS_LEVEL)
        except InvalidArgument as error:
            raise PluginVerifyFailed(f"The plugin's metadata cannot be stored: {error.message}") from error
        return metadata

    async def verify(self, plugin_id: str, options: Mapping[str, Any]) -> None:
        """Check that the parser exists and accepts the options.

        Raises:
            PluginVerifyFailed: it does not.
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
