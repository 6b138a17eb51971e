"""diffusers loads a model folder by our file, as any other custom pipeline."""

from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline

from models import tiny_world
from outofsight import WorldModel
from outofsight.geometry.path_expressions import make_path

FOLDER = Path(__file__).parents[2] / "integrations" / "diffusers"


def test_a_folder_is_loaded_by_it_and_called(tmp_path):
    tiny_world().save_pretrained(tmp_path / "tiny")
    pipe = DiffusionPipeline.from_pretrained(
        tmp_path / "tiny", custom_pipeline=str(FOLDER), trust_remote_code=True
    )
    assert type(pipe).__name__ == "OutOfSightPipeline"
    assert isinstance(pipe, WorldModel)
    pipe.set_progress_bar_config(disable=True)
    path = make_path("pan:left:20,back", 18)
    asked = {
        "prompt": "A wall.", "video": np.zeros((9, 32, 48, 3), dtype=np.uint8), "context_cameras": path[:9],
        "target_cameras": path[9:], "num_inference_steps": 2, "guidance_scale": 1.0,
    }  # fmt: skip
    frames = pipe(**asked, generator=torch.Generator().manual_seed(1)).frames
    own = WorldModel.from_pretrained(tmp_path / "tiny")
    own.set_progress_bar_config(disable=True)
    assert frames.shape == (1, 9, 32, 48, 3)
    assert (own(**asked, generator=torch.Generator().manual_seed(1)).frames == frames).all()
