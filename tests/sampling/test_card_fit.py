"""What fits a card is counted on shapes alone."""

from models import tiny_text_encoder, tiny_transformer, tiny_vae
from outofsight.sampling.card_fit import (
    CHUNK,
    OFFLOAD,
    SEQUENTIAL,
    TILES,
    GpuRun,
    generation_bytes,
    generation_ways,
    rollout_bytes,
    rollout_size,
    rollout_ways,
)
from outofsight.sampling.plan import VideoSize

SIZE = VideoSize(height=64, width=96, context_frames=5, target_frames=5)


def networks(**changes):
    return {
        "transformer": tiny_transformer(**changes).to("meta"),
        "vae": tiny_vae().to("meta"),
        "text_encoder": tiny_text_encoder().to("meta"),
    }


def test_flags_need_less_from_way_to_way():
    parts = networks()
    needs = generation_ways(parts, SIZE, guided=True)
    assert (
        generation_bytes(parts, SIZE, GpuRun(offload="model", tile_vae=True)) == needs[f"{OFFLOAD} {TILES}"]
    )
    assert needs[f"{OFFLOAD} {TILES}"] < needs[TILES] <= needs[""]
    assert needs[f"{OFFLOAD} {TILES}"] <= needs[OFFLOAD] < needs[""]
    assert (
        needs[f"{SEQUENTIAL} {TILES} {CHUNK}"]
        < needs[f"{OFFLOAD} {TILES} {CHUNK}"]
        <= needs[f"{OFFLOAD} {TILES}"]
    )


def test_a_rollout_s_state_is_on_the_card():
    parts = networks()
    needs = rollout_ways(parts, SIZE, 2, guided=True)
    assert rollout_bytes(parts, SIZE, 2, GpuRun(offload="model")) == needs[OFFLOAD]
    assert needs[OFFLOAD] < needs[""]
    assert needs[OFFLOAD] > rollout_size(parts, SIZE, 2).state > 0
