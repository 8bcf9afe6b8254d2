"""What is served, from the command line's words and from the file for Ray Serve that we ship."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from ray.serve._private.build_app import build_app
from ray.serve.schema import (
    DeploymentSchema,
    HTTPOptionsSchema,
    LoggingConfig,
    RayActorOptionsSchema,
    ServeApplicationSchema,
    ServeDeploySchema,
)

from asd_ray.deploy.serve.config import ServeConfig
from asd_ray.deploy.serve.naming import read_bundles
from asd_ray.deploy.serve.replica import DEPLOYMENT, application
from asd_ray.errors import AsdRayError
from tests.deploy.conftest import SmallRun
from tests.deploy.serve.client import free_port, started

ROOT = Path(__file__).parents[3]


def shipped() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "serve.yaml").read_text())
    return content


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "the argument bundles must name folders"),
        ({"bundles": ["fan.bundle"]}, "the argument bundles must name folders"),
        ({"bundles": {}}, "no bundle to serve"),
        ({"bundles": {"a/b": "x"}}, "the bundle name 'a/b' must be"),
        ({"bundles": {"fan": 3}}, "bundles/fan must be text but is 3"),
        ({"bundles": {"fan": "x"}, "tokens": True}, "unknown argument 'tokens'; did you mean 'token'"),
        ({"bundles": {"fan": "x"}, "token": "yes"}, "token must be true or false but is 'yes'"),
        ({"bundles": {"fan": "x"}, "max_megabytes": 0}, "max_megabytes must be a number above 0 to 2000 but is 0"),
        ({"bundles": {"fan": "x"}, "max_minutes": float("nan")}, "max_minutes must be a number"),
        ({"bundles": {"fan": "x"}, "false_alarms": 1}, "false_alarms must be a number above 0 to 0.5 but is 1"),
    ],
)
def test_wrong_arguments_are_named(args: dict[str, Any], words: str) -> None:
    with pytest.raises(AsdRayError, match=words):
        ServeConfig.from_args(args)


def test_arguments_survive_the_way_to_a_replica() -> None:
    config = ServeConfig({"fan": "/srv/fan.bundle"}, token=False, max_megabytes=1.5, false_alarms=0.01)
    assert ServeConfig.from_args(config.to_args()) == config


def test_bundles_are_named_after_their_machines_or_as_the_user_says(small: SmallRun) -> None:
    named = read_bundles([str(small.folder), f"line3={small.folder}"])
    assert {name: path for name, (path, _) in named.items()} == {
        "fan": str(small.folder),
        "line3": str(small.folder),
    }
    with pytest.raises(AsdRayError, match="are both named fan; name them, such as fan1="):
        read_bundles([str(small.folder), f"fan={small.folder}"])
    with pytest.raises(AsdRayError, match="is not there"):
        read_bundles(["a=b/c=d.bundle"])


def test_serve_accepts_the_shipped_file_and_our_application_its_arguments() -> None:
    content = shipped()
    schema = ServeDeploySchema.model_validate(content)
    (app,) = schema.applications
    assert app.import_path == f"{application.__module__}:{application.__name__}"
    built = build_app(application(app.args), name=app.name)
    assert {each.name for each in app.deployments} == {each.name for each in built.deployments} == {DEPLOYMENT}


def test_serve_knows_every_key_of_the_shipped_file() -> None:
    """It ignores those that it does not know, such as one that is spelled wrongly."""
    content = shipped()
    (app,) = content["applications"]
    (deployment,) = app["deployments"]
    parts: list[tuple[dict[str, Any], type[BaseModel]]] = [
        (content, ServeDeploySchema),
        (content["http_options"], HTTPOptionsSchema),
        (content["logging_config"], LoggingConfig),
        (app, ServeApplicationSchema),
        (deployment, DeploymentSchema),
        (deployment["ray_actor_options"], RayActorOptionsSchema),
    ]
    for part, schema in parts:
        assert set(part) <= set(schema.model_fields), schema


def test_the_shipped_file_is_closed_to_strangers() -> None:
    content = shipped()
    assert content["http_options"]["host"] == "127.0.0.1"
    assert content["applications"][0]["args"]["token"] is True


def test_the_shipped_file_is_in_the_source_distribution() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert "serve.yaml" in build["targets"]["sdist"]["include"]


def test_serve_runs_the_shipped_file_and_its_ray_takes_no_second_server(small: SmallRun, tmp_path: Path) -> None:
    """With another port, the bundle of this test, and no token."""
    content, port = shipped(), free_port()
    content["http_options"]["port"] = port
    args = content["applications"][0]["args"]
    args["bundles"], args["token"] = {"line3": str(small.folder)}, False
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump(content))
    words = ["ray.serve.scripts", "run", tmp_path / "serve.yaml"]
    environment = {"RAY_ADDRESS": "local", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "PYTHONPATH": str(ROOT)}
    with started(words, tmp_path / "log", port=port, ready="", environment=environment) as server:
        clip = small.clips[0]
        reply = server.client.post("/line3/score?id=00", clip)
        assert reply.status == 200
        assert reply.content["score"] == pytest.approx(small.load().score(clip, id="00").score, rel=1e-5)
        again = ["serve", small.folder, "--address", server.ray_address, "--port", free_port()]
        words = [sys.executable, "-m", "asd_ray", *map(str, again)]
        joined = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
        assert joined.returncode == 2
        assert "asd-ray serve: Ray Serve runs on this Ray already" in joined.stderr
        assert server.client.post("/line3/score?id=00", clip).status == 200
        _, left = server.end(signal.SIGINT)
        assert left == []
