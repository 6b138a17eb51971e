"""The script of docs/pipeline.md is a user's: it runs as it stands, on the bundled mini."""

import re
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from diffusers import WanPipeline

from outofsight.geometry.path_expressions import make_path

SCRIPT = re.search(
    r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "pipeline.md").read_text(), re.S
)[1]
OURS = {"video", "context_cameras", "target_cameras"}


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


def test_it_says_nothing_that_wan_s_pipeline_would_not_take_but_video_and_cameras():
    call = SCRIPT[SCRIPT.index("pipe(") :]
    names = set(re.findall(r"(\w+)=", call)) - {"device"}
    assert len(SCRIPT.strip().splitlines()) <= 22
    assert names - OURS <= set(signature(WanPipeline.__call__).parameters)
    assert names >= OURS
