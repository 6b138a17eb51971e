"""A run of each task on a device: every tensor lies where it should, and the losses are the CPU's."""

import pytest
from test_pixel_training import patch_vae
from test_rendered_truth import standing
from transformers import ByT5Tokenizer

from models import tiny_text_encoder, tiny_transformer, tiny_vae, tiny_world
from outofsight.data.sample import write_sample
from outofsight.sampling.world import WorldModel
from outofsight.training.config import TrainConfig, changed, with_strategy
from outofsight.training.encoding import Encoder, Rendering, encode_dataset
from outofsight.training.loop import train
from outofsight.training.run_folder import read_log
from outofsight.training.tasks import PixelTask, RecogniserTask
from pretended_device import pretended

BANKS = {"archive_slots": 4, "subject_slots": 2, "top_k": 3, "reader_width": 8, "identity_width": 4}
LOSSES = {"split": 1.0, "reading": 1.0, "state": 1.0, "identity": 0.2, "background": 0.5}
CHUNKS = {"sizes": [[1, 2]], "self_forcing_max_sigma": 1.0}
LOOKED_AT = {"every_steps": 2, "videos_every_steps": 2, "num_videos": 1, "video_steps": 1, "num_samples": 2,
             "sigmas": (0.5,)}  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standing")
    for part, count in (("train", 2), ("validation", 2)):
        for index in range(count):
            write_sample(folder / part / f"{part}_{index}", standing((4 + 8 * index, 44)))
    return folder


@pytest.fixture(scope="module")
def rendered_cache(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    encode_dataset(Encoder(vae=tiny_vae(), rendering=Rendering()), clips, folder)
    return folder


@pytest.fixture(scope="module")
def patch_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "patch"
    WorldModel(
        transformer=tiny_transformer(), vae=patch_vae(), text_encoder=tiny_text_encoder(), tokenizer=ByT5Tokenizer(),
        scheduler=tiny_world().scheduler,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture
def same_on_a_device(tmp_path, monkeypatch, forget_accelerate):
    """Train twice, the second time on the pretended device and in two parts; what was logged must agree."""

    def check(config: TrainConfig, data) -> None:
        config = changed(config, {"num_steps": 2, "log_every_steps": 1})
        train(config, data, tmp_path / "cpu")
        forget_accelerate()
        monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "pretend:0")
        with pretended():
            assert not train(config, data, tmp_path / "device", stop=lambda: True).finished
            assert train(config, data, tmp_path / "device", resume=True).finished
        here, there = (read_log(tmp_path / name) for name in ("cpu", "device"))
        assert len(here) == len(there) >= 3
        for one, other in zip(here, there, strict=True):
            assert {name for name in one if one[name] is None} == {
                name for name in other if other[name] is None
            }
            reported = [
                {name: value for name, value in line.items() if value is not None} for line in (one, other)
            ]
            for line in reported:
                line.pop("samples_per_second", None)
            assert reported[0] == pytest.approx(reported[1], rel=2e-3, abs=1e-4)
        videos = [
            sorted(path.name for path in (tmp_path / name).rglob("*.mp4")) for name in ("cpu", "device")
        ]
        assert videos[0] == videos[1]

    return check


@pytest.mark.parametrize("patch", [None, {"width": 8, "num_layers": 1, "fit_clips": 2}], ids=["wan", "patch"])
def test_an_autoencoder(patch, vae_config, data, same_on_a_device):
    same_on_a_device(vae_config(task={"patch": patch}, validation=LOOKED_AT), data)


@pytest.mark.parametrize(
    ("name", "more"),
    [("hydra", {"optimisation.optimizer": "muon", "batch.accumulation": 2}),
     ("window", {"batch.gradient_checkpointing": True}),
     pytest.param("hybrid", {"task.chunks": CHUNKS, "task.memory_losses": LOSSES}, marks=pytest.mark.slow)],
    ids=["hydra-muon", "window-checkpointing", "banks-in-chunks"],
)  # fmt: skip
def test_a_world_model(name, more, world_config, cache, same_on_a_device, monkeypatch):
    monkeypatch.setattr("outofsight.training.optimiser.NARROWEST", 8)
    config = with_strategy(world_config(task={"camera_dropout": 0.0}, validation=LOOKED_AT), name)
    if config.task.memory.get("banks") is not None:
        more = {**more, "task.memory.banks": BANKS}
    if config.task.memory.get("context_recent"):
        more = {**more, "task.memory.context_recent": 2}
    same_on_a_device(changed(config, more), cache)


def test_a_world_model_with_rendered_memory(world_config, rendered_cache, same_on_a_device):
    config = with_strategy(world_config(validation=LOOKED_AT, task={"gate_strength": 0.4}), "hybrid+hydra")
    memory = {"banks": BANKS, "rendering": {"gate_width": 4, "mask_width": 4}}
    same_on_a_device(
        changed(config, {f"task.memory.{key}": value for key, value in memory.items()}), rendered_cache
    )


def test_a_recogniser(vae_config, data, same_on_a_device):
    task = RecogniserTask(
        kinds=("ball", "square"), widths=(8, 8, 16, 16), num_blocks=1, identity_dim=8, num_views=2,
        subjects_per_clip=2,
    )  # fmt: skip
    same_on_a_device(changed(vae_config(validation=LOOKED_AT), {"task": task}), data)


def test_what_a_world_model_makes_of_pixels(vae_config, clips, patch_world, same_on_a_device):
    task = PixelTask(initial=str(patch_world), skip_width=6, frames=2, window=5)
    same_on_a_device(changed(vae_config(validation={"every_steps": 2}), {"task": task}), clips)
