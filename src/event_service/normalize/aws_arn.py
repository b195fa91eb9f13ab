"""Amazon resource names: `arn:partition:service:region:account:resource`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arn:
    """The parts of an ARN that locate the resource; all "" for any other text."""

    partition: str = ""
    region: str = ""
    account: str = ""
    resource: str = ""


def read_arn(written: str) -> Arn:
    parts = written.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return Arn()
    _, partition, _, region, account, resource = parts
    return Arn(partition, region, account, resource)
