"""Names of models: the bundled one, folders, hub ids; and what a model says it is used with."""

from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from models import tiny_world
from outofsight import model_folders
from outofsight.errors import CheckpointError
from outofsight.model_folders import USE_FILE, ModelUse, find_model, read_use, use_as_json
from outofsight.sampling.plan import networks_on_meta
from outofsight.sampling.world import WorldModel
from outofsight.training.models import load_vae

USE = ModelUse(
    num_context_frames=9,
    num_target_frames=13,
    size=(48, 64),
    fps=10.0,
    num_inference_steps=2,
    guidance_scale=1.0,
)


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """An installation whose bundled model is a tiny one."""
    folder = tmp_path / "models" / "mini"
    tiny_world().save_pretrained(folder)
    (folder / USE_FILE).write_text(use_as_json(USE))
    monkeypatch.setattr(model_folders, "MODELS", tmp_path / "models")
    return folder


def test_the_bundled_name_is_its_folder_everywhere(bundled):
    import torch  # noqa: PLC0415

    world = WorldModel.from_pretrained("mini")
    again = WorldModel.from_pretrained(bundled)
    assert torch.equal(world.transformer.proj_out.weight, again.transformer.proj_out.weight)
    assert networks_on_meta("mini", torch.float32)["transformer"].config["num_layers"] == 2
    assert load_vae("mini").config["base_dim"] == 4
    assert find_model("mini") == bundled


def test_paths_and_hub_ids_stay_as_they_are(bundled, monkeypatch):
    monkeypatch.chdir(bundled.parent)
    for name in ("./mini", "someone/mini", bundled):
        assert find_model(name) == name


@pytest.mark.parametrize("name", ["minni", "a/b/c", "./minni", "x" * 5000, "nul\0", Path("minni")])
def test_what_is_neither_a_folder_nor_a_name_is_said_before_the_hub_is_asked(name):
    with pytest.raises(CheckpointError, match=r"no such folder, and no bundled model \(mini\)"):
        find_model(name)


@pytest.mark.parametrize(
    ("given", "called"), [(None, "nothing"), (3, "a whole number"), (["mini"], "a list")]
)
def test_what_is_no_name_at_all(given, called):
    with pytest.raises(CheckpointError, match=f"expected a model's name or folder, got {called}"):
        WorldModel.from_pretrained(given)


def test_an_installation_without_weights_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folders, "MODELS", tmp_path)
    for load in (find_model, read_use, WorldModel.from_pretrained):
        with pytest.raises(CheckpointError, match="mini: this installation carries no such weights"):
            load("mini")


def test_use_is_read_as_it_was_written_and_the_published_one_is_the_default(bundled, tmp_path):
    assert read_use("mini") == USE
    assert read_use(tmp_path) == read_use("someone/model") == ModelUse()
    assert ModelUse().frames == (77, 77)
    assert ModelUse().num_inference_steps == 50


def test_the_use_of_an_earlier_folder_is_read(tmp_path):
    (tmp_path / "use.json").write_text('{"num_steps": 3, "size": [64, 96], "walk": {"num_steps": 2}}')
    explore = {"num_inference_steps": 2}
    assert read_use(tmp_path) == ModelUse(num_inference_steps=3, size=(64, 96), explore=explore)
    (tmp_path / USE_FILE).write_text(use_as_json(USE))
    assert read_use(tmp_path) == USE


def test_a_use_file_with_a_byte_order_mark(tmp_path):
    (tmp_path / USE_FILE).write_text(use_as_json(USE), encoding="utf-8-sig")
    assert read_use(tmp_path) == USE


@pytest.mark.parametrize("content", ['{"frames": 3}', "[]", "{", '{"size": 4}'])
def test_a_damaged_use_file_is_named(tmp_path, content):
    (tmp_path / USE_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=r"generation_config\.json: expected a model's frames"):
        read_use(tmp_path)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that holds one file; tells what it was asked for."""
    asked = []

    def download(name, file):
        asked.append((name, file))
        if name != "someone/walks":
            raise LocalEntryNotFoundError("no such file")
        path = tmp_path / file
        path.write_text('{"num_inference_steps": 4, "guidance_scale": 1.0, "size": [64, 96]}')
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return asked


def test_a_hub_model_says_what_it_is_used_with(hub):
    use = read_use("someone/walks")
    assert (use.num_inference_steps, use.guidance_scale, use.size) == (4, 1.0, (64, 96))
    assert hub == [("someone/walks", "generation_config.json")]


def test_a_hub_model_that_does_not_say_is_used_as_the_published_one(hub, tmp_path):
    assert read_use("someone/plain") == ModelUse()
    (tmp_path / "folder").mkdir()
    assert read_use(tmp_path / "folder") == ModelUse()  # what is here is not sought there
    assert len(hub) == 2  # by its name of now, and by the earlier one
