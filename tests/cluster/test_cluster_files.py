"""cluster.yaml and its on-prem twin, read as `ray up` reads them, without a cloud."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import moto
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_NODE_NAME, TAG_RAY_USER_NODE_TYPE

ROOT = Path(__file__).parents[2]
FILES = ("cluster.yaml", "cluster-onprem.yaml")
PROFILES = ("asd-ray-head", "asd-ray-worker")
V1 = "RAY_enable_autoscaler_v2=0 "


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def commands(config: dict[str, Any]) -> str:
    """All that is run on some node, one a line."""
    return "\n".join(line for key in config if key.endswith("_commands") for line in config[key])


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file_as_it_is(name: str) -> None:
    config = prepare_config(read(name))
    validate_config(config)
    assert config["head_node_type"] in config["available_node_types"]
    assert config["setup_commands"] == read(name)["setup_commands"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("key", "value"),
    [("idle_timeout_minutes", "soon"), ("setup_commands", "make node"), ("idle_timeout", 10), ("max_workers", "all")],
)
def test_ray_rejects_a_spoiled_file(name: str, key: str, value: object) -> None:
    with pytest.raises((jsonschema.ValidationError, TypeError)):
        validate_config(prepare_config(read(name) | {key: value}))


def test_ray_rejects_node_types_that_contradict_each_other() -> None:
    config = read("cluster.yaml")
    config["available_node_types"]["gpu-worker"]["min_workers"] = 9
    with pytest.raises(ValueError, match="max_workers"):
        validate_config(prepare_config(config))


def test_the_two_files_differ_only_in_the_provider() -> None:
    cloud, own = map(read, FILES)
    assert cloud.pop("head_setup_commands") == [
        "cd ~/asd_ray && .venv/bin/python -m pip install --quiet -c constraints.txt boto3"
    ]
    own["head_start_ray_commands"] = [line.replace(V1, "") for line in own["head_start_ray_commands"]]
    where = {"provider", "auth", "available_node_types", "head_node_type", "max_workers"}
    assert {key: value for key, value in cloud.items() if key not in where} == {
        key: value for key, value in own.items() if key not in where
    }
    assert V1 in commands(read(FILES[1]))  # without it no worker of the local provider ever starts
    assert "GRPC_ENABLE_FORK_SUPPORT=0" in cloud["head_start_ray_commands"][-1]  # Ray's client fails now and then


def test_the_cloud_has_a_cpu_head_and_spot_gpu_workers_from_none_to_some() -> None:
    config = read("cluster.yaml")
    head, worker = (config["available_node_types"][name] for name in ("head", "gpu-worker"))
    assert config["head_node_type"] == "head"
    assert head["max_workers"] == 0
    assert worker["min_workers"] == 0
    assert worker["max_workers"] == config["max_workers"] > 0
    assert re.match(r"[gp]\d", worker["node_config"]["InstanceType"])
    assert not re.match(r"[gp]\d", head["node_config"]["InstanceType"])
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert all(each["node_config"]["IamInstanceProfile"]["Name"] for each in (head, worker))
    assert config["provider"]["cache_stopped_nodes"] is False


@pytest.mark.parametrize("name", FILES)
def test_idle_workers_are_given_back_and_their_number_is_bounded(name: str) -> None:
    config = read(name)
    assert 0 < config["idle_timeout_minutes"] <= 30
    assert config["max_workers"] >= 1


@pytest.mark.parametrize("name", FILES)
def test_tokens_are_on_and_the_dashboard_listens_on_loopback_only(name: str) -> None:
    config = read(name)
    starts = [line for line in commands(config).splitlines() if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    hosts = re.findall(r"--dashboard-host=(\S+)", commands(config))
    assert hosts == ["127.0.0.1"]
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"]
    assert "0.0.0.0" not in commands(config)
    assert "security_group" not in config["provider"]  # that could only open ports: Ray's own opens 22 alone


@pytest.mark.parametrize("name", FILES)
def test_no_secret_lies_in_the_file(name: str) -> None:
    text = (ROOT / name).read_text()
    secret = r"AKIA|ASIA|BEGIN [A-Z ]*PRIVATE|[0-9a-f]{32}|[A-Za-z0-9+/]{40}|RAY_AUTH_TOKEN=|(password|secret)\w*[:=]"
    assert re.findall(secret, text.replace("deeplearning/ami/x86_64/", ""), flags=re.I) == []
    assert re.search(secret, f"{text}\n# {'0f' * 32}")  # the search would find a token


@pytest.mark.parametrize("name", FILES)
def test_nodes_install_what_the_project_pins(name: str) -> None:
    """The files name no version themselves: `make node` takes all of them from constraints.txt, Ray's too."""
    config = read(name)
    assert config["file_mounts"]["~/asd_ray"] == "."
    assert "cd ~/asd_ray && flock Makefile make node" in config["setup_commands"]
    assert re.findall(r"[\w-]+==[\d.]+", (ROOT / name).read_text()) == []
    recipe = (ROOT / "Makefile").read_text().split("$(VENV)/.node:")[1].split("\n\n")[0]
    installs = [line for line in recipe.splitlines() if "pip install" in line]
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)
    assert "[dev]" not in recipe
    for line in commands(config).splitlines():
        assert ("pip install" in line) == ("-c constraints.txt" in line), line
    pinned = dict(re.findall(r"(?m)^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text()))
    assert {"ray", "torch", "optuna", "boto3"} <= pinned.keys()
    assert all(re.fullmatch(r"[\d.]+", pinned[package]) for package in ("ray", "torch"))


def test_what_git_ignores_does_not_travel() -> None:
    for config in map(read, FILES):
        assert config["rsync_exclude"] == [".git/"]
        assert config["rsync_filter"] == [".gitignore"]
    assert {".venv/", "/runs/"} <= set((ROOT / ".gitignore").read_text().split())


@pytest.mark.parametrize("name", FILES)
def test_the_comments_mark_the_four_things_to_edit(name: str) -> None:
    text = (ROOT / name).read_text()
    said, body = text.split("\n\ncluster_name")[0], text.split("\n\ncluster_name")[1]
    assert re.findall(r"^#   (\d)\. ", said, flags=re.M) == ["1", "2", "3", "4"]
    marked = set(re.findall(r"# (\d)\.", body))
    assert marked == ({"1", "2", "3", "4"} if name == "cluster.yaml" else {"1", "2", "3"})  # 4 is in the commands
    for command in ("ray up", "ray exec", "ray attach", "ray dashboard", "ray rsync-down", "ray down"):
        assert f"{command} {name}" in said


@pytest.fixture
def pretended_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray writes its key pair to ~/.ssh
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "pretended")
    with moto.mock_aws():
        for profile in PROFILES:
            boto3.client("iam").create_instance_profile(InstanceProfileName=profile)
        yield


@pytest.mark.usefixtures("pretended_aws")
def test_a_pretended_aws_launches_the_nodes_that_the_file_describes() -> None:
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = AWSNodeProvider.bootstrap_config(prepare_config(read("cluster.yaml")))
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name in ("head", "gpu-worker"):
        tags = {TAG_RAY_NODE_NAME: name, TAG_RAY_USER_NODE_TYPE: name}
        provider.create_node(dict(config["available_node_types"][name]["node_config"]), tags, 1)

    ec2 = boto3.client("ec2", config["provider"]["region"])
    launched = [each for group in ec2.describe_instances()["Reservations"] for each in group["Instances"]]
    wanted = [config["available_node_types"][name]["node_config"] for name in ("head", "gpu-worker")]
    assert [each["InstanceType"] for each in launched] == [each["InstanceType"] for each in wanted]
    assert [each.get("InstanceLifecycle") for each in launched] == [None, "spot"]
    assert [each["IamInstanceProfile"]["Arn"].split("/")[-1] for each in launched] == list(PROFILES)
    assert all(each["ImageId"].startswith("resolve:ssm:/aws/service/deeplearning/") for each in launched)
    groups = {group["GroupId"] for each in launched for group in each["SecurityGroups"]}
    rules = ec2.describe_security_groups(GroupIds=list(groups))["SecurityGroups"]
    opened = [rule for group in rules for rule in group["IpPermissions"] if rule["IpRanges"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in opened] == [(22, 22)]  # the rest is for the group itself
