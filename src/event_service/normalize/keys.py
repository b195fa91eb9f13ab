"""Event keys from what identifies a condition. Only what stays the same from alert to recovery may go into one."""

import hashlib


def joined_key(*parts: str) -> str:
    """32 hexadecimal digits that stand for the parts, which are kept apart: ("a", "bc") is not ("ab", "c")."""
    written = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def upstream_key(*parts: str) -> str:
    """The key upstream's plugin makes of the same identity, so that alerts it opened are found again."""
    written = ":".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.md5(written, usedforsecurity=False).hexdigest()
