"""Views and cut-outs in the banks: filed where their slices are, renewed where subjects are seen, kept as they are."""

from math import pi

import pytest
import torch

from outofsight.errors import InputError
from outofsight.memory.banks.pictures import (
    CUT_NOISE,
    CUT_QUALITY,
    MARGIN_PX,
    WHOLE_NOISE,
    Pictures,
    cut_out,
    empty_cutouts,
    empty_views,
    filed,
    joined,
    kept_best,
    own_masks,
    read_with_masks,
    renewed,
    side_index,
    token_parts,
    view_of,
)
from outofsight.memory.banks.scene_reader import CERTAIN
from outofsight.memory.banks.state import (
    Archive,
    BankSettings,
    SceneReading,
    Tracks,
    bank_tensors,
    banks_from_tensors,
    empty_banks,
)
from outofsight.memory.banks.two_banks import TwoBankMemory
from outofsight.memory.rendering import PlacedSubjects, render
from outofsight.types import LatentGrid
from rendered_scenes import (
    BLUE,
    GREEN,
    LENS,
    RED,
    SIZE,
    boards,
    noise_picture,
    painted,
    picture_of,
    placed,
    pose,
    to_bytes,
    views_of,
    within,
)

SLOTS = 3


def archive(poses: list[torch.Tensor], times: list[float]) -> Archive:
    """An archive whose first slots are filled."""
    empty = empty_banks(BankSettings(archive_slots=SLOTS, identity_width=4), 4, 6).archive
    count = len(poses)
    places = (
        torch.cat((torch.stack(poses, dim=1), torch.zeros(1, SLOTS - count, 12)), dim=1)
        if poses
        else empty.poses
    )
    return empty._replace(
        poses=places,
        times=torch.tensor([times + [0.0] * (SLOTS - count)]),
        filled=(torch.arange(SLOTS) < count)[None],
    )


# Views


def test_a_view_knows_which_of_its_pixels_are_static():
    subject = torch.zeros(SIZE)
    subject[6:9, 10:14] = 1
    view = view_of(picture_of(noise_picture(), subject, pose(3.0), time=7.0))
    hidden = torch.zeros(SIZE, dtype=torch.bool)
    hidden[6 - MARGIN_PX : 9 + MARGIN_PX, 10 - MARGIN_PX : 14 + MARGIN_PX] = True
    assert torch.equal(view.static[0, 0] == 0, hidden)
    assert (view.static[0, 0][~hidden] == 255).all()
    assert torch.equal(view.pixels[0, 0], noise_picture())
    assert (view.times.item(), view.filled.item()) == (7.0, True)


def test_a_view_goes_where_its_slice_went():
    views = empty_views(1, SLOTS, SIZE)
    nothing, first = archive([], []), archive([pose()], [0.0])
    second = archive([pose(), pose(60.0)], [0.0, 4.0])
    views = filed(views, nothing, first, picture_of(noise_picture(0), time=0.0))
    views = filed(views, first, second, picture_of(noise_picture(1), camera=pose(60.0), time=4.0))
    assert views.filled.tolist() == [[True, True, False]]
    assert views.times.tolist() == [[0, 4, -1]]
    assert torch.equal(views.pixels[0, 0], noise_picture(0))
    assert torch.equal(views.pixels[0, 1], noise_picture(1))
    assert torch.equal(views.poses[0, 1], pose(60.0)[0])
    left_out = filed(views, second, second, picture_of(noise_picture(2), camera=pose(90.0), time=8.0))
    for name in views._fields[:6]:
        assert torch.equal(getattr(left_out, name), getattr(views, name)), name


def test_a_slot_that_is_written_anew_shows_the_new_view_alone():
    before, after = archive([pose(), pose(60.0)], [0.0, 4.0]), archive([pose(120.0), pose(60.0)], [8.0, 4.0])
    views = views_of(pose(), pose(60.0), pose())._replace(times=torch.tensor([[0.0, 4, -1]]))
    views.filled[0, 2] = False
    views.static[0, 0] = 0
    new = filed(views, before, after, picture_of(noise_picture(2), camera=pose(120.0), time=8.0))
    assert torch.equal(new.pixels[0, 0], noise_picture(2))
    assert (new.static[0, 0] == 255).all()
    assert torch.equal(new.poses[0, 0], pose(120.0)[0])
    assert torch.equal(new.pixels[0, 1], views.pixels[0, 1])


def test_a_merge_fills_in_what_was_hidden_and_nothing_else():
    """The slot keeps its pose; what the subject hid there is taken from the new view, turned to that pose."""
    before, after = archive([pose()], [0.0]), archive([pose()], [4.0])
    hidden = torch.zeros(SIZE)
    hidden[4:8, 10:16] = 1
    sky = to_bytes(painted(pose()))
    old = view_of(picture_of(torch.where(hidden.bool(), 255, sky.int()).to(torch.uint8), hidden))
    rest = empty_views(1, SLOTS - 1, SIZE)
    views = joined((old, rest))
    covered = old.static[0, 0] == 0
    new = filed(views, before, after, picture_of(to_bytes(painted(pose(3.0))), camera=pose(3.0), time=4.0))
    assert torch.equal(new.poses[0, 0], pose()[0])
    assert new.times[0, 0] == 4.0
    assert (new.static[0, 0] > 250).all()
    assert torch.equal(new.pixels[0, 0][:, ~covered], views.pixels[0, 0][:, ~covered])
    filled_in = (new.pixels[0, 0].int() - sky.int()).abs()[:, covered]
    assert filled_in.max() < 8
    # A second subject at the same place hides as much again, and takes nothing away.
    again = filed(views, before, after, picture_of(noise_picture(), hidden, pose(), time=4.0))
    assert torch.equal(again.pixels[0, 0], views.pixels[0, 0])
    assert torch.equal(again.static[0, 0], views.static[0, 0])


def test_what_a_merge_cannot_see_stays_hidden():
    before, after = archive([pose()], [0.0]), archive([pose()], [4.0])
    views = joined((views_of(pose()), empty_views(1, SLOTS - 1, SIZE)))
    views.static[:] = 0
    new = filed(views, before, after, picture_of(to_bytes(painted(pose(30.0))), camera=pose(30.0), time=4.0))
    assert torch.equal(new.static[0, 0] > 128, within(pose(), pose(30.0)))


# Cut-outs


def textured_subject() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture of the sky with a subject of slow colours in rows 5 to 12, columns 11 to 20, and its mask."""
    mask = torch.zeros(SIZE)
    mask[5:13, 11:21] = 1
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, SIZE[0]), torch.linspace(0, 1, SIZE[1]), indexing="ij"
    )
    own = torch.stack((rows * 255, 255 - columns * 255, 128 + 0 * rows)).round().to(torch.uint8)
    return torch.where(mask.bool(), own, to_bytes(painted(pose()))), mask


@pytest.mark.parametrize("camera", [pose(), pose(25.0, (1.0, 0.2, -0.5))])
def test_a_cut_out_put_back_at_its_place_gives_back_the_subjects_pixels(camera):
    pixels, mask = textured_subject()
    place = camera.reshape(3, 4)[:, :3] @ torch.tensor([0.1, 0.9, 5.0]) + camera.reshape(3, 4)[:, 3]
    position = place.expand(1, 1, 3)
    picture = picture_of(pixels, mask, camera)
    cut = cut_out(picture, mask[None, None], position, torch.zeros(1, 1, 3))
    nobody = views_of(pose(), filled=torch.zeros(1, 1, dtype=torch.bool))
    there = PlacedSubjects(position[:, None], torch.zeros(1, 1, 1, 3), torch.ones(1, 1, 1))
    shown = render(nobody, camera[:, None], LENS, SIZE, cut, there)
    assert torch.equal(shown.subject[0, 0] > 0.5, mask > 0)
    core = torch.zeros(SIZE, dtype=torch.bool)
    core[6:12, 12:20] = True
    assert (shown.subject[0, 0][core] > 0.99).all()
    apart = (to_bytes(shown.pixels[0, 0]).int() - pixels.int()).abs()[:, core]
    assert apart.max() <= 6


def test_half_as_far_it_is_twice_as_large():
    pixels, mask = textured_subject()
    cut = cut_out(
        picture_of(pixels, mask), mask[None, None], torch.tensor([[[0, 0, 6.0]]]), torch.zeros(1, 1, 3)
    )
    nobody = views_of(pose(), filled=torch.zeros(1, 1, dtype=torch.bool))
    shown = render(nobody, pose()[:, None], LENS, SIZE, cut, placed((0, 0, 3.0)))
    # Its middle is 1 row above and half a column right of the picture's; at half the distance twice as much.
    rows, columns = (shown.subject[0, 0] > 0.5).nonzero().unbind(dim=1)
    assert (int(columns.min()), int(columns.max())) == (6, 25)
    assert int(rows.min()) == 2
    assert int(rows.max()) in (SIZE[0] - 1, 2 + 15)


def test_quality_tells_how_well_a_subject_is_seen():
    whole, cut, tiny, none = (torch.zeros(SIZE) for _ in range(4))
    whole[4:10, 10:20] = 1
    cut[4:10, 0:10] = 1
    tiny[4:6, 10:13] = 1
    masks = torch.stack((whole, cut, tiny, none))[None]
    position = torch.tensor([[[0.0, 0.5, 5.0]] * 4])
    made = cut_out(picture_of(noise_picture()), masks, position, torch.zeros(1, 4, 3))
    quality = made.quality[0, :, 0].tolist()
    assert quality[0] == pytest.approx(1.0)
    assert quality[1] == pytest.approx(CUT_QUALITY)
    assert quality[2:] == [0, 0]
    assert all(part.isfinite().all() for part in (made.box, made.side, made.quality))
    behind = cut_out(picture_of(noise_picture()), masks[:, :1], -position[:, :1], torch.zeros(1, 1, 3))
    assert behind.quality.item() == 0


def test_a_cut_out_without_a_pixel_is_never_drawn():
    made = cut_out(
        picture_of(noise_picture()),
        torch.zeros(1, 1, *SIZE),
        torch.tensor([[[0, 0, 4.0]]]),
        torch.zeros(1, 1, 3),
    )
    kept = kept_best(empty_cutouts(1, 1), made)
    assert not kept.quality.any()
    sky = views_of(pose())
    shown = render(sky, pose()[:, None], LENS, SIZE, kept, placed((0, 0, 4.0)))
    assert torch.equal(shown.pixels, render(sky, pose()[:, None], LENS, SIZE).pixels)
    assert not shown.subject.any()


def test_sides():
    assert side_index(torch.tensor([0.0, pi / 2, pi, -pi, -pi / 2, 0.7, 0.9])).tolist() == [
        0,
        1,
        2,
        2,
        3,
        0,
        1,
    ]


def test_each_side_keeps_its_best_and_latest():
    def one(colour, side, quality):
        cut = boards(colour)
        return cut._replace(side=torch.full((1, 1, 1), side), quality=torch.full((1, 1, 1), quality))

    kept = empty_cutouts(1, 1)
    for colour, side, quality in (
        (RED, 0.1, 1.0),
        (BLUE, pi / 2, 0.3),
        (GREEN, 0.0, 0.5),
        (GREEN, pi / 2, 0.28),
    ):
        kept = kept_best(kept, one(colour, side, quality))
    assert kept.quality[0, 0].tolist() == pytest.approx([1.0, 0.28, 0, 0])
    assert kept.pixels[0, 0, :2, :3, 20, 20].tolist() == [list(RED), list(GREEN)]
    later = kept_best(kept, one(BLUE, 0.0, 0.86))
    assert later.pixels[0, 0, 0, :3, 20, 20].tolist() == list(BLUE)
    nothing = kept_best(later, one(RED, 0.0, 0.0))
    assert torch.equal(nothing.pixels, later.pixels)


def test_what_hangs_together_is_divided_where_two_claim_it_and_told_to_be_sliced():
    subject, shares = torch.zeros(1, *SIZE), torch.zeros(1, 2, 4, 8)
    subject[0, 4:12, 8:24] = 1
    shares[0, 0, :, :4], shares[0, 1, :, 4:] = 0.9, 0.9
    masks, sliced = own_masks(subject, shares)
    assert (masks[0, 0, 4:12, 8:16] == 1).all()
    assert (masks[0, 1, 4:12, 16:24] == 1).all()
    torch.testing.assert_close(masks.sum(dim=1), subject)
    assert sliced.all()
    masks, sliced = own_masks(subject, torch.zeros(1, 2, 4, 8))
    assert not masks.any()
    assert not sliced.any()


def test_what_hangs_together_is_wholly_his_who_alone_claims_enough_of_it():
    """A reading that errs in single tokens left half of a horse, or a veil of it."""
    subject, shares = torch.zeros(1, *SIZE), torch.zeros(1, 2, 4, 8)
    subject[0, 2:14, 4:20] = 1
    subject[0, 4:12, 26:30] = 1
    shares[0, 0, 2:, 1:4] = 1.0  # its upper half, and its last column, are not believed
    shares[0, 1, :, 4] = 0.2
    shares[0, 1, :, 6:] = 1.0
    masks, sliced = own_masks(subject, shares)
    assert torch.equal(masks[0, 0, :, :24], subject[0, :, :24])
    assert torch.equal(masks[0, 1, :, 24:], subject[0, :, 24:])
    assert masks.sum() == subject.sum()
    assert not sliced.any()


def tracks(*, born: list[float], taken: list[bool], visibility: list[float]) -> Tracks:
    empty = empty_banks(BankSettings(subject_slots=len(born), identity_width=4), 4, 6).tracks
    return empty._replace(
        position=torch.tensor([[[0.0, 0.5, 5.0]] * len(born)]),
        born=torch.tensor([born]),
        filled=torch.tensor([taken]),
        visibility=torch.tensor([visibility]),
    )


def held(colour: tuple[int, int, int], subjects: int) -> object:
    return kept_best(empty_cutouts(1, subjects), boards(*[colour] * subjects))


def test_only_who_is_seen_is_renewed():
    subject, shares = torch.zeros(SIZE), torch.zeros(1, 3, 4, 8)
    subject[4:12, 8:24] = 1
    shares[0, 0] = 1.0
    picture = picture_of(noise_picture(), subject, time=8.0)
    old = held(RED, 3)
    new = renewed(old, tracks(born=[0.0] * 3, taken=[True] * 3, visibility=[1.0, 1.0, 0.0]), shares, picture)
    assert not torch.equal(new.pixels[0, 0, 0], old.pixels[0, 0, 0])
    assert torch.equal(
        new.pixels[0, 1:], old.pixels[0, 1:]
    )  # its tokens show the first; and one that is not seen
    unseen = renewed(old, tracks(born=[0.0] * 3, taken=[True] * 3, visibility=[0.0] * 3), shares, picture)
    assert torch.equal(unseen.pixels, old.pixels)
    assert torch.equal(unseen.quality, old.quality)


def test_a_slice_of_what_two_claim_is_worth_little():
    subject, shares = torch.zeros(SIZE), torch.zeros(1, 2, 4, 8)
    subject[4:12, 8:24] = 1
    shares[0, 0, :, :4], shares[0, 1, :, 4:] = 1.0, 1.0
    both = tracks(born=[0.0, 0.0], taken=[True, True], visibility=[1.0, 1.0])
    made = renewed(empty_cutouts(1, 2), both, shares, picture_of(noise_picture(), subject, time=8.0))
    assert made.quality[0].amax(dim=1).tolist() == pytest.approx([CUT_QUALITY] * 2)


def test_what_was_truly_seen_is_not_renewed_by_what_a_model_made_of_it():
    subject, shares = torch.zeros(SIZE), torch.zeros(1, 1, 4, 8)
    subject[4:12, 8:24], shares[0, 0] = 1, 1.0
    picture = picture_of(noise_picture(), subject, time=8.0)
    seen = tracks(born=[0.0], taken=[True], visibility=[1.0])
    true = renewed(empty_cutouts(1, 1), seen, shares, picture)
    other = picture._replace(frame=255 - picture.frame, generated=True)
    kept = renewed(true, seen, shares, other)
    assert torch.equal(kept.pixels, true.pixels)
    assert torch.equal(kept.quality, true.quality)
    first = renewed(empty_cutouts(1, 1), seen, shares, other)  # better than none
    assert first.quality.amax() == pytest.approx(0.4 * true.quality.amax())
    moving = seen._replace(
        velocity=torch.tensor([[[0.1, 0.0, 0.0]]])
    )  # seen from its side: there is no cut-out of it
    assert torch.equal(renewed(true, moving, shares, other).quality, true.quality)
    assert (renewed(true, moving, shares, picture).quality > 0).sum() == 2


def test_a_newborn_in_a_dead_subjects_slot_loses_the_old_cut_outs():
    subject, shares = torch.zeros(SIZE), torch.zeros(1, 3, 4, 8)
    picture = picture_of(noise_picture(), subject, time=8.0)
    new = renewed(
        held(RED, 3),
        tracks(born=[8.0, 4.0, 0.0], taken=[True, True, False], visibility=[1.0] * 3),
        shares,
        picture,
    )
    assert new.quality[0].amax(dim=1).tolist() == [0, 1, 0]  # newborn, older, nobody


# Masks, believed by the banks


def doubtful(frames: int = 1) -> SceneReading:
    """A reading of 2×4 tokens (8×8 pixels each) that says nothing: even chances, bearings of a tenth of a token."""
    shape = (1, frames, 2, 4)
    return SceneReading(
        dynamic=torch.zeros(shape), distance=torch.zeros(shape), offset=torch.full((*shape, 2), 0.1),
        identity=torch.ones(*shape, 4) / 2, clarity=torch.zeros(shape), noise=torch.full(shape, -2.0),
    )  # fmt: skip


def test_a_whole_mask_tells_who_is_where_and_is_surer():
    subject = torch.zeros(1, 1, *SIZE)
    subject[..., 4:8, 6:14] = 1  # columns 6 to 13 of 32: the middle is 10/32 of the width, 1.25 − ½ tokens
    seen = read_with_masks(doubtful(), subject)
    assert (seen.dynamic[0, 0, 0, :2] > 0.5).all()
    assert (seen.dynamic[0, 0, 1] == -CERTAIN).all()
    assert (seen.dynamic[0, 0, 0, 2:] == -CERTAIN).all()
    torch.testing.assert_close(seen.offset[0, 0, 0, :2, 0], torch.tensor([0.75, -0.25]))
    assert (seen.offset[..., 1] == 0.1).all()
    assert (seen.offset[0, 0, 1, :, 0] == 0.1).all()
    torch.testing.assert_close(seen.noise[0, 0, 0, :2], torch.full((2,), -2.0 + WHOLE_NOISE))


@pytest.mark.parametrize("columns", [slice(0, 9), slice(22, 32)])
def test_a_mask_that_the_side_cuts_off_keeps_the_readings_bearing_and_is_less_sure(columns):
    subject = torch.zeros(1, 1, *SIZE)
    subject[..., 4:12, columns] = 1
    seen = read_with_masks(doubtful(), subject)
    assert (seen.offset == 0.1).all()
    assert (seen.noise == -2.0 + CUT_NOISE).all()
    assert (seen.dynamic > 1).any()


def test_two_masks_have_a_middle_each_and_specks_have_none():
    subject = torch.zeros(1, 2, *SIZE)
    subject[0, 0, 1:7, 2:6] = 1
    subject[0, 0, 1:7, 20:28] = 1
    subject[0, 1, 1:7, 9:15] = 1  # the next frame: not joined with the first
    subject[0, 1, 12, 30] = 1
    seen = read_with_masks(doubtful(frames=2), subject)
    assert seen.offset[0, 0, 0, 0, 0] == 0.0
    torch.testing.assert_close(seen.offset[0, 0, 0, 2:, 0], torch.tensor([0.5, -0.5]))
    assert seen.offset[0, 1, 0, 1, 0] == 0.0
    assert seen.noise[0, 1, 1, 3] == -2.0 + CUT_NOISE


def test_tokens_know_which_mask_they_show():
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    masks[0, 1:7, 2:12] = True
    masks[0, 1:16, 12:14] = True  # joined with the first
    masks[0, 1:7, 18:30] = True
    masks[0, 14, 30] = True  # a speck
    masks[1, 9:15, 9:15] = True  # the next frame: not joined with the first
    parts = token_parts(masks, (2, 4))
    assert parts.number.tolist() == [[[1, 1, 2, 2], [0, 1, 0, 0]], [[0, 0, 0, 0], [0, 4, 0, 0]]]
    assert parts.middle[0, 0].tolist() == [0.5, 0.5, 2.5, 2.5]
    assert parts.middle[0, 1, 0].isnan()


# In the banks


DIM = 12
SETTINGS = BankSettings(archive_slots=SLOTS, subject_slots=2, top_k=4, reader_width=8, identity_width=4)


def memory() -> TwoBankMemory:
    torch.manual_seed(0)
    return TwoBankMemory(SETTINGS, DIM, channels=16, patch=(2, 2))


def video(frames: int, batch: int = 1, seed: int = 0) -> tuple[tuple[torch.Tensor, ...], Pictures]:
    """A camera that turns 30° a frame; latents of 2×4 tokens, pictures of 16×32 pixels."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, frames, 8, DIM, generator=generator)
    latents = torch.randn(batch, 16, frames, 4, 8, generator=generator)
    poses = torch.stack([pose(30.0 * index) for index in range(frames)], dim=1).expand(batch, -1, -1)
    times = (torch.arange(frames) * 4.0).expand(batch, -1)
    shown = torch.randint(0, 256, (batch, frames, 3, *SIZE), generator=generator, dtype=torch.uint8)
    share = torch.rand(batch, frames, *SIZE, generator=generator)
    return (tokens, latents, poses, times, LENS.expand(batch, -1)), Pictures(shown, share)


@torch.no_grad()
def test_views_are_those_of_the_archives_slots_and_never_grow():
    model, (given, pictures) = memory(), video(6)
    empty = model.empty(1, LatentGrid(frames=1, height=2, width=4))
    assert empty.views is None
    banks, _ = model.observe(empty, *given, pictures=pictures)
    assert torch.equal(banks.views.filled, banks.archive.filled)
    assert torch.equal(banks.views.times, banks.archive.times)
    assert torch.equal(banks.views.poses, banks.archive.poses)
    for slot, time in enumerate(banks.views.times[0].tolist()):
        assert torch.equal(banks.views.pixels[0, slot], pictures.frames[0, int(time) // 4])
    more, _ = video(1)
    later = (*more[:2], pose(180.0)[:, None], torch.tensor([[40.0]]), LENS)
    after, _ = model.observe(
        banks, *later, pictures=Pictures(pictures.frames[:, :1], pictures.subject[:, :1])
    )
    for name, value in bank_tensors(banks).items():
        assert bank_tensors(after)[name].shape == value.shape, name


@torch.no_grad()
def test_pictures_one_by_one_are_pictures_at_once_and_clips_do_not_meet():
    model = memory()
    parts = [video(5, seed=seed) for seed in (0, 1)]
    grid = LatentGrid(frames=1, height=2, width=4)
    both = [torch.cat(part) for part in zip(*(given for given, _ in parts), strict=True)]
    shown = Pictures(
        *(torch.cat(part) for part in zip(*(pictures[:2] for _, pictures in parts), strict=True))
    )
    whole, _ = model.observe(model.empty(2, grid), *both, pictures=shown)
    for clip, ((tokens, latents, poses, times, lens), pictures) in enumerate(parts):
        banks = model.empty(1, grid)
        for index in range(5):
            seen = slice(max(index - model.history, 0), index + 1)
            banks, _ = model.observe(
                banks, tokens[:, [index]], latents[:, :, seen], poses[:, [index]], times[:, [index]], lens,
                pictures=Pictures(*(part[:, [index]] for part in pictures[:2])),
            )  # fmt: skip
        for name, value in bank_tensors(banks).items():
            if name.startswith(("views.", "cutouts.")):
                torch.testing.assert_close(value, bank_tensors(whole)[name][[clip]], msg=name)


@torch.no_grad()
def test_tensors_of_banks_with_pictures_come_back():
    model, (given, pictures) = memory(), video(3)
    banks, _ = model.observe(
        model.empty(1, LatentGrid(frames=1, height=2, width=4)), *given, pictures=pictures
    )
    named = bank_tensors(banks)
    assert {"views.pixels", "cutouts.box"} <= set(named)
    assert "views.depth" not in named
    again = banks_from_tensors(named)
    assert {name: id(value) for name, value in bank_tensors(again).items()} == {
        name: id(value) for name, value in named.items()
    }
    deep = banks._replace(views=banks.views._replace(depth=torch.ones(1, SLOTS, *SIZE)))
    assert torch.equal(banks_from_tensors(bank_tensors(deep)).views.depth, deep.views.depth)
    plain = {name: value for name, value in named.items() if not name.startswith(("views", "cutouts"))}
    assert banks_from_tensors(plain).views is None
    with pytest.raises(InputError, match=r"not the banks of a two-bank memory: cutouts\.box is missing"):
        banks_from_tensors({name: value for name, value in named.items() if name != "cutouts.box"})
    with pytest.raises(InputError, match=r"views\.colour is missing or unknown"):
        banks_from_tensors(named | {"views.colour": torch.zeros(1)})
