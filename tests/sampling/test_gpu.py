"""What only a GPU can show. Run with `make test-gpu`."""

import numpy as np
import pytest
import torch

from golden import hydra, load_golden, relative_difference
from models import tiny_inputs, tiny_transformer, tiny_world
from outofsight.geometry.path_expressions import make_path
from outofsight.sampling.continuation import SamplingSettings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@torch.no_grad()
def test_golden_case_in_float32():
    case, weights = load_golden("dit_A_topk2"), load_golden("dit_A")
    model = hydra(case, weights).to("cuda")
    names = ("in.x", "in.timestep", "in.context", "in.cam_emb_con", "in.cam_emb_tgt")
    out = model(*(weights[name].cuda() for name in names)).sample.cpu()
    assert relative_difference(out, case["out.model_output"]) <= 1e-4  # TF32 is off by default


@torch.no_grad()
def test_bf16_is_near_float32():
    inputs = {key: value.cuda() for key, value in tiny_inputs().items()}
    exact = tiny_transformer().cuda()(**inputs).sample
    narrow = tiny_transformer().to("cuda", torch.bfloat16)
    halves = {key: value if key == "timestep" else value.bfloat16() for key, value in inputs.items()}
    assert relative_difference(narrow(**halves).sample.float(), exact) < 0.1


@pytest.mark.parametrize("offload", ["none", "model", "sequential"])
def test_continuation_and_who_stays_on_the_gpu(offload):
    world = tiny_world()
    world.set_progress_bar_config(disable=True)
    if offload == "model":
        world.enable_model_cpu_offload()
    elif offload == "sequential":
        world.enable_sequential_cpu_offload()
    else:
        world.to("cuda")
    video = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
    path = make_path("pan:left:20", 9)
    result = world.continue_video(
        video, path, path, "A fox crosses a yard.", SamplingSettings(num_inference_steps=2)
    )
    assert result.video.shape == (9, 32, 48, 3)
    assert next(world.text_encoder.parameters()).device.type != "cuda"
    on_cpu = tiny_world().continue_video(
        video, path, path, "A fox crosses a yard.", SamplingSettings(num_inference_steps=2)
    )
    assert np.abs(on_cpu.video.astype(int) - result.video).mean() < 2
