"""The cluster launcher's files by Ray's own schema, the RayJob by KubeRay's.

None holds a secret. Machines keep the dashboard on loopback; a RayJob's submitter is another pod, so there a token
guards it.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

LAUNCHER = ["aws", "gcp", "on_premise"]


def load(repo: Path, name: str) -> dict:
    return yaml.safe_load((repo / f"configs/cluster/{name}.yaml").read_text())


@pytest.mark.parametrize("name", LAUNCHER)
def test_launcher_files_hold_to_rays_schema(repo, name):
    schema = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
    config = load(repo, name)
    jsonschema.validate(config, schema)
    broken = {**config, "max_workerz": 3}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_fills_and_accepts_them(repo, name):
    from ray.autoscaler._private.util import prepare_config, validate_config

    filled = prepare_config(load(repo, name))
    validate_config(filled)
    assert filled["available_node_types"]


@pytest.mark.parametrize("name", LAUNCHER)
def test_the_dashboard_stays_on_loopback(repo, name):
    text = (repo / f"configs/cluster/{name}.yaml").read_text()
    assert "127.0.0.1" in text
    assert "0.0.0.0" not in text


def rayjob_schema(shared_data: Path) -> dict:
    path = shared_data.parent / "schemas/ray.io_rayjobs.yaml"
    if not path.is_file():
        pytest.skip(f"KubeRay's definition is not at {path}, beside the real photos")
    versions = {v["name"]: v for v in yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]["versions"]}
    return strict(versions["v1"]["schema"]["openAPIV3Schema"])


def strict(schema: dict) -> dict:
    """Kubernetes prunes unknown keys; here they are errors. Its int-or-string extension becomes plain JSON schema."""
    if isinstance(schema, list):
        return [strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    done = {k: strict(v) for k, v in schema.items() if k not in ("x-kubernetes-int-or-string",)}
    if schema.get("x-kubernetes-int-or-string"):
        done = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    if (
        isinstance(schema.get("properties"), dict)
        and schema.get("type") == "object"
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        done.setdefault("additionalProperties", False)
    return done


def test_the_rayjob_holds_to_kuberays_definition(repo, shared_data):
    schema, job = rayjob_schema(shared_data), load(repo, "kuberay_rayjob")
    schema["properties"]["metadata"] = {"type": "object"}
    jsonschema.validate(job, schema)
    broken = copy.deepcopy(job)
    broken["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicaz"] = 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)
