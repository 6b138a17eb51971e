"""A bundle: what is copied, what is checked, and what its card says."""

import json
import re
import shutil
import xml.etree.ElementTree
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import tiny_world
from outofsight import model_folders
from outofsight.bundling.bundle import BundleConfig, check_weights, make_bundle
from outofsight.bundling.card import read_results, results_section
from outofsight.bundling.finished_run import (
    curve_panels,
    find_vae_run,
    read_finished_run,
    thinned,
    validation_lines,
    without_places,
)
from outofsight.errors import CheckpointError, InputError, OutputError
from outofsight.model_folders import ModelUse, read_use
from outofsight.training.config import to_dict
from outofsight.training.models import cast_for_export
from outofsight.training.recipes import recipe
from outofsight.world_model import WorldModelBase

METRICS = {"psnr": {"unit": "dB"}, "ssim": {"unit": ""}, "relative_motion": {"unit": ""}}


def summary(mean, n=4, n_undefined=0):
    spread = {"low": None, "high": None} if mean is None else {"low": mean - 1, "high": mean + 1}
    return {"n": n, "n_undefined": n_undefined, "mean": mean, "median": mean, **spread}


RESULTS = {
    "clips": [{"name": f"clip_{index}"} for index in range(4)],
    "metrics": METRICS,
    "summaries": {
        "all clips": {
            "mini": {
                "psnr": summary(21.5),
                "ssim": summary(0.625, n=3, n_undefined=1),
                "relative_motion": summary(None, 0, 4),
            },
            "frozen": {"psnr": summary(14.0), "ssim": summary(0.5), "relative_motion": summary(None, 0, 4)},
        }
    },
    "cost": {"mini": {"median_seconds": {"text": 0.01, "denoise": 2.5}}, "frozen": None},
}


def write_run(folder, name, log, vae=None):
    """Lay a run down as training leaves it, without its states."""
    config = to_dict(recipe(name))
    if vae is not None:
        config["task"]["vae"] = str(vae)
    folder.mkdir()
    content = {
        "config": config,
        "data": str(folder.parent / "clips"),
        "provenance": {"versions": {"torch": "2.13.0"}, "commit": "abc123"},
        "changes": [{"step": 10}],
    }
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return folder


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "export"
    world = tiny_world()
    for network in (world.transformer, world.vae, world.text_encoder):
        cast_for_export(network, torch.bfloat16)
    world.save_pretrained(folder)
    return folder


@pytest.fixture
def config(tmp_path, export):
    """Two runs, the clips' own data card, and results, as they lie on the machine that trained."""
    vae_log = [{"step": 10 * step, "validation/psnr": 15.0 + step} for step in range(1, 20)]
    vae = write_run(tmp_path / "vae", "mini_vae", vae_log)
    log = []
    for step in range(10, 210, 10):
        log.append({"step": step, "loss": 1 / step, "samples_per_second": 32.0})
        if step % 50 == 0:
            figures = {"loss": 0.4, "loss@0.9": 0.5, "wrong_camera_loss@0.9": 0.6, "camera_gain": 0.1 * step}
            log.append({"step": step, **{f"validation/{name}": value for name, value in figures.items()}})
    world = write_run(tmp_path / "world", "mini_world", log, vae=vae / "export")
    (world / "export").symlink_to(export, target_is_directory=True)
    clips = tmp_path / "clips"
    for name in ("train/clip_000000", "train/clip_000001", "validation/clip_000002", ".unfinished-1-x"):
        (clips / name).mkdir(parents=True)
    fixture = model_folders.Path(__file__).parents[1] / "fixtures" / "mini" / "recipe.json"
    identity = {
        "version": 1,
        "seed": 1,
        "shares": {"validation": 0.1, "test": 0.0},
        "recipe": json.loads(fixture.read_text()),
    }
    (clips / "dataset.json").write_text(json.dumps(identity))
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    return BundleConfig(
        run=world,
        data=clips,
        out=tmp_path / "models" / "mini",
        hardware="two slow cores",
        num_inference_steps=16,
        guidance_scale=1.0,
        results=tmp_path / "results.json",
    )


def changed(config, **values):
    return BundleConfig(**{**config.__dict__, **values})


def test_a_bundle_is_the_export_with_its_card(config, export, monkeypatch):
    report = make_bundle(config)
    assert report.weight_bytes == sum(path.stat().st_size for path in export.rglob("*.safetensors"))
    monkeypatch.setattr(model_folders, "MODELS", config.out.parent)
    assert read_use("mini") == ModelUse(
        num_context_frames=41,
        num_target_frames=41,
        size=(64, 96),
        fps=10.0,
        num_inference_steps=16,
        guidance_scale=1.0,
    )
    bundled, exported = (WorldModelBase.from_pretrained(name) for name in ("mini", export))
    assert torch.equal(bundled.transformer.proj_out.weight, exported.transformer.proj_out.weight)
    assert sorted(path.name for path in config.out.iterdir() if path.is_file()) == [
        "README.md",
        "curves_vae.svg",
        "curves_world.svg",
        "generation_config.json",
        "model_index.json",
        "training.json",
    ]


def test_the_card_tells_recipe_data_hardware_curve_and_results(config):
    make_bundle(config)
    card = (config.out / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\nlibrary_name: diffusers\n")
    for reported in (
        "Hardware: two slow cores.",
        "`mini_world`, seed 0",
        "`mini_vae`, seed 0",
        "2 train, 1 validation",
        "desert, snow village, harbour, museum",
        "| steps | 200 of 64 samples |",
        "| samples | 12,800 |",
        "| hours of training steps | 0.11 |",
        "| 200 | 0.4 | 0.6 | 20 |",
        "| mini | 21.5 [20.5, 22.5] |",
        "(n = 3)",
        "| mini | 0.01 | 2.50 | 2.51 |",
        "| seed of the data set | 1 |",
        "](curves_world.svg)",
        "](curves_vae.svg)",
        "num_inference_steps=16",
        "commit | abc123",
    ):
        assert reported in card, reported
    assert "relative_motion" not in card.split("## Parts")[0]  # nobody could be measured by it
    for link in re.findall(r"!\[[^]]*]\(([^)]+)\)", card):
        picture = config.out / link
        assert xml.etree.ElementTree.parse(picture).getroot().tag.endswith("svg")
        assert picture.stat().st_size < 60_000


def test_the_card_tells_the_runs_before(config, tmp_path):
    log = [{"step": step, "loss": 1.0, "samples_per_second": 2.4} for step in (30, 60)]
    earlier = write_run(tmp_path / "earlier", "laptop_world", log)
    settings = json.loads((earlier / "config.json").read_text())
    settings["config"]["optimisation"]["optimizer"] = "muon"
    (earlier / "config.json").write_text(json.dumps(settings))
    make_bundle(changed(config, before=(earlier,)))
    card = (config.out / "README.md").read_text()
    assert "went through 1 earlier run, 0.03 hours of training steps in all" in card
    first, last = (card.index(title) for title in ("### World model, run 1", "### World model, its last run"))
    assert first < card.index("`laptop_world`, seed 0") < card.index("Muon for matrices") < last
    assert card.index("`mini_world`, seed 0") > last
    training = json.loads((config.out / "training.json").read_text())
    assert [run["steps"] for run in training["before"]] == [60]


def test_no_place_of_the_training_machine_is_told(config, export):
    (config.run / "export").unlink()
    shutil.copytree(export, config.run / "export")
    noted = config.run / "export" / "vae" / "config.json"
    noted.write_text(json.dumps(json.loads(noted.read_text()) | {"_name_or_path": str(config.run.parent)}))
    make_bundle(config)
    for path in config.out.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            assert str(config.run.parent) not in path.read_text(), path.name
    assert without_places({"a": ["/somewhere/else/vae/export", "vae/export", 3]}) == {
        "a": ["vae/export", "vae/export", 3]
    }


def test_what_is_not_at_hand_is_said_to_be(config):
    (config.run.parent / "vae" / "config.json").unlink()
    make_bundle(changed(config, results=None))
    card = (config.out / "README.md").read_text()
    assert "Not measured when this card was written" in card
    assert "The folder of its training run was not at hand" in card


def test_a_bundle_is_replaced_only_if_asked_and_nothing_else_is_ever(config, tmp_path):
    make_bundle(config)
    with pytest.raises(OutputError, match="is there already"):
        make_bundle(config)
    make_bundle(changed(config, overwrite=True, hardware="one fast core"))
    assert "one fast core" in (config.out / "README.md").read_text()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("all of it")
    with pytest.raises(InputError, match="is not a bundle that could be replaced"):
        make_bundle(changed(config, out=precious, overwrite=True))
    assert (precious / "thesis.txt").read_text() == "all of it"
    assert {path.name for path in config.out.parent.iterdir()} == {"mini"}  # nothing is left beside it


def test_too_large_or_too_wide_weights_are_refused(config, tmp_path):
    with pytest.raises(CheckpointError, match=r"MB, more than the 0\.1 that a bundle may have"):
        make_bundle(changed(config, most_mb=0.1))
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="wider than 16 bits; export in bfloat16"):
        check_weights(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds no \.safetensors file"):
        check_weights(tmp_path / "vae")
    assert not config.out.exists()


def test_parameters_are_counted(export):
    count, size = check_weights(export / "transformer")
    (file,) = (export / "transformer").glob("*.safetensors")
    assert count == sum(tensor.numel() for tensor in load_file(file).values())
    assert size == file.stat().st_size


def test_curves_by_hand(config):
    run = read_finished_run(config.run)
    assert list(curve_panels(run)) == ["loss", "wrong camera loss", "camera gain"]
    assert list(curve_panels(run)["loss"]) == ["training", "validation", "validation 0.9"]
    assert list(curve_panels(run)["wrong camera loss"]) == ["validation 0.9"]
    assert validation_lines(run)[0] == ["step", "loss", "wrong camera loss@0.9", "camera gain"]
    assert thinned([(1, 1.0), (2, 3.0), (3, 5.0)], 2) == [(2, 2.0), (3, 5.0)]
    assert run.hours == pytest.approx(200 * 64 / 32 / 3600)
    slow = ({"step": 10, "samples_per_second": 32.0}, {"step": 20, "samples_per_second": 0.5})
    # Gone on with after step 19, it compiled its first step.
    resumed = replace(run, log=slow, content=run.content | {"changes": [{"step": 19}]})
    assert resumed.hours == pytest.approx((19 * 64 / 32 + 64 / 0.5) / 3600)
    heads, rows = validation_lines(read_finished_run(find_vae_run(config.run)))
    assert heads == ["step", "psnr"]
    assert len(rows) == 8
    assert (rows[0], rows[-1]) == (["10", "16"], ["190", "34"])


def test_the_vaes_run_is_found_beside_the_worlds(config):
    content = json.loads((config.run / "config.json").read_text())
    for named, found in (("vae/export", config.run.parent / "vae"), ("other/export", None), (None, None)):
        content["config"]["task"]["vae"] = named
        (config.run / "config.json").write_text(json.dumps(content))
        assert find_vae_run(config.run) == found


def test_runs_and_results_that_are_none(config, tmp_path):
    (config.run / "export").unlink()
    with pytest.raises(CheckpointError, match="export: is not there; go on with the run to its end"):
        make_bundle(config)
    (config.run / "log.jsonl").write_text("")
    with pytest.raises(CheckpointError, match=r"log\.jsonl holds no line"):
        make_bundle(config)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"expected the results\.json of `outofsight evaluate`, it lacks clips"
    ):
        read_results(tmp_path / "other.json")
    assert "n = 4" in results_section(RESULTS)
