"""The script of docs/pipeline.md is a user's: it runs as it stands, on the bundled mini."""

import re
from pathlib import Path

import numpy as np
import pytest
from diffusers import WanPipeline, WanTransformer3DModel
from transformers import ByT5Tokenizer

from models import tiny_text_encoder, tiny_vae, tiny_world
from outofsight.geometry.path_expressions import make_path

SCRIPT = re.search(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "pipeline.md").read_text(), re.S
)[1]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_script_runs_on_the_mini(capsys):
    """UniPC, a callback that shows latents, a generator and two prompts in a batch; two steps, for the time."""
    context = make_path("pan:left:20", 9)
    given = {
        "video": np.random.default_rng(0).integers(0, 256, (9, 64, 96, 3), dtype=np.uint8),
        "context": context,
        "target": make_path("pan:right:10", 5, start=context.world_from_camera[-1]),
    }
    exec(SCRIPT.replace("num_inference_steps=8", "num_inference_steps=2"), given)
    assert given["frames"].shape == (2, 5, 64, 96, 3)
    assert 0 <= given["frames"].min() < given["frames"].max() <= 1
    assert not np.array_equal(*given["frames"])
    assert len(capsys.readouterr().out.strip().splitlines()) == 2


def test_the_same_script_runs_wan_s_own_pipeline(tmp_path, capsys):
    """Class, folder, and the line of video and cameras are all that differs."""
    WanPipeline(
        tokenizer=ByT5Tokenizer(), text_encoder=tiny_text_encoder(), vae=tiny_vae(), scheduler=tiny_world().scheduler,
        transformer=WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=24, text_dim=32, freq_dim=32, ffn_dim=96, num_layers=2
        ),
    ).save_pretrained(tmp_path / "wan")  # fmt: skip
    others = {
        r"from outofsight import WorldModel": "from diffusers import WanPipeline",
        r'WorldModel\.from_pretrained\("mini"': f'WanPipeline.from_pretrained("{tmp_path / "wan"}"',
        r"video=video, context_cameras=context, target_cameras=target, ": "height=64, width=96, num_frames=5, ",
        "num_inference_steps=8": "num_inference_steps=2",
    }
    script = SCRIPT
    for ours, theirs in others.items():
        script, number = re.subn(ours, theirs, script)
        assert number == 1, ours
    given: dict = {}
    exec(script, given)
    assert given["frames"].shape == (2, 5, 64, 96, 3)
    assert not np.array_equal(*given["frames"])
    assert len(capsys.readouterr().out.strip().splitlines()) == 2
