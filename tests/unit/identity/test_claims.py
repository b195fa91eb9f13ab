import math

import pytest

from event_service.identity.claims import InvalidTokenError, Rules, principal_of
from event_service.identity.principal import Principal, Role
from tests.unit.identity.signing import NOW, RULES, claims


def principal(**changes):
    return principal_of(claims(**changes), NOW, RULES)[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Principal(Role.DOMAIN_ADMIN, "domain-1")),
        ({"wid": "workspace-1"}, Principal(Role.DOMAIN_ADMIN, "domain-1")),
        (
            {"rol": "WORKSPACE_OWNER", "wid": "workspace-1"},
            Principal(Role.WORKSPACE_OWNER, "domain-1", "workspace-1"),
        ),
        (
            {"rol": "WORKSPACE_OWNER", "wid": "workspace-1", "projects": ["p"]},
            Principal(Role.WORKSPACE_OWNER, "domain-1", "workspace-1", ("p",)),
        ),
        (
            {"rol": "WORKSPACE_OWNER", "wid": "workspace-1", "projects": []},
            Principal(Role.WORKSPACE_OWNER, "domain-1", "workspace-1", None),
        ),
        (
            {"rol": "WORKSPACE_MEMBER", "wid": "workspace-1", "projects": ["p", "q"]},
            Principal(Role.WORKSPACE_MEMBER, "domain-1", "workspace-1", ("p", "q")),
        ),
        (
            {"rol": "WORKSPACE_MEMBER", "wid": "workspace-1", "projects": []},
            Principal(Role.WORKSPACE_MEMBER, "domain-1", "workspace-1", ()),
        ),
        (
            {"rol": "WORKSPACE_MEMBER", "wid": "workspace-1"},
            Principal(Role.WORKSPACE_MEMBER, "domain-1", "workspace-1", ()),
        ),
        ({"rol": "USER"}, Principal(Role.USER, "domain-1")),
        ({"rol": "SOMETHING_NEW"}, Principal(Role.USER, "domain-1")),
        ({"rol": None}, Principal(Role.USER, "domain-1")),
        ({"rol": "SYSTEM_TOKEN"}, Principal(Role.USER, "domain-1")),
        (
            {"permissions": ["monitoring:Event"]},
            Principal(Role.DOMAIN_ADMIN, "domain-1", permissions=("monitoring:Event",)),
        ),
        ({"permissions": []}, Principal(Role.DOMAIN_ADMIN, "domain-1")),
        (
            {"own": "APP", "permissions": ["monitoring"], "projects": []},
            Principal(Role.DOMAIN_ADMIN, "domain-1", permissions=("monitoring",)),
        ),
        ({"ver": None}, Principal(Role.DOMAIN_ADMIN, "domain-1")),
        ({"typ": None}, Principal(Role.DOMAIN_ADMIN, "domain-1")),
        ({"typ": "CLIENT_SECRET"}, Principal(Role.DOMAIN_ADMIN, "domain-1")),
        ({"typ": "SYSTEM_TOKEN"}, Principal(Role.SYSTEM_TOKEN, "")),
        ({"typ": "SYSTEM_TOKEN", "rol": "USER", "did": "domain-root"}, Principal(Role.SYSTEM_TOKEN, "")),
    ],
)
def test_principal_from_claims(changes, expected):
    assert principal(**changes) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "REFRESH_TOKEN"},
        {"typ": "ID_TOKEN"},
        {"typ": ["ACCESS_TOKEN"]},
        {"injected_params": {"domain_id": "domain-2"}},
        {"injected_params": {}},
        {"injected_params": []},
        {"ver": "1.0"},
        {"ver": 2.0},
        {"did": None},
        {"did": ""},
        {"did": 7},
        {"rol": "WORKSPACE_OWNER"},
        {"rol": "WORKSPACE_MEMBER", "projects": ["p"]},
        {"rol": "WORKSPACE_MEMBER", "wid": "", "projects": ["p"]},
        {"rol": "WORKSPACE_OWNER", "wid": 1},
        {"rol": ["DOMAIN_ADMIN"]},
        {"own": "APP"},
        {"own": "APP", "permissions": ["monitoring"]},
        {"own": "APP", "projects": ["p"]},
        {"own": "APP", "permissions": [], "projects": ["p"]},
        {"projects": "p"},
        {"projects": [1]},
        {"permissions": {"monitoring": True}},
        {"permissions": [["monitoring"]]},
        {"aud": 1},
        {"aud": [None]},
        {"exp": None},
        {"exp": int(NOW)},
        {"exp": int(NOW) - 1},
        {"exp": str(int(NOW) + 600)},
        {"exp": True},
        {"exp": math.nan},
        {"exp": math.inf},
        {"exp": 10**400},
        {"nbf": NOW + 1},
        {"nbf": "now"},
        {"nbf": True},
        {"nbf": math.nan},
        {"typ": "SYSTEM_TOKEN", "exp": None, "iat": None},
        {"typ": "SYSTEM_TOKEN", "exp": None, "iat": NOW - 3600},
        {"typ": "SYSTEM_TOKEN", "exp": None, "iat": NOW + 61},
        {"typ": "SYSTEM_TOKEN", "exp": NOW - 1, "iat": NOW - 2},
        {"typ": "SYSTEM_TOKEN", "did": None},
    ],
    ids=str,
)
def test_invalid_claims_refused(changes):
    with pytest.raises(InvalidTokenError):
        principal(**changes)


def test_expiry_is_exp():
    assert principal_of(claims(exp=NOW + 1.5), NOW, RULES)[1] == NOW + 1.5


def test_system_token_without_exp_expires_at_max_age():
    assert principal_of(claims(typ="SYSTEM_TOKEN", exp=None, iat=NOW - 10), NOW, RULES)[1] == NOW - 10 + 3600


def test_nbf_in_past_accepted():
    assert principal(nbf=NOW)


@pytest.mark.parametrize(
    ("audience", "valid"), [("events", True), (["x", "events"], True), ("other", False), (None, False)]
)
def test_configured_audience_required(audience, valid):
    rules = Rules(system_token_max_age=1, audience="events")
    if valid:
        assert principal_of(claims(aud=audience), NOW, rules)
    else:
        with pytest.raises(InvalidTokenError):
            principal_of(claims(aud=audience), NOW, rules)
