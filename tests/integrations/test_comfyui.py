"""The ComfyUI nodes: the interface that ComfyUI documents, and what they do on a tiny model."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from models import tiny_world

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"
KNOWN = {"STRING", "INT", "FLOAT", "BOOLEAN", "IMAGE"}
SAMPLING = {"steps": 2, "guidance": 1.0, "strength": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def pack():
    """Load the folder as ComfyUI does: as a package by its path."""
    spec = importlib.util.spec_from_file_location(
        "comfy_pack", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["comfy_pack"] = module
    spec.loader.exec_module(module)
    yield module
    for name in [name for name in sys.modules if name.startswith("comfy_pack")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny"
    tiny_world().save_pretrained(path)
    return path


def run(pack, name, **given):
    """Call a node as ComfyUI does: a new object, its FUNCTION, inputs by their names."""
    node = pack.NODE_CLASS_MAPPINGS[name]
    reported = node.INPUT_TYPES()
    assert given.keys() <= reported["required"].keys() | reported.get("optional", {}).keys()
    assert reported["required"].keys() <= given.keys()
    result = getattr(node(), node.FUNCTION)(**given)
    assert len(result) == len(node.RETURN_TYPES)
    return result


def test_every_node_has_what_comfyui_asks_for(pack):
    assert pack.NODE_CLASS_MAPPINGS.keys() == pack.NODE_DISPLAY_NAME_MAPPINGS.keys()
    own = {kind for node in pack.NODE_CLASS_MAPPINGS.values() for kind in node.RETURN_TYPES} - KNOWN
    for node in pack.NODE_CLASS_MAPPINGS.values():
        assert callable(getattr(node, node.FUNCTION))
        assert node.CATEGORY
        assert len(node.RETURN_NAMES) == len(node.RETURN_TYPES)
        for inputs in node.INPUT_TYPES().values():
            for kind, *options in inputs.values():
                assert isinstance(kind, list) or kind in KNOWN | own
                assert all(isinstance(each, dict) for each in options)


def test_a_video_is_continued_and_walked_through(pack, folder):
    (model,) = run(pack, "OutOfSightLoadModel", model=str(folder), device="cpu", strategy="window")
    assert model.transformer.config["memory_strategy"] == "window"
    images = torch.rand(9, 32, 48, 3)
    (past,) = run(pack, "OutOfSightCameraPath", expression="pan:left:20", frames=9, fps=15.0)
    (ahead,) = run(pack, "OutOfSightCameraPath", expression="pan:right:20", frames=9, fps=15.0, after=past)
    assert (len(past), len(ahead)) == (9, 9)
    common = {"model": model, "context": images, "context_cameras": past, "prompt": "A wall.", **SAMPLING}
    video, rendered = run(pack, "OutOfSightContinueVideo", target_cameras=ahead, **common)
    assert video.shape == rendered.shape == (9, 32, 48, 3)
    assert 0 <= video.min() <= video.max() <= 1
    (walk,) = run(pack, "OutOfSightBeginWalk", **common)
    later, first = run(pack, "OutOfSightWalkStep", walk=walk, cameras=ahead[:5])
    again, same = run(pack, "OutOfSightWalkStep", walk=walk, cameras=ahead[:5])
    assert torch.equal(first, same)  # the walk that was given has not moved
    _, second = run(pack, "OutOfSightWalkStep", walk=later, cameras=ahead[5:])
    assert second.shape == (4, 32, 48, 3)
    assert (walk.num_steps, again.num_steps) == (0, 1)
