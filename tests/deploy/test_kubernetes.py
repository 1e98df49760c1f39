"""deploy/kubernetes: both kustomizations are built by kubectl and valid in 1.29 and in a current version."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from agent.cli.main import main as cli
from agent.config.gate import read_gate
from agent.doctor import gather_nodeos
from agent.gate import settings
from tests.lab import docs
from tests.lab.binaries import find_nodeos
from tests.lab.process import Process
from tests.lab.wait import until

ROOT = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
BUILDS = ("base", "overlays/example", "overlays/gate")


def build(name: str) -> list[dict[str, Any]]:
    """Return the resources of a kustomization, as kubectl makes them."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", ROOT / name], capture_output=True, text=True, timeout=60.0)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(resources: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the only resource of a kind."""
    (found,) = [each for each in resources if each["kind"] == kind]
    return found


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize("name", BUILDS)
def test_valid_in(name: str, version: str) -> None:
    """Every resource fits the schema, with no field that it does not know."""
    for resource in build(name):
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("name", BUILDS)
def test_the_agent_can_do_its_work(name: str) -> None:
    """The agent is a native sidecar that sees nodeos's process as the same user; no probe of it asks for etcd."""
    pod = one(build(name), "StatefulSet")["spec"]["template"]["spec"]
    agent = pod["initContainers"][-1]
    (nodeos,) = pod["containers"]
    assert agent["restartPolicy"] == "Always"
    assert pod["shareProcessNamespace"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert "runAsUser" not in agent["securityContext"] | nodeos["securityContext"]
    assert agent["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert agent["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert "startupProbe" not in agent
    assert "cpu" not in agent["resources"]["limits"]
    assert "--pause-on-startup" in nodeos["args"]
    assert not pod["automountServiceAccountToken"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in agent["volumeMounts"]}
    assert mounted["/run/nodeos-failover"]["emptyDir"]["medium"] == "Memory"
    assert "nodeos-config" not in {mount["name"] for mount in agent["volumeMounts"]}, "the key is nodeos's alone"
    for container in (agent, nodeos):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize("name", BUILDS)
def test_nodeos_is_restarted_for_no_change_but_its_own(name: str) -> None:
    """A changed file, or another image of the agent, makes no other pod; no start walks through a big volume."""
    resources = build(name)
    producer, files = one(resources, "StatefulSet")["spec"], one(resources, "ConfigMap")["metadata"]["name"]
    pod = producer["template"]["spec"]
    assert producer["updateStrategy"] == {"type": "OnDelete"}
    assert files == "nodeos-failover", "a suffix by the content would be another template"
    assert {"name": "agent-config", "configMap": {"name": files}} in pod["volumes"]
    containers = [*pod["initContainers"], *pod["containers"]]
    config = [mount for each in containers for mount in each["volumeMounts"] if mount["name"] == "agent-config"]
    assert not [mount for mount in config if "subPath" in mount], "it would never be renewed"
    assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_the_operators_resources_are_the_rules_and_find_the_agents(tmp_path: Path) -> None:
    """PrometheusRule has every group of grafana/rules as it is; PodMonitor selects the pods, and a port of theirs."""
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    names = {"resources": ["base"], "components": ["components/monitoring"]}
    found = {key: [os.path.relpath(ROOT / each, overlay) for each in paths] for key, paths in names.items()}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(found))
    resources = build(str(overlay))
    groups = [group for file in docs.RULES for group in yaml.safe_load(file.read_text())["groups"]]
    assert one(resources, "PrometheusRule")["spec"]["groups"] == groups
    assert docs.RULE.read_text() == docs.prometheus_rule(), "run make docs"
    monitor, template = one(resources, "PodMonitor")["spec"], one(resources, "StatefulSet")["spec"]["template"]
    assert monitor["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    ports = {port["name"] for each in template["spec"]["initContainers"] for port in each.get("ports", ())}
    assert {each["port"] for each in monitor["podMetricsEndpoints"]} <= ports


@pytest.mark.real
def test_keosd_runs_with_the_arguments_of_the_pod(tmp_path: Path) -> None:
    """A real keosd takes them, serves its socket, and has no port."""
    keosd = one(build("overlays/gate"), "StatefulSet")["spec"]["template"]["spec"]["initContainers"][0]
    (tmp_path / "wallet").mkdir()
    (tmp_path / "run" / "keosd").mkdir(parents=True)
    arguments = [each.replace("=/", f"={tmp_path}/") for each in keosd["args"]]
    process = Process("keosd", [find_nodeos().keosd, *arguments], tmp_path / "log")
    process.start()
    try:
        until(lambda: (tmp_path / "run/keosd/keosd.sock").is_socket() or not process.running, 20.0, "keosd to serve")
        assert process.running, process.log_tail()
        assert gather_nodeos._bound(process.pid) == ()
    finally:
        process.stop()


@pytest.mark.parametrize("name", BUILDS)
def test_policies_select_the_pods(name: str) -> None:
    """The policy, the budget and the service select what the StatefulSet makes."""
    resources = build(name)
    labels = one(resources, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    policy, budget = one(resources, "NetworkPolicy")["spec"], one(resources, "PodDisruptionBudget")["spec"]
    for selector in (policy["podSelector"]["matchLabels"], budget["selector"]["matchLabels"]):
        assert selector
        assert selector.items() <= labels.items()
    assert budget["maxUnavailable"] == 1
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == {9876, 9877, 9878}
    (peers,) = [rule for rule in policy["ingress"] if rule["ports"][0]["port"] == 9878]
    assert peers["ports"][0]["protocol"] == "UDP"
    assert peers["from"][0]["podSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("name", BUILDS)
def test_the_agent_takes_its_configuration(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ConfigMap holds is valid once files and node are there, and its names fit the pod."""
    resources = build(name)
    text = one(resources, "ConfigMap")["data"]["config.toml"]
    mounted = tmp_path / "etcd-client"
    mounted.mkdir()
    for file in ("ca.crt", "tls.crt", "tls.key"):
        (mounted / file).write_text("")
        (mounted / file).chmod(0o600)
    config = tmp_path / "config.toml"
    config.write_text(text.replace("/etc/etcd-client", str(mounted)).replace("/data", str(tmp_path)))
    config.chmod(0o600)
    monkeypatch.setenv("NODEOS_FAILOVER_NODE", "producer-0")
    with pytest.raises(SystemExit) as ended:
        cli(["config", "validate", "--config", str(config)])
    assert ended.value.code == 0
    paths = {value for key, value in tomllib.loads(text)["etcd"].items() if key.endswith("_file")}
    agent = one(resources, "StatefulSet")["spec"]["template"]["spec"]["initContainers"][-1]
    mounts = {mount["mountPath"] for mount in agent["volumeMounts"]}
    assert {str(Path(path).parent) for path in paths} <= mounts


def test_the_gate_reaches_what_it_needs_and_nobody_else_does() -> None:
    """Sidecars start in order; keosd's socket and the password are the gate's, the permit page is the agent's."""
    pod = one(build("overlays/gate"), "StatefulSet")["spec"]["template"]["spec"]
    keosd, gate, agent = pod["initContainers"]
    (nodeos,) = pod["containers"]
    assert [each["name"] for each in (keosd, gate, agent)] == ["keosd", "gate", "agent"]
    assert {each["restartPolicy"] for each in (keosd, gate, agent)} == {"Always"}

    def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {mount["name"]: mount for mount in container["volumeMounts"]}

    assert [each["name"] for each in (keosd, gate, agent, nodeos) if "keosd" in mounts(each)] == ["keosd", "gate"]
    assert [each["name"] for each in (keosd, gate, agent, nodeos) if "wallet-password" in mounts(each)] == ["gate"]
    assert [each["name"] for each in (keosd, gate, agent, nodeos) if "wallet" in mounts(each)] == ["keosd"]
    assert mounts(gate)["run"]["readOnly"] is True
    assert "readOnly" not in mounts(agent)["run"]
    assert "gate" in mounts(agent)
    assert "cpu" not in gate["resources"]["limits"]
    assert f"--unix-socket-path={mounts(keosd)['keosd']['mountPath']}/keosd.sock" in keosd["args"]
    for container in (keosd, gate):
        assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]


def test_the_gate_takes_the_configuration_of_the_pod(tmp_path: Path) -> None:
    """What the ConfigMap says is what the gate reads, with the password from the secret."""
    resources = build("overlays/gate")
    keosd, gate, _ = one(resources, "StatefulSet")["spec"]["template"]["spec"]["initContainers"]
    config = tmp_path / "config.toml"
    config.write_text(one(resources, "ConfigMap")["data"]["config.toml"])
    (tmp_path / settings.CREDENTIAL).touch(0o440)
    (tmp_path / settings.CREDENTIAL).chmod(0o640)
    (tmp_path / settings.CREDENTIAL).write_text("PW5")
    environ = {"NODEOS_FAILOVER_NODE": "producer-0", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert {each["name"] for each in gate["env"]} == set(environ)
    found = read_gate(config, environ)
    assert f"--unix-socket-path={found.keosd.path}" in keosd["args"]
    mounted = {mount["mountPath"] for mount in gate["volumeMounts"]}
    assert {str(Path(found.control).parent), str(found.page.parent)} <= mounted
    assert found.password_file is not None
