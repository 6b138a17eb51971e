"""What coming views look back to: scores, the choice, and tokens laid out where they belong, worked by hand."""

import pytest
import torch

from models import lens, turned_cameras
from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.retrieval import (
    SHARPNESS,
    BankRetrieval,
    Chunk,
    Rebuild,
    choose_slots,
    filled_slots,
    gathered,
    view_encoding,
)
from outofsight.memory.banks.state import Banks, BankSettings, RetrievedMemory, empty_banks
from outofsight.nn.rope import token_rays
from outofsight.types import LatentGrid

GRID = LatentGrid(frames=1, height=4, width=6)
LENS = lens(78, 4, 6)
DIM = 8


def chunk(poses: torch.Tensor, *, first_time: float = 9, first_index: int = 3) -> Chunk:
    times = first_time + 4.0 * torch.arange(poses.shape[1])
    return Chunk(poses, times.expand(len(poses), -1), GRID, LENS.expand(len(poses), -1), first_index)


def remembered(chosen: BankSettings, *degrees: float, tokens_per_slice: int = 24, seed: int = 0) -> Banks:
    """Banks whose first slots hold views from the origin, turned so far to the right, at times 0, 4, 8, ..."""
    banks = empty_banks(chosen, tokens_per_slice, DIM)
    archive = banks.archive
    tokens = torch.randn(archive.tokens.shape, generator=torch.Generator().manual_seed(seed))
    count = len(degrees)
    archive.poses[:, :count] = turned_cameras(*degrees)
    archive.times[:, :count] = 4.0 * torch.arange(count)
    archive.tokens[:, :count], archive.static[:, :count], archive.filled[:, :count] = (
        tokens[:, :count],
        1,
        True,
    )
    return banks


def followed(banks: Banks, num_frames: int, *positions: tuple[float, float, float]) -> PredictedSubjects:
    """Put subjects that stand still into the tracker's first slots, a metre wide and two high; return the forecast."""
    tracks, count = banks.tracks, len(positions)
    slots = tracks.filled.shape[1]
    where = torch.zeros(1, slots, 3)
    if count:
        where[0, :count] = torch.tensor(positions)
    tracks.position[:] = where
    tracks.box[:, :count] = torch.tensor([0.0, 0.0, 0.5, 1.0])
    tracks.tokens[:, :count] = torch.arange(1.0, count + 1).view(1, -1, 1, 1)
    tracks.filled[:, :count] = True
    position = where[:, None].expand(-1, num_frames, -1, -1)
    return PredictedSubjects(
        position, torch.zeros_like(position), torch.ones(1, num_frames, slots), tracks.filled
    )


def retrieved(
    banks: Banks, predicted: PredictedSubjects, coming: Chunk, chosen: BankSettings
) -> RetrievedMemory:
    with torch.no_grad():
        return gathered(banks, BankRetrieval(DIM, chosen), predicted, coming, chosen)


def scored(banks: Banks, predicted: PredictedSubjects, coming: Chunk, chosen: BankSettings) -> torch.Tensor:
    with torch.no_grad():
        return BankRetrieval(DIM, chosen).scores(banks, predicted.position, coming)


def test_empty_banks_score_nothing():
    chosen = BankSettings(archive_slots=3, subject_slots=2)
    banks = empty_banks(chosen, 24, DIM)
    retrieval = BankRetrieval(DIM, chosen)
    scores = retrieval.scores(banks, torch.zeros(1, 2, 2, 3), chunk(turned_cameras(0.0, 5.0)))
    assert torch.equal(scores, torch.zeros(1, 2, 5))
    scores.sum().backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in retrieval.parameters())


def test_empty_slots_score_exactly_nothing():
    chosen = BankSettings(archive_slots=4, subject_slots=2)
    banks = remembered(chosen, 0.0, 120.0)
    scores = scored(banks, followed(banks, 2, (0, 0, 5)), chunk(turned_cameras(0.0, 90.0)), chosen)
    assert torch.equal(scores[..., [2, 3, 5]], torch.zeros(1, 2, 3))
    assert torch.allclose(scores.sum(dim=-1), torch.ones(1, 2))


def test_scores_begin_as_softmax_of_common_views():
    """Equal views: q·m/√d = 8. Others: 8 times the cosine of what is near both."""
    chosen = BankSettings(archive_slots=3, subject_slots=1)
    banks, coming = remembered(chosen, 0.0, 40.0, 180.0), chunk(turned_cameras(0.0))
    near = view_encoding(coming.relative(banks.archive.poses), coming)[0]
    cosine = torch.nn.functional.cosine_similarity(near, near[:1], dim=-1)
    assert cosine[0] == pytest.approx(1)
    assert cosine[0] > cosine[1] + 0.1 > cosine[2] + 0.5
    expected = (SHARPNESS * cosine).softmax(dim=0)
    assert torch.allclose(scored(banks, followed(banks, 1), coming, chosen)[0, 0, :3], expected, atol=1e-5)


def test_each_coming_frame_asks_for_its_own_view():
    chosen = BankSettings(archive_slots=4, subject_slots=1)
    banks = remembered(chosen, 0.0, 90.0, 180.0, 270.0)
    scores = scored(banks, followed(banks, 3), chunk(turned_cameras(85.0, 190.0, 262.0)), chosen)
    assert scores[0, :, :4].argmax(dim=-1).tolist() == [1, 2, 3]


def test_places_that_look_the_same_way_are_told_apart_by_where_they_are():
    chosen = BankSettings(archive_slots=2, subject_slots=1)
    banks = remembered(chosen, 0.0, 0.0)
    banks.archive.poses[0, 1, 3] = 30.0  # the second view is 30 m to the right
    coming = turned_cameras(0.0)
    coming[..., 3] = 29.0
    assert scored(banks, followed(banks, 1), chunk(coming), chosen)[0, 0].argmax() == 1


def test_a_subject_predicted_in_view_goes_before_places_out_of_view():
    chosen = BankSettings(archive_slots=2, subject_slots=3)
    banks = remembered(chosen, 90.0, 180.0)
    predicted = followed(banks, 1, (0.0, 1.0, 6.0), (0.0, 1.0, -6.0), (2.0, 1.0, 6.0))
    ahead, behind, beside = scored(banks, predicted, chunk(turned_cameras(0.0)), chosen)[0, 0, 2:].tolist()
    assert ahead > beside > 0.2
    assert behind < 1e-3


def test_scores_do_not_depend_on_the_anchor():
    """Everything moved and turned together, as from another anchor frame."""
    chosen = BankSettings(archive_slots=3, subject_slots=1)
    banks, poses = remembered(chosen, 0.0, 60.0, 200.0), turned_cameras(10.0, 50.0)
    predicted = followed(banks, 2, (1.0, 0.5, 7.0))
    before = scored(banks, predicted, chunk(poses), chosen)
    turn, shift = turned_cameras(73.0)[0, 0].view(3, 4)[:, :3], torch.tensor([40.0, -2.0, 90.0])

    def carried(cameras: torch.Tensor) -> torch.Tensor:
        matrices = cameras.unflatten(-1, (3, 4))
        moved = turn @ matrices
        moved[..., 3] += shift
        return moved.flatten(-2)

    elsewhere = banks._replace(archive=banks.archive._replace(poses=carried(banks.archive.poses)))
    predicted = predicted._replace(position=predicted.position @ turn.T + shift)
    assert torch.allclose(scored(elsewhere, predicted, chunk(carried(poses)), chosen), before, atol=1e-4)


def test_scores_do_not_depend_on_how_tokens_lie_in_memory():
    """Not by the last bit: a tracker leaves its tokens transposed, and one that was read from a file does not."""
    chosen, draw = BankSettings(archive_slots=2, subject_slots=4, top_k=2), torch.Generator().manual_seed(0)
    banks = remembered(chosen, 0)
    predicted = followed(banks, 3, (0, 0, 6), (1, 0, 6), (-1, 0, 6), (0, 0, 9))
    tokens = torch.randn(banks.tracks.tokens.shape, generator=draw)
    retrieval, coming = BankRetrieval(DIM, chosen), chunk(turned_cameras(0, 5, 10))
    torch.nn.init.normal_(retrieval.subject_content.weight, generator=draw)
    lying = tokens, tokens.transpose(2, 3).contiguous().transpose(2, 3)
    with torch.no_grad():
        one, other = (
            retrieval.scores(
                banks._replace(tracks=banks.tracks._replace(tokens=given)), predicted.position, coming
            )
            for given in lying
        )
    assert torch.equal(one, other)


def test_the_best_slots_are_chosen_for_the_whole_chunk():
    scores = torch.tensor([[[0.6, 0.0, 0.3, 0.1, 0.0], [0.0, 0.0, 0.5, 0.1, 0.4]]])
    filled = torch.tensor([[True, False, True, True, True]])
    slots, known = choose_slots(scores, filled, 3)  # sums: 0.6, –, 0.8, 0.2, 0.4
    assert slots.tolist() == [[2, 0, 4]]
    assert known.all()
    slots, known = choose_slots(scores, filled, 9)  # everything, the empty one last and not known
    assert slots.tolist() == [[2, 0, 4, 3, 1]]
    assert known.tolist() == [[True, True, True, True, False]]


def test_select_everything_fetches_every_filled_slot():
    chosen = BankSettings(archive_slots=5, subject_slots=3, top_k=8)
    banks = remembered(chosen, 0.0, 90.0, 180.0, 270.0)
    found = retrieved(
        banks, followed(banks, 2, (0, 1, 6), (1, 1, 5)), chunk(turned_cameras(0.0, 5.0)), chosen
    )
    places = found.slots[0][found.known[0] & ~found.subjects[0]]
    assert sorted(places.tolist()) == sorted([0, 1, 2, 3] * 24)
    subjects = found.slots[0][found.known[0] & found.subjects[0]]
    assert sorted(subjects.tolist()) == sorted([5, 6] * 2 * 9)  # 2 frames × 9 identity tokens
    for slot in range(4):
        held = found.tokens[0, : 5 * 24][(found.slots[0] == slot)[: 5 * 24] & found.known[0, : 5 * 24]]
        assert torch.equal(held, banks.archive.tokens[0, slot])


def test_how_much_is_recalled_depends_on_settings_alone():
    chosen = BankSettings(archive_slots=6, subject_slots=2, top_k=4, subject_grid=(2, 2))
    full = remembered(chosen, *range(0, 360, 60))
    coming = chunk(turned_cameras(0.0, 10.0, 20.0))
    few = retrieved(full, followed(full, 3, (0, 1, 6)), coming, chosen)
    empty = empty_banks(chosen, 24, DIM)
    none = retrieved(empty, followed(empty, 3), coming, chosen)
    assert few.tokens.shape == none.tokens.shape == (1, 4 * 24 + 2 * 3 * 4, DIM)
    assert [value.shape for value in few] == [value.shape for value in none]
    assert [value.dtype for value in few] == [value.dtype for value in none]
    assert not none.known.any()
    assert not none.tokens.any()
    # One of the four is the subject, so three slices are known, and the room for a fourth is left empty.
    assert few.known[0, : 4 * 24].sum() == 3 * 24
    assert few.known[0, 4 * 24 :].sum() == 3 * 4
    assert not few.tokens[~few.known].any()


def test_recalled_slices_lie_where_context_frames_of_their_age_lay():
    """Context of 9 video frames = 3 latent frames at 0, 4, 8; the target begins at 9, in the sequence at index 3."""
    chosen = BankSettings(archive_slots=3, subject_slots=1, top_k=3)
    banks = remembered(chosen, 0.0, 4.0, 8.0)
    found = retrieved(banks, followed(banks, 1), chunk(turned_cameras(12.0)), chosen)
    for slot in range(3):
        mine = (found.slots[0] == slot) & ~found.subjects[0]
        time, row, column = found.places[0][mine].T
        assert time.tolist() == [slot] * 24
        assert row.tolist() == [r for r in range(4) for _ in range(6)]
        assert column.tolist() == list(range(6)) * 4
    # One step later in a rollout (the next chunk is 8 video frames on, at index 2 of a shorter sequence):
    later = chunk(turned_cameras(12.0), first_time=17, first_index=2)
    found = retrieved(banks, followed(banks, 1), later, chosen)
    assert found.places[0, found.known[0], 0].unique().tolist() == [0]  # all before the sequence's beginning


def test_recalled_slices_are_posed_relative_to_the_chunk():
    chosen = BankSettings(archive_slots=2, subject_slots=1)
    banks = remembered(chosen, 10.0, 50.0)
    found = retrieved(banks, followed(banks, 1), chunk(turned_cameras(30.0)), chosen)
    for slot, degrees in enumerate((-20.0, 20.0)):
        mine = (found.slots[0] == slot) & ~found.subjects[0] & found.known[0]
        pose = turned_cameras(degrees)
        assert torch.allclose(found.poses[0][mine], pose[0].expand(24, -1), atol=1e-6)
        directions, moments = token_rays(pose, GRID, LENS)
        assert torch.allclose(found.directions[0][mine], directions[0], atol=1e-6)
        assert torch.allclose(found.moments[0][mine], moments[0], atol=1e-6)
    assert found.frames[0][~found.subjects[0]].unique().tolist() == [-1]


def test_a_slice_of_larger_tokens_spreads_over_the_same_picture():
    chosen = BankSettings(archive_slots=1, subject_slots=1, kernel=(1, 2, 2))
    banks = remembered(chosen, 0.0, tokens_per_slice=6)
    found = retrieved(banks, followed(banks, 1), chunk(turned_cameras(0.0)), chosen)
    mine = ~found.subjects[0]
    assert found.places[0][mine][:, 1].tolist() == [0, 0, 0, 2, 2, 2]
    assert found.places[0][mine][:, 2].tolist() == [0, 2, 4] * 2
    directions, _ = token_rays(turned_cameras(0.0), LatentGrid(frames=1, height=2, width=3), LENS)
    assert torch.allclose(found.directions[0][mine], directions[0], atol=1e-6)


def test_a_subject_stands_in_every_coming_frame_where_it_is_predicted():
    """Straight ahead: the middle of 4 × 6 tokens is row 1.5, column 2.5. The camera turns right: it moves left."""
    chosen = BankSettings(archive_slots=1, subject_slots=2, subject_grid=(3, 3))
    banks = remembered(chosen, 0.0)
    predicted = followed(banks, 3, (0.0, 0.0, 6.0))
    found = retrieved(banks, predicted, chunk(turned_cameras(0.0, 20.0, 180.0)), chosen)
    subject = found.subjects[0] & (found.slots[0] == 1)
    by_frame = [subject & (found.frames[0] == frame) & found.known[0] for frame in range(3)]
    assert [int(each.sum()) for each in by_frame] == [9, 9, 0]  # turned round, it is not seen
    rows, columns = (found.places[0][by_frame[0]][:, axis].view(3, 3) for axis in (1, 2))
    assert rows[1, 1] == pytest.approx(1.5)
    assert columns[1, 1] == pytest.approx(2.5)
    # 78° over 6 tokens at 6 m: a metre is 3 / tan 39° / 6 = 0.617 tokens; the box's cells lie ±1/3 m apart across.
    assert columns[1, 2] - columns[1, 1] == pytest.approx(0.617 / 3, abs=1e-3)
    assert rows[2, 1] - rows[1, 1] == pytest.approx(0.617 * 2 / 3, abs=1e-3)
    # tan 20° / tan 39° of the half width of 3 tokens to the left
    assert found.places[0][by_frame[1]][4, 2] == pytest.approx(2.5 - 3 * 0.36397 / 0.80978, abs=1e-3)
    assert found.places[0][by_frame[1]][:, 0].unique().tolist() == [4]  # the second coming frame's own time
    assert torch.allclose(found.directions[0][by_frame[0]][4], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)
    # Rays are told in the frame of the chunk's first camera, whatever frame they are for.
    assert torch.allclose(found.directions[0][by_frame[1]][4], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)


def _rays(poses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rays = token_rays(poses, LatentGrid(frames=poses.shape[1], height=4, width=6), LENS)
    return tuple(value.unflatten(1, (poses.shape[1], 24)) for value in rays)


def test_rebuilding_mixes_what_lies_on_the_same_rays_by_score():
    """Two slots of one view, scores 0.75 and 0.25 of both: 0.75·a + 0.25·b, where only rays that are equal count."""
    chosen = BankSettings(archive_slots=2, subject_slots=1)
    banks, coming = remembered(chosen, 0.0, 0.0), chunk(turned_cameras(0.0))
    found = retrieved(banks, followed(banks, 1), coming, chosen)
    found = found._replace(scores=torch.tensor([[[0.75, 0.25, 0.0]]]))
    rebuild = Rebuild()
    rebuild.log_ray_sharpness.data.fill_(9.0)
    rebuilt = rebuild(banks.archive, found, *_rays(turned_cameras(0.0)))
    expected = 0.75 * banks.archive.tokens[0, 0] + 0.25 * banks.archive.tokens[0, 1]
    assert torch.allclose(rebuilt[0, 0], expected, atol=1e-4)


def test_rebuilding_leaves_out_what_showed_a_subject():
    chosen = BankSettings(archive_slots=2, subject_slots=1)
    banks = remembered(chosen, 0.0, 0.0)
    banks.archive.static[0, 1] = 0
    found = retrieved(banks, followed(banks, 1), chunk(turned_cameras(0.0)), chosen)
    rebuild = Rebuild()
    rebuild.log_ray_sharpness.data.fill_(9.0)
    rebuilt = rebuild(banks.archive, found, *_rays(turned_cameras(0.0)))
    assert torch.allclose(rebuilt[0, 0], banks.archive.tokens[0, 0], atol=1e-4)


def test_nothing_is_rebuilt_of_nothing():
    chosen = BankSettings(archive_slots=2, subject_slots=1)
    banks = empty_banks(chosen, 24, DIM)
    predicted = followed(banks, 1, (0.0, 0.0, 5.0))  # a subject is no background
    found = retrieved(banks, predicted, chunk(turned_cameras(0.0)), chosen)
    assert found.known.any()
    rebuild, rays = Rebuild(), _rays(turned_cameras(0.0))
    assert not rebuild(banks.archive, found, *rays).any()
    assert not rebuild.covered(banks.archive, found, *rays).any()


def test_a_revisited_view_is_covered_and_a_new_one_is_not():
    chosen = BankSettings(archive_slots=2, subject_slots=1)
    banks, poses = remembered(chosen, 0.0), turned_cameras(0.0, 39.0, 180.0)
    found = retrieved(banks, followed(banks, 3), chunk(poses), chosen)
    covered = Rebuild().covered(banks.archive, found, *_rays(poses))[0]
    assert torch.allclose(covered[0], torch.ones(24), atol=1e-4)
    by_column = covered[1].view(4, 6).mean(dim=0)
    assert by_column[0] > 0.7 > by_column[3] > by_column[5]  # turned by half the view
    assert covered[2].max() < 1e-4


def test_the_background_teaches_what_to_fetch_and_what_to_hold():
    chosen = BankSettings(archive_slots=3, subject_slots=1)
    banks = remembered(chosen, 0.0, 20.0, 40.0)
    banks.archive.tokens.requires_grad_(True)
    retrieval, rebuild, coming = BankRetrieval(DIM, chosen), Rebuild(), chunk(turned_cameras(15.0, 25.0))
    found = gathered(banks, retrieval, followed(banks, 2), coming, chosen)
    rays = _rays(coming.relative(coming.poses))
    rebuild(banks.archive, found, *rays).square().sum().backward()
    learning = {
        name for name, value in retrieval.named_parameters() if value.grad is not None and value.grad.any()
    }
    assert {
        "query_place.weight",
        "memory_place.weight",
        "query_content.weight",
        "memory_content.weight",
    } <= learning
    assert banks.archive.tokens.grad.any()
    assert rebuild.log_ray_sharpness.grad.isfinite()


def test_filled_slots_are_those_of_both_banks():
    chosen = BankSettings(archive_slots=2, subject_slots=2)
    banks = remembered(chosen, 0.0)
    followed(banks, 1, (0, 0, 4))
    assert filled_slots(banks).tolist() == [[True, False, True, False]]


def test_geometry_is_not_rounded_under_autocast():
    chosen = BankSettings(archive_slots=3, subject_slots=1)
    banks, coming = remembered(chosen, 3.0, 41.0, 100.0), chunk(turned_cameras(17.0, 22.0))
    predicted = followed(banks, 2, (1.0, 0.3, 5.0))
    plain = retrieved(banks, predicted, coming, chosen)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = retrieved(banks, predicted, coming, chosen)
    for name in ("places", "poses", "directions", "moments", "scores", "tokens"):
        assert torch.allclose(getattr(plain, name), getattr(rounded, name), atol=1e-6), name
