"""Two domains, the keys that sign for them, and tokens of every role."""

import json
import time
from pathlib import Path
from typing import Any

from event_service.identity.issuing import generate_key, public_half
from tests.unit.identity.signing import sign

AUDIENCE = "event-service"

# What a caller sends beside its token. Only a SYSTEM_TOKEN needs anything.
SYSTEM_SCOPE = {"x_domain_id": "domain-1", "x_workspace_id": "workspace-1"}

ROLES: dict[str, dict[str, Any]] = {
    "SYSTEM_TOKEN": {"typ": "SYSTEM_TOKEN", "own": "SYSTEM", "did": "domain-root"},
    "DOMAIN_ADMIN": {"rol": "DOMAIN_ADMIN"},
    "WORKSPACE_OWNER": {"rol": "WORKSPACE_OWNER", "wid": "workspace-1"},
    "WORKSPACE_MEMBER": {"rol": "WORKSPACE_MEMBER", "wid": "workspace-1", "projects": ["project-1"]},
    "member of nothing": {"rol": "WORKSPACE_MEMBER", "wid": "workspace-1", "projects": []},
    "USER": {"rol": "USER"},
}
"""The claims that make each role of the Event API's rules, section 2."""


class Realm:
    """Keys and tokens.

    `any` signs for every domain, `domain-1` and `domain-2` for their own, `system` for the system, and `domain-root`
    for the system in one domain only.

    Args:
        jwks: the key set file of the services, written here.
    """

    def __init__(self, jwks: Path) -> None:
        self.jwks = jwks
        self.keys = {
            "any": generate_key("RS256", key_id="any"),
            "domain-1": generate_key("ES256", key_id="domain-1", domain_id="domain-1"),
            "domain-2": generate_key("EdDSA", key_id="domain-2", domain_id="domain-2"),
            "system": generate_key("ES256", key_id="system", system=True),
            "domain-root": generate_key("ES256", key_id="domain-root", domain_id="domain-root", system=True),
        }
        self.publish(*self.keys.values())

    def publish(self, *keys: dict[str, Any]) -> None:
        """Put these keys, and no others, into the key set, in one step."""
        fresh = self.jwks.with_suffix(".new")
        fresh.write_text(json.dumps({"keys": [public_half(key) for key in keys]}))
        fresh.replace(self.jwks)

    def claims(self, role: str, **changes: Any) -> dict[str, Any]:
        """Return the claims of a token that holds for ten minutes; a change to None leaves the claim out."""
        now = int(time.time())
        body = {
            "iss": "spaceone.identity", "typ": "ACCESS_TOKEN", "own": "USER", "did": "domain-1", "aud": AUDIENCE,
            "iat": now, "exp": now + 600, "ver": "2.0", **ROLES[role], **changes,
        }  # fmt: skip
        return {name: value for name, value in body.items() if value is not None}

    def token(self, role: str, key: str = "", **changes: Any) -> str:
        """A token of the role, signed by the key named so; by default the one that may."""
        name = key or ("system" if role == "SYSTEM_TOKEN" else "any")
        return sign(self.claims(role, **changes), self.keys[name])

    def metadata(self, role: str, **changes: Any) -> dict[str, str]:
        """Return the metadata of a caller of this role; {} for "anonymous"."""
        if role == "anonymous":
            return {}
        scope = SYSTEM_SCOPE if role == "SYSTEM_TOKEN" else {}
        return {"token": self.token(role, **changes), **scope}
