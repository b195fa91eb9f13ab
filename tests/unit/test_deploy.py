"""deploy/: its metrics, settings and addresses exist, and its files pass the tools that read them.

Nothing is deployed here; docs/operations.md lists tested and untested parts.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from event_service.settings import Settings
from event_service.telemetry.metrics import Metrics

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOY = CHECKOUT / "deploy"
CHART = DEPLOY / "helm" / "event-service"
RULES = DEPLOY / "prometheus" / "rules.yaml"
HELM, PROMTOOL = CHECKOUT / ".tools" / "bin" / "helm", CHECKOUT / ".tools" / "bin" / "promtool"

with_helm = pytest.mark.skipif(not HELM.exists(), reason="make test-tools has not unpacked it")
with_promtool = pytest.mark.skipif(not PROMTOOL.exists(), reason="make test-tools has not unpacked it")

METRIC = re.compile(r"\b(?:event_service|process)_[a-z_]+")
OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.27", "1.37"


def metric_names() -> set[str]:
    """Return every name that /metrics may tell, with the suffixes of counters and histograms."""
    names = set()
    for family in Metrics("1").collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def settings_named_in(text: str) -> set[str]:
    return set(re.findall(r"EVENT_SERVICE_([A-Z_]+[A-Z])", text))


def known_settings() -> set[str]:
    return {name.upper() for name in Settings.model_fields}


# --- Prometheus and Grafana -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [RULES, DEPLOY / "grafana" / "dashboard.json"], ids=["rules", "dashboard"])
def test_every_queried_metric_exists(file: Path) -> None:
    asked = set(METRIC.findall(file.read_text()))
    assert len(asked) > 5
    assert asked <= metric_names()


def test_metrics_of_rule_tests_exist() -> None:
    written = yaml.safe_load((DEPLOY / "prometheus" / "rules.test.yaml").read_text())
    series = {one["series"].partition("{")[0] for test in written["tests"] for one in test["input_series"]}
    assert series <= metric_names()


def test_the_dashboard_has_its_panels_in_order() -> None:
    board = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    variables = {one["name"] for one in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) - {"__rate_interval"}
    assert used <= variables


def test_every_queried_label_value_exists() -> None:
    codes = set(re.findall(r'code=~?"([A-Z_|]+)"', RULES.read_text()))
    assert {"RESOURCE_EXHAUSTED", "INTERNAL"} <= {code for group in codes for code in group.split("|")}
    outcomes = re.findall(r'outcome="(\w+)"', RULES.read_text() + (DEPLOY / "grafana" / "dashboard.json").read_text())
    assert set(outcomes) <= {"stored", "duplicate", "unmatched_recovery", "unreadable", "nothing"}


def test_each_alert_has_advice_and_is_documented() -> None:
    handbook = (CHECKOUT / "docs" / "operations.md").read_text()
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]
            assert f"`{rule['alert']}`" in handbook


@with_promtool
def test_rules_pass_promtool() -> None:
    for command in (["check", "rules", RULES], ["test", "rules", RULES.with_name("rules.test.yaml")]):
        done = subprocess.run([PROMTOOL, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# --- compose ---------------------------------------------------------------------------------------------------------


def test_compose_file_matches_its_schema() -> None:
    file = DEPLOY / "compose.yaml"
    check = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", file]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_file_names_existing_settings_and_files() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    written = yaml.safe_load(text)
    not_settings = {"IMAGE", "JWKS"}  # variables of the file itself
    assert settings_named_in(text) - not_settings <= known_settings()
    services = written["services"]
    proxied = set(re.findall(r"server ([\w-]+):", (DEPLOY / "nginx.conf").read_text()))
    assert proxied == {name for name in services if name.startswith("event-service")}
    hosts = re.findall(r"mongodb-\d", written["x-event-service"]["environment"]["EVENT_SERVICE_MONGODB_URI"])
    assert set(hosts) == {name for name in services if re.fullmatch(r"mongodb-\d", name)}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith("./") else source in written["volumes"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


# --- the chart -------------------------------------------------------------------------------------------------------

Manifest = dict[str, Any]

NEEDED = {
    "mongodb": {"uri": "mongodb://mongo-0,mongo-1/?replicaSet=rs0"},
    "secret": {"secretKey": "c2VjcmV0"},
    "auth": {"jwks": '{"keys": []}'},
}
VARIANTS: dict[str, Manifest] = {
    "default": NEEDED,
    "tls": {**NEEDED, "tls": {"secret": "cert", "clientCa": True}, "metrics": {"podMonitor": True}},
    "own-secrets": {"secret": {"existing": "mine"}, "auth": {"existingSecret": "keys"}},
    "bare": {
        **NEEDED,
        "auth": {"mode": "none"},
        "autoscaling": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "service": {"headless": False},
        "topologySpreadConstraints": [],
    },
    "everything": {
        **NEEDED,
        "settings": {"RETENTION_DAYS": "90", "GRACE_SECONDS": "40"},
        "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
        "networkPolicy": {
            "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "egress": [{"ports": [{"port": 4318}]}],
        },
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"team": "events"},
        "podAnnotations": {"note": "x"},
        "serviceAccount": {"annotations": {"role": "x"}},
        "service": {"type": "LoadBalancer", "annotations": {"lb": "x"}},
    },
}


def helm(tmp_path: Path, values: Manifest, *command: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return subprocess.run([HELM, *command, "--values", file], capture_output=True, text=True, check=False)


def rendered(tmp_path: Path, values: Manifest) -> dict[str, Manifest]:
    """Return the manifests by `Kind/name`."""
    done = helm(tmp_path, values, "template", "events", str(CHART))
    assert done.returncode == 0, done.stderr
    manifests = [one for one in yaml.safe_load_all(done.stdout) if one]
    return {f"{one['kind']}/{one['metadata']['name'].removeprefix('events-event-service')}": one for one in manifests}


@with_helm
@pytest.mark.parametrize("variant", VARIANTS)
def test_chart_renders_valid_manifests(variant: str, tmp_path: Path) -> None:
    linted = helm(tmp_path, VARIANTS[variant], "lint", "--strict", str(CHART))
    assert linted.returncode == 0, linted.stdout
    for name, manifest in rendered(tmp_path, VARIANTS[variant]).items():
        if name.startswith("PodMonitor"):
            continue  # of the Prometheus operator, not of Kubernetes
        for version in (OLDEST_KUBERNETES, NEWEST_KUBERNETES):
            kubernetes_validate.validate(manifest, version, strict=True)


@with_helm
def test_pods_are_confined_and_probed(tmp_path: Path) -> None:
    manifests = rendered(tmp_path, NEEDED)
    assert set(manifests) == {
        "Deployment/", "HorizontalPodAutoscaler/", "NetworkPolicy/", "PodDisruptionBudget/", "Secret/", "Secret/-jwks",
        "Service/", "Service/-pods", "ServiceAccount/",
    }  # fmt: skip
    pod = manifests["Deployment/"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["readinessProbe"]["grpc"] == container["startupProbe"]["grpc"] == {"port": 50051}
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["args"] == ["serve"]
    # preStop, the grace period of the service, and a little for the process to end.
    assert pod["terminationGracePeriodSeconds"] > 5 + 20
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    assert f"USER {pod['securityContext']['runAsUser']}" in dockerfile
    assert f"ARG DATA={container['volumeMounts'][1]['mountPath']}" in dockerfile


@with_helm
def test_secrets_are_not_plain_values(tmp_path: Path) -> None:
    for name, manifest in rendered(tmp_path, NEEDED).items():
        if not name.startswith("Secret"):
            assert "c2VjcmV0" not in json.dumps(manifest)
            assert "mongo-0" not in json.dumps(manifest)


@with_helm
@pytest.mark.parametrize("variant", VARIANTS)
def test_chart_sets_existing_settings(variant: str, tmp_path: Path) -> None:
    deployment = rendered(tmp_path, VARIANTS[variant])["Deployment/"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    names = [one["name"] for one in container["env"]]
    assert len(set(names)) == len(names)
    assert settings_named_in(" ".join(names)) <= known_settings()
    assert ("--insecure" in container["args"]) == (variant == "bare")


@with_helm
@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "mongodb.uri"),
        ({**NEEDED, "secret": {}}, "secret.secretKey"),
        ({**NEEDED, "auth": {}}, "auth.jwks"),
        ({**NEEDED, "auth": {"mode": "maybe"}}, "/auth/mode"),
        ({**NEEDED, "mongodb": {"uri": "host"}}, "/mongodb/uri"),
        ({**NEEDED, "settings": {"SECRET_KEY": "x"}}, "SECRET_KEY"),
        ({**NEEDED, "settings": {"GRACE_SECONDS": 20}}, "/settings/GRACE_SECONDS"),
    ],
)
def test_missing_or_wrong_values_are_reported(values: Manifest, complaint: str, tmp_path: Path) -> None:
    done = helm(tmp_path, values, "template", "events", str(CHART))
    assert done.returncode != 0
    assert complaint in done.stderr
