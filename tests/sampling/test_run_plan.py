"""The plan counts what a run does, without running it."""

import torch

from models import tiny_inputs, tiny_transformer, tiny_world
from outofsight.backbone.cost import forward_cost
from outofsight.codec.video_vae import LatentTiling
from outofsight.nn.live_bytes import peak_bytes
from outofsight.sampling.plan import VideoSize, networks_on_meta, plan_run

SIZE = VideoSize(height=96, width=160, context_frames=9, target_frames=13)


def test_live_bytes_of_a_hand_worked_run():
    def run():
        first = torch.empty(1000, device="meta")  # 4000 bytes
        second = first + 1  # 8000 live
        del first
        third = second * 2  # 8000 again
        view = third[:10]  # a view holds nothing of its own
        return view.float()  # 10 floats already are float: the same tensor

    assert peak_bytes(run) == 8000


def test_views_of_what_was_there_before_are_nothing_new():
    weight = torch.empty(100, 100, device="meta")
    assert peak_bytes(lambda: torch.empty(10, 100, device="meta") @ weight.t()) == 2 * 4000


def test_plan_is_read_from_the_folder_and_needs_no_weights(tmp_path):
    tiny_world().save_pretrained(tmp_path)
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    networks = networks_on_meta(str(tmp_path), torch.bfloat16)
    plan = plan_run(networks, SIZE, num_inference_steps=4, guided=True)
    assert (plan.grid.frames, plan.grid.height, plan.grid.width, plan.grid.context_frames) == (7, 6, 10, 3)
    assert plan.num_forwards == 8
    assert plan.denoise_flops == 8 * forward_cost(networks["transformer"].config, plan.grid).flops
    assert plan.num_parameters["transformer"] == sum(p.numel() for p in tiny_transformer().parameters())
    assert plan.weight_bytes["vae"] == 2 * plan.num_parameters["vae"]  # bfloat16


def test_tiles_and_chunks_need_less(tmp_path):
    tiny_world().save_pretrained(tmp_path)
    networks = networks_on_meta(str(tmp_path), torch.float32)
    whole = plan_run(networks, SIZE, num_inference_steps=1, guided=False).peak_bytes
    tiles = LatentTiling(tile=(4, 4), stride=(2, 2))
    networks["transformer"].attention_frames_per_chunk = 1
    spared = plan_run(networks, SIZE, num_inference_steps=1, guided=False, tiling=tiles).peak_bytes
    assert all(spared[stage] < whole[stage] for stage in ("encode", "decode", "denoise"))


def test_planned_peak_is_near_the_true_one():
    """Compare with what torch's profiler sees on the CPU: at most a thousandth less, and a quarter more."""
    inputs, model = tiny_inputs(context=4, target=6, height=12, width=20), tiny_transformer(ffn_dim=400)
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        model(**inputs)
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    meta_inputs = {key: value.to("meta") for key, value in inputs.items()}
    meta = tiny_transformer(ffn_dim=400).to("meta")
    assert 0.999 * peak <= peak_bytes(lambda: meta(**meta_inputs)) <= 1.25 * peak
