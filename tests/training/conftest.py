"""Tiny clips, a tiny VAE and their latents, made once; configurations that train in a second."""

import shutil

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from models import tiny_vae, tiny_world
from outofsight.data.sample import write_sample
from outofsight.sampling.world import WorldModel
from outofsight.training.config import Batch, Optimisation, StateFiles, TrainConfig, Validation
from outofsight.training.encoding import Encoder, encode_dataset
from outofsight.training.tasks import VaeSize, VaeTask, WorldSize, WorldTask
from outofsight.types import CameraPath, Clip, Intrinsics, SubjectTrack, Visibility

HALF, HEIGHT, WIDTH = 9, 32, 64
LENS = Intrinsics.from_fov(width_px=WIDTH, height_px=HEIGHT, fov_x_rad=1.2)
NEVER = {"every_steps": 0, "videos_every_steps": 0}


def moving_square(name: str, seed: int) -> Clip:
    """A bright square that crosses a noisy picture while the camera slides."""
    generator = np.random.default_rng(seed)
    frames = 2 * HALF
    ids = np.zeros((frames, HEIGHT, WIDTH), dtype=np.uint8)
    for frame in range(frames):
        left = 2 * frame + int(generator.integers(4))
        ids[frame, 8:24, left : left + 16] = 1
    ground = generator.integers(0, 120, (1, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    ground = ground.repeat(8, axis=1).repeat(8, axis=2)
    video = np.where(ids[..., None] > 0, np.uint8(240), np.broadcast_to(ground, (frames, HEIGHT, WIDTH, 3)))
    poses = np.tile(np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.6]]), (frames, 1, 1))
    poses[:, 0, 3] = np.cumsum(generator.uniform(-0.2, 0.2, frames))
    places = np.tile(np.eye(4)[:3], (frames, 1, 1))
    subject = SubjectTrack(
        subject_id=1, name="square", category="robot", visibility=np.full(frames, Visibility.VISIBLE, np.int8),
        world_from_subject=places, velocity_m_s=np.zeros((frames, 3)),
        box_px=np.tile(np.array([0, 8, 16, 24], np.float32), (frames, 1)),
    )  # fmt: skip
    return Clip(
        name=name, video=video, num_context_frames=HALF, fps=15.0,
        cameras=CameraPath(world_from_camera=poses, intrinsics=LENS), caption=f"A square crosses, number {seed}.",
        masks=ids, masks_are_instances=True, subjects=(subject,),
    )  # fmt: skip


@pytest.fixture(scope="session")
def _data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for index in range(6):
        write_sample(folder / "train" / f"clip_{index:06d}", moving_square(f"clip_{index:06d}", index))
    for index in range(6, 8):
        write_sample(folder / "validation" / f"clip_{index:06d}", moving_square(f"clip_{index:06d}", index))
    return folder


@pytest.fixture(scope="session")
def data(_data):
    """Six training clips and two for validation; not to be changed."""
    return _data


@pytest.fixture(scope="session")
def vae_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae") / "tiny"
    tiny_vae().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world") / "tiny"
    tiny_world().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def _cache(tmp_path_factory, _data):
    folder = tmp_path_factory.mktemp("cache")
    encode_dataset(Encoder(vae=tiny_vae()), _data, folder, samples_per_shard=4)
    return folder


@pytest.fixture
def cache(_cache, tmp_path):
    """A latent cache of its own for each test, which may spoil it."""
    return shutil.copytree(_cache, tmp_path / "cache")


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    """Tensors this small are no work for many threads, which only wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cache_of_world(tmp_path_factory, _data, world_folder):
    """Latents and text states made by the tiny world model itself; not to be changed."""
    folder = tmp_path_factory.mktemp("cache_of_world")
    world = WorldModel.from_pretrained(world_folder)
    encoder = Encoder(vae=world.vae, text_encoder=world.text_encoder, tokenizer=world.tokenizer)
    encode_dataset(encoder, _data, folder, samples_per_shard=4)
    return folder


@pytest.fixture
def forget_accelerate():
    """accelerate keeps one state for the whole process; forget it, as a new process would."""

    def forget():
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()

    return forget


@pytest.fixture(autouse=True)
def _fresh_accelerate(forget_accelerate):
    yield
    forget_accelerate()


@pytest.fixture
def vae_config():
    def make(**changes):
        task = {"size": VaeSize(base_dim=4), "num_frames": 5, "crop_px": (16, 32), "statistics_clips": 2}
        return TrainConfig(
            recipe="toy", task=VaeTask(**{**task, **changes.pop("task", {})}), num_steps=changes.pop("num_steps", 4),
            batch=Batch(**{"size": 2, **changes.pop("batch", {})}),
            validation=Validation(**{**NEVER, **changes.pop("validation", {})}),
            optimisation=Optimisation(**{"learning_rate": 3e-3, "ema_decay": 0.9, **changes.pop("optimisation", {})}),
            state=StateFiles(**changes.pop("state", {})), **changes,
        )  # fmt: skip

    return make


@pytest.fixture
def world_config(vae_folder):
    size = WorldSize(
        num_heads=2, head_dim=24, num_layers=2, ffn_dim=64, freq_dim=32, memory_top_k=1, local_window=3,
        text_width=32, text_layers=1, text_heads=2,
    )  # fmt: skip

    def make(**changes):
        task = {"size": size, "vae": str(vae_folder), "camera_dropout": 0.2}
        return TrainConfig(
            recipe="toy", task=WorldTask(**{**task, **changes.pop("task", {})}), num_steps=changes.pop("num_steps", 4),
            batch=Batch(**{"size": 4, **changes.pop("batch", {})}),
            validation=Validation(**{**NEVER, **changes.pop("validation", {})}),
            optimisation=Optimisation(**{"learning_rate": 3e-3, "ema_decay": 0.9, **changes.pop("optimisation", {})}),
            state=StateFiles(**changes.pop("state", {})), **changes,
        )  # fmt: skip

    return make
