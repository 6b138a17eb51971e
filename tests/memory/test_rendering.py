"""Rendered memory on scenes worked out by hand: turning, parallax, covering, holes."""

from math import pi, radians

import pytest
import torch

from outofsight.memory.banks.dynamics import PredictedSubjects
from outofsight.memory.banks.pictures import CUT_QUALITY
from outofsight.memory.banks.state import Views
from outofsight.memory.rendering import (
    MIRROR_COST,
    Rendered,
    best_cutout,
    condition_masks,
    given_to_skip,
    placed_subjects,
    render,
    seen_side,
)
from outofsight.nn.cameras import intrinsics_from_fov
from rendered_scenes import (
    BLUE,
    GREEN,
    LENS,
    RED,
    SIZE,
    boards,
    colour,
    coloured_view,
    noise_picture,
    painted,
    placed,
    pose,
    to_bytes,
    views_of,
    within,
)


def drawn(views: Views, *cameras: torch.Tensor, lens=LENS, size=SIZE, **subjects) -> Rendered:
    return render(views, torch.stack(cameras, dim=1), lens, size, **subjects)


def nothing() -> Views:
    return views_of(pose(), filled=torch.zeros(1, 1, dtype=torch.bool))


# Scenery


def test_the_same_view_gives_back_the_very_pixels():
    pixels = noise_picture()
    views = views_of(pose(12.0))._replace(pixels=pixels[None, None])
    shown = drawn(views, pose(12.0))
    assert torch.equal(to_bytes(shown.pixels[0, 0]), pixels)
    assert (shown.coverage == 1).all()
    assert (shown.subject == 0).all()


@pytest.mark.parametrize("yaw", [-25.0, 4.0, 40.0])
def test_a_turned_camera_sees_what_its_directions_show(yaw):
    shown = drawn(views_of(pose()), pose(yaw))
    inside = within(pose(yaw), pose())
    assert torch.equal(shown.coverage[0, 0] > 0, inside)
    assert 0 < inside.sum() < inside.numel()
    expected = painted(pose(yaw))
    # At the picture's edge the view has no neighbour to interpolate with.
    assert (shown.pixels[0, 0] - expected).abs()[:, inside].max() < 0.12
    assert (shown.pixels[0, 0] - expected).abs()[:, inside].mean() < 0.01


def test_several_views_are_joined_and_what_none_covers_is_a_hole():
    yaws = [pose(angle) for angle in (-30.0, 0.0, 30.0)]
    shown = drawn(views_of(*yaws), pose(15.0), pose(60.0), pose(180.0))
    for frame, camera in enumerate((pose(15.0), pose(60.0), pose(180.0))):
        covered = torch.stack([within(camera, view) for view in yaws]).any(dim=0)
        assert torch.equal(shown.coverage[0, frame] > 0, covered)
        assert (shown.coverage[0, frame][~covered] == 0).all()
        assert (shown.pixels[0, frame] - painted(camera)).abs()[:, covered].sum() / max(
            covered.sum(), 1
        ) < 0.06
    assert shown.coverage[0, 0].all()
    assert not shown.coverage[0, 2].any()


def test_another_lens_and_one_off_its_centre():
    narrow, shifted = torch.tensor([[1.0, 2.0, 0.5, 0.5]]), torch.tensor([[0.6, 1.2, 0.4, 0.65]])
    views = views_of(pose(), pose(10.0), lenses=[LENS, shifted])
    for camera, lens in ((pose(3.0), narrow), (pose(-4.0), shifted), (pose(5.0), LENS)):
        shown = drawn(views, camera, lens=lens)
        covered = within(camera, pose(), lens, LENS) | within(camera, pose(10.0), lens, shifted)
        assert torch.equal(shown.coverage[0, 0] > 0, covered)
        error = (shown.pixels[0, 0] - painted(camera, lens)).abs()[:, covered]
        assert error.mean() < 0.012
        assert error.max() < 0.15


def test_a_picture_of_another_size():
    shown = drawn(views_of(pose()), pose(5.0), size=(32, 64))
    expected = painted(pose(5.0), size=(32, 64))
    covered = shown.coverage[0, 0] > 0
    assert (shown.pixels[0, 0] - expected).abs()[:, covered].mean() < 0.015


def test_what_the_nearest_view_hides_is_taken_from_another():
    views = views_of(pose(), pose(8.0))
    views.static[0, 0, 4:10, 12:20] = 0
    shown = drawn(views, pose())
    assert (shown.coverage == 1).all()
    assert (shown.pixels[0, 0] - painted(pose())).abs().mean() < 0.02
    views.pixels[0, 0, :, 4:10, 12:20] = 255  # the subject's own pixels never come through
    assert torch.equal(drawn(views, pose()).pixels[..., 5:9, 13:19], shown.pixels[..., 5:9, 13:19])


def test_views_that_all_show_the_subject_leave_a_hole():
    views = views_of(pose(), pose())
    views.static[0, :, 4:10, 12:20] = 0
    shown = drawn(views, pose())
    hidden = torch.zeros(SIZE, dtype=torch.bool)
    hidden[4:10, 12:20] = True
    assert (shown.coverage[0, 0][hidden] == 0).all()
    assert (shown.coverage[0, 0][~hidden] == 1).all()
    nothing_known = drawn(views._replace(static=torch.zeros_like(views.static)), pose())
    assert not nothing_known.coverage.any()
    assert not nothing_known.pixels.any()


def test_a_hole_has_softly_the_colours_around_it():
    """Half red, half blue, and the subject's own white nowhere."""
    pixels = torch.zeros(3, *SIZE, dtype=torch.uint8)
    pixels[0, :, :16], pixels[2, :, 16:] = 255, 255
    views = views_of(pose())._replace(pixels=pixels[None, None].clone())
    for columns in (slice(3, 9), slice(24, 30), slice(10, 22)):
        views.static[:], hidden = 255, block(slice(5, 11), columns)
        views.static[0, 0][hidden] = 0
        views.pixels[0, 0] = torch.where(hidden, 255, pixels.int()).to(torch.uint8)
        shown = drawn(views, pose())
        assert torch.equal(shown.coverage[0, 0] == 0, hidden)
        assert torch.equal(to_bytes(shown.pixels[0, 0])[:, ~hidden], pixels[:, ~hidden])
        red, green, blue = (shown.pixels[0, 0][:, hidden] + 1) / 2
        torch.testing.assert_close(red + blue, torch.ones_like(red))
        assert green.abs().max() < 1e-5
        expected = {3: 1.0, 24: 0.0, 10: 0.5}[columns.start]
        assert float(red.mean()) == pytest.approx(expected, abs=0.1)


def test_a_hole_at_the_horizon_has_sky_above_and_ground_below():
    """It was one grey blot of both; what stands there goes on sideways."""
    pixels = torch.zeros(3, *SIZE, dtype=torch.uint8)
    pixels[2, :8], pixels[0, 8:] = 255, 255
    views = views_of(pose())._replace(pixels=pixels[None, None].clone())
    hidden = block(slice(2, 14), slice(10, 22))
    views.static[0, 0][hidden], views.pixels[0, 0][:, hidden] = 0, 255
    red, _, blue = (drawn(views, pose()).pixels[0, 0] + 1) / 2
    assert blue[2:6, 10:22].min() > 0.9
    assert red[10:14, 10:22].min() > 0.9


def test_empty_slots_show_nothing():
    shown = drawn(nothing(), pose(), pose(3.0))
    assert all(not part.any() for part in shown)
    views = views_of(pose(), pose())
    views.pixels[0, 1] = 255
    views.filled[0, 1] = False
    assert torch.equal(drawn(views, pose()).pixels, drawn(views_of(pose()), pose()).pixels)


def test_a_far_view_shows_whole_what_no_near_one_does():
    """A weight of e^−60 is still a weight: what only a view far away shows is as surely covered as all else."""
    lens = intrinsics_from_fov(radians(140), *SIZE)[None]
    wide = views_of(pose(90.0), lenses=[lens])
    shown = drawn(wide, pose(), lens=lens)
    covered = within(pose(), pose(90.0), lens, lens)
    assert torch.equal(shown.coverage[0, 0] > 0.999, covered)
    assert covered.any()


def test_clips_of_a_batch_do_not_meet():
    one = views_of(pose(), pose(10.0))
    other = views_of(pose(4.0), pose(-10.0))._replace(
        pixels=torch.stack((noise_picture(1), noise_picture(2)))[None]
    )
    depths = [torch.full((1, 2, *SIZE), metres) for metres in (3.0, 6.0)]
    cameras = [
        torch.stack((pose(2.0), pose(5.0)), dim=1),
        torch.stack((pose(4.0, (0.5, 0, 0.2)), pose(0.0)), dim=1),
    ]
    lenses = [LENS, torch.tensor([[0.6, 1.2, 0.45, 0.5]])]
    cut, where = boards(RED, BLUE), placed((0, 0, 4.0), (1.0, 0, 5.0), frames=2)
    for with_depth in (False, True):
        both = [
            views._replace(depth=depth if with_depth else None)
            for views, depth in zip((one, other), depths, strict=True)
        ]
        joined = Views(*(None if part[0] is None else torch.cat(part) for part in zip(*both, strict=True)))
        together = render(
            joined, torch.cat(cameras), torch.cat(lenses), SIZE,
            type(cut)(*(torch.cat((part, part)) for part in cut)),
            type(where)(*(torch.cat((part, part)) for part in where)),
        )  # fmt: skip
        for clip in range(2):
            alone = render(both[clip], cameras[clip], lenses[clip], SIZE, cut, where)
            for name, part in alone._asdict().items():
                torch.testing.assert_close(
                    getattr(together, name)[[clip]], part, msg=f"{name}, depth {with_depth}"
                )


# Depth


def test_a_known_plane_moves_as_far_as_geometry_says():
    """A plane 4 m away, a step of 1 m to the right: 16 · 1 / 4 = 4 pixels to the left."""
    pixels = noise_picture()
    shown = drawn(coloured_view(pixels, 4.0), pose(position=(1.0, 0, 0)))
    assert torch.equal(to_bytes(shown.pixels[0, 0])[:, :, :-4], pixels[:, :, 4:])
    assert (shown.coverage[0, 0, :, :-4] == 1).all()
    assert not shown.coverage[0, 0, :, -4:].any()
    torch.testing.assert_close(shown.depth[0, 0, :, :-4], torch.full((16, 28), 4.0))
    down = drawn(coloured_view(pixels, 4.0), pose(position=(0.0, 0.5, 0)))
    assert torch.equal(to_bytes(down.pixels[0, 0])[:, :-2], pixels[:, 2:])


def test_half_the_way_to_a_plane_it_is_twice_as_large():
    view = views_of(pose())._replace(depth=torch.full((1, 1, *SIZE), 4.0))
    shown = drawn(view, pose(position=(0, 0, 2.0)))
    narrow = torch.tensor([[1.0, 2.0, 0.5, 0.5]])  # the same picture, zoomed in by two
    torch.testing.assert_close(
        shown.pixels, drawn(views_of(pose()), pose(), lens=narrow).pixels, atol=1e-4, rtol=0
    )
    torch.testing.assert_close(shown.depth, torch.full_like(shown.depth, 2.0))


def test_without_depth_a_moved_camera_sees_what_is_far_away():
    """Nothing but the homography of its turning; a view that stands nearer counts for more."""
    moved = drawn(views_of(pose(5.0)), pose(position=(0.3, 0, 0)))
    assert torch.equal(moved.pixels, drawn(views_of(pose(5.0)), pose()).pixels)
    views = views_of(pose(), pose(position=(3.0, 0, 0)))
    views.pixels[0, 1] = 255
    near = drawn(views, pose(position=(0.1, 0, 0))).pixels
    assert (near[0, 0] - painted(pose())).abs().max() < 0.02


def test_what_a_nearer_surface_hid_is_a_hole_and_no_smear():
    """A board 2 m away, columns 12 to 19, before a wall at 8 m; a step of 1 m to the right moves the board by 8 pixels
    and the wall by 2. Columns 12 to 17 of the new picture show wall that the board hid."""
    pixels, depth = noise_picture(), torch.full(SIZE, 8.0)
    depth[:, 12:20] = 2.0
    pixels[:, :, 12:20] = torch.tensor(RED, dtype=torch.uint8)[:, None, None]
    shown = drawn(coloured_view(pixels, depth), pose(position=(1.0, 0, 0)))
    seen, covered = to_bytes(shown.pixels[0, 0]), shown.coverage[0, 0]
    assert torch.equal(seen[:, :, 0:4], pixels[:, :, 2:6])
    assert torch.equal(seen[:, :, 4:12], pixels[:, :, 12:20])
    assert torch.equal(seen[:, :, 18:30], pixels[:, :, 20:32])
    assert not covered[:, 12:18].any()
    assert not covered[:, 30:].any()
    assert shown.depth[0, 0, 0].tolist() == [8.0] * 4 + [2.0] * 8 + [0.0] * 6 + [8.0] * 12 + [0.0] * 2


def test_depth_is_known_where_the_camera_only_turns():
    """Along the new camera's axis: a plane 4 m before the view is nearer along an axis turned away from it."""
    shown = drawn(coloured_view(noise_picture(), 4.0), pose(), pose(20.0))
    torch.testing.assert_close(shown.depth[0, 0], torch.full(SIZE, 4.0))
    x = (torch.arange(32) + 0.5) / 16 - 1
    turn = torch.tensor(radians(20.0))
    expected = 4 / (turn.cos() - turn.sin() * x)
    covered = shown.coverage[0, 1] > 0
    assert covered.any()
    torch.testing.assert_close(
        shown.depth[0, 1][covered], expected.expand(SIZE)[covered], rtol=1e-4, atol=1e-4
    )


def test_a_pixel_of_unknown_depth_counts_as_far_away():
    pixels, depth = noise_picture(), torch.full(SIZE, 4.0)
    depth[:8] = 0
    shown = drawn(coloured_view(pixels, depth), pose(position=(1.0, 0, 0)))
    seen = to_bytes(shown.pixels[0, 0])
    assert torch.equal(seen[:, :7], pixels[:, :7])  # as if it were not moved
    assert torch.equal(seen[:, 9:, :-4], pixels[:, 9:, 4:])
    assert not shown.depth[0, 0, :7].any()


# Subjects


def block(rows: slice, columns: slice) -> torch.Tensor:
    inside = torch.zeros(SIZE, dtype=torch.bool)
    inside[rows, columns] = True
    return inside


def test_a_subject_stands_where_it_is_placed_and_as_large_as_it_is_near():
    """2 m wide: at 4 m 8 pixels around the middle, at 8 m 4; 1 m to the right at 4 m: 4 pixels."""
    shown = drawn(nothing(), pose(), cutouts=boards(RED), placed=placed((0, 0, 4.0)))
    inside = block(slice(4, 12), slice(12, 20))
    assert torch.equal(shown.subject[0, 0] > 0.5, inside)
    assert torch.equal(shown.coverage, shown.subject)
    core = block(slice(5, 11), slice(13, 19))  # edges are soft by half a pixel of the cut-out
    torch.testing.assert_close(shown.pixels[0, 0][:, core], colour(RED)[:, 0].expand(-1, 36))
    far = drawn(nothing(), pose(), cutouts=boards(RED), placed=placed((0, 0, 8.0)))
    assert torch.equal(far.subject[0, 0] > 0.5, block(slice(6, 10), slice(14, 18)))
    right = drawn(nothing(), pose(), cutouts=boards(RED), placed=placed((1.0, 0, 4.0)))
    assert torch.equal(right.subject[0, 0] > 0.5, block(slice(4, 12), slice(16, 24)))
    off_centre = drawn(
        nothing(),
        pose(),
        lens=torch.tensor([[0.5, 1.0, 0.25, 0.75]]),
        cutouts=boards(RED),
        placed=placed((0, 0, 4.0)),
    )
    assert torch.equal(off_centre.subject[0, 0] > 0.5, block(slice(8, 16), slice(4, 12)))


@pytest.mark.parametrize("nearer", [0, 1])
def test_the_nearer_of_two_subjects_covers_the_other_whatever_their_order(nearer):
    colours, places = [RED, BLUE], [(0.0, 0.0, 4.0), (0.0, 0.0, 6.0)]
    half = [1.0, 3.0]  # 4 pixels, and 8
    order = (0, 1) if nearer == 0 else (1, 0)
    cut = boards(*(colours[i] for i in order), half_m=tuple(half[i] for i in order))
    shown = drawn(nothing(), pose(), cutouts=cut, placed=placed(*(places[i] for i in order)))
    front, back = block(slice(5, 11), slice(13, 19)), block(slice(1, 15), slice(9, 23))
    beside = back & ~block(slice(3, 13), slice(11, 21))
    for where, expected in ((front, RED), (beside, BLUE)):
        seen = shown.pixels[0, 0][:, where]
        torch.testing.assert_close(seen, colour(expected)[:, 0].expand_as(seen))
    assert torch.equal(shown.subject[0, 0] > 0.5, block(slice(0, 16), slice(8, 24)))


def test_who_is_nearer_is_told_for_every_frame_by_itself():
    where = placed((0, 0, 4.0), (0, 0, 6.0), frames=2)
    where.position[0, 1, 0, 2] = 9.0
    shown = drawn(nothing(), pose(), pose(), cutouts=boards(RED, BLUE), placed=where)
    middle = shown.pixels[0, :, :, 8, 16]
    torch.testing.assert_close(middle, torch.stack((colour(RED), colour(BLUE)))[:, :, 0, 0])


@pytest.mark.parametrize(("metres", "hidden"), [(2.0, True), (8.0, False)])
@pytest.mark.parametrize("camera", [pose(), pose(position=(0.1, 0, 0))], ids=["turned", "moved"])
def test_nearer_scenery_hides_a_subject(camera, metres, hidden):
    view = coloured_view(noise_picture(), metres)
    shown = drawn(view, camera, cutouts=boards(RED), placed=placed((0.1, 0, 4.0)))
    plain = drawn(view, camera)
    if hidden:
        assert torch.equal(shown.pixels[..., :28], plain.pixels[..., :28])
        assert not shown.subject[..., 12:20].any()
    else:
        assert (shown.subject[0, 0, 5:11, 13:19] == 1).all()


def test_a_subject_fills_a_hole_and_half_of_it_half():
    where = placed((0, 0, 4.0))._replace(shown=torch.full((1, 1, 1), 0.5))
    shown = drawn(views_of(pose(120.0)), pose(), cutouts=boards(RED), placed=where)
    inside = block(slice(5, 11), slice(13, 19))
    assert not drawn(views_of(pose(120.0)), pose()).coverage[0, 0][inside].any()
    assert (shown.coverage[0, 0][inside] == 0.5).all()
    assert (shown.subject[0, 0][inside] == 0.5).all()
    gone = where._replace(shown=torch.zeros(1, 1, 1))
    assert not drawn(nothing(), pose(), cutouts=boards(RED), placed=gone).coverage.any()


@pytest.mark.parametrize("where", [(0.0, 0.0, -4.0), (0.0, 0.0, 0.0), (0.3, 0.0, 0.05), (0.0, 1.6, -1e-3)])
def test_a_subject_behind_or_at_the_camera_is_not_drawn(where):
    view = views_of(pose())
    shown = drawn(view, pose(), cutouts=boards(RED), placed=placed(where))
    assert torch.equal(shown.pixels, drawn(view, pose()).pixels)
    assert not shown.subject.any()
    assert all(part.isfinite().all() for part in shown)


def test_a_near_subject_fills_the_picture_and_one_before_the_lens_is_not_drawn():
    """A metre is 27 pixels at 0.6 m, and 80 at 0.2 m, of 32."""
    near, lens = (
        drawn(nothing(), pose(), cutouts=boards(RED), placed=placed((0.0, 0.0, metres)))
        for metres in (0.6, 0.2)
    )
    torch.testing.assert_close(near.subject, torch.ones(1, 1, *SIZE))
    assert not lens.subject.any()
    assert all(part.isfinite().all() for part in (*near, *lens))


def test_a_cut_out_without_quality_is_never_drawn():
    cut = boards(RED, sides=4)
    cut = cut._replace(quality=torch.zeros_like(cut.quality))
    assert not drawn(nothing(), pose(), cutouts=cut, placed=placed((0, 0, 4.0))).coverage.any()
    cut.quality[0, 0, 2] = 0.1
    cut.pixels[0, 0, 2, :3] = torch.tensor(GREEN, dtype=torch.uint8)[:, None, None]
    shown = drawn(nothing(), pose(), cutouts=cut, placed=placed((0, 0, 4.0), velocity=(0, 0, -1.0)))
    torch.testing.assert_close(shown.pixels[0, 0, :, 8, 16], colour(GREEN)[:, 0, 0])


SEEN_FROM = {"front": ((0, 0, -1.0), 0.0), "behind": ((0, 0, 1.0), pi), "one side": ((1.0, 0, 0), pi / 2),
             "the other": ((-1.0, 0, 0), -pi / 2)}  # fmt: skip


@pytest.mark.parametrize("name", SEEN_FROM)
def test_the_side_that_is_seen_is_the_one_that_is_drawn(name):
    velocity, expected = SEEN_FROM[name]
    where = placed((0, 0, 4.0), velocity=velocity)
    side, known = seen_side(where.position, where.velocity, pose()[:, None])
    assert known.all()
    assert abs(float(torch.cos(side - expected)) - 1) < 1e-6
    cut = boards(BLUE, sides=4)
    sides = torch.tensor([0.0, pi / 2, pi, -pi / 2])
    right = int((torch.cos(sides - expected) > 0.9).nonzero())
    cut.pixels[0, 0, right, :3] = torch.tensor(RED, dtype=torch.uint8)[:, None, None]
    cut = cut._replace(side=sides[None, None])
    index, mirrored = best_cutout(cut, where, pose()[:, None])
    assert (int(index), bool(mirrored)) == (right, False)
    shown = drawn(nothing(), pose(), cutouts=cut, placed=where)
    torch.testing.assert_close(shown.pixels[0, 0, :, 8, 16], colour(RED)[:, 0, 0])


def test_a_subject_whose_heading_is_unknown_shows_its_best_cut_out():
    cut = boards(BLUE, sides=4)._replace(quality=torch.tensor([[[0.4, 0.2, 0.9, 0.3]]]))
    where = placed((0, 0, 4.0), velocity=(0.01, 0, 0))
    index, mirrored = best_cutout(cut, where, pose()[:, None])
    assert (int(index), bool(mirrored)) == (2, False)


def test_a_slice_is_shown_for_want_of_better_alone():
    """A slice that the edge cut off, from the side that will be seen, against a whole one from half a radian off."""
    where = placed((0, 0, 4.0), velocity=(-1.0, 0, 0))  # −π/2 is wanted
    sides = torch.tensor([[[-pi / 2, -pi / 2 + 0.5]]])
    for quality, chosen in (((CUT_QUALITY, 1.0), 1), ((CUT_QUALITY, 0.0), 0), ((1.0, 1.0), 0)):
        cut = boards(BLUE, sides=2)._replace(side=sides, quality=torch.tensor([[quality]]))
        index, mirrored = best_cutout(cut, where, pose()[:, None])
        assert (int(index), bool(mirrored)) == (chosen, False)


def test_a_mirrored_side_is_mirrored():
    """Seen from its one side only: left half red, right half green, half a metre right of the origin. From the other
    side it is green to the left, and half a metre left of the origin."""
    cut = boards(RED)._replace(side=torch.full((1, 1, 1), pi / 2))
    cut.pixels[..., :3, :, 24:] = torch.tensor(GREEN, dtype=torch.uint8)[:, None, None]
    cut.box[..., 0] = 0.5
    plain = drawn(nothing(), pose(), cutouts=cut, placed=placed((0, 0, 4.0), velocity=(1.0, 0, 0)))
    assert torch.equal(plain.subject[0, 0] > 0.5, block(slice(4, 12), slice(14, 22)))
    torch.testing.assert_close(plain.pixels[0, 0, :, 8, 15:17], colour(RED)[:, 0].expand(-1, 2))
    turned = drawn(nothing(), pose(), cutouts=cut, placed=placed((0, 0, 4.0), velocity=(-1.0, 0, 0)))
    assert torch.equal(turned.pixels, plain.pixels.flip(-1))
    assert torch.equal(turned.subject, plain.subject.flip(-1))


def test_mirroring_costs_as_much_as_so_much_of_a_side():
    """Two cut-outs, one at a right angle that would fit mirrored, and one some way off that fits as it is."""
    where = placed((0, 0, 4.0), velocity=(-1.0, 0, 0))  # −π/2 is wanted
    for off, expected in ((MIRROR_COST - 0.05, (1, False)), (MIRROR_COST + 0.05, (0, True))):
        cut = boards(RED, sides=2)._replace(side=torch.tensor([[[pi / 2, -pi / 2 + off]]]))
        index, mirrored = best_cutout(cut, where, pose()[:, None])
        assert (int(index), bool(mirrored)) == expected


def test_small_and_far_a_cut_out_is_averaged_not_picked():
    """Stripes finer than the pixels that show them become their mean."""
    cut = boards((0, 0, 0))
    cut.pixels[..., :3, :, ::2] = 255
    shown = drawn(nothing(), pose(), cutouts=cut, placed=placed((0, 0, 6.0)))
    inside = shown.subject[0, 0] > 0.99
    assert inside.any()
    assert shown.pixels[0, 0][:, inside].abs().max() < 0.01


def test_where_subjects_are_drawn_is_the_trackers_to_say():
    predicted = PredictedSubjects(
        position=torch.tensor([[[[0.0, 1, 4], [1, 1, 5]], [[0.5, 1, 4], [1, 1, 5]]]]),
        velocity=torch.zeros(1, 2, 2, 3),
        variance=torch.tensor([[[4.0, 0.0], [9.0, 0.0]]]),
        filled=torch.tensor([[True, False]]),
    )
    mean = placed_subjects(predicted, 0.0)
    assert torch.equal(mean.position, predicted.position)
    assert mean.shown.tolist() == [[[1, 0], [1, 0]]]
    drawn_places = [
        placed_subjects(predicted, 0.5, torch.Generator().manual_seed(seed)).position for seed in (1, 1, 2)
    ]
    assert torch.equal(drawn_places[0], drawn_places[1])
    assert not torch.equal(drawn_places[0], drawn_places[2])
    off = drawn_places[0] - predicted.position
    assert (off[..., 1] == 0).all()  # level
    torch.testing.assert_close(
        off[0, 1, 0], off[0, 0, 0] * 3 / 2
    )  # one way, as many deviations, at all times
    assert (off[0, :, 1] == 0).all()


# What the model is given


def constant(values: list[float], subject: list[float]) -> Rendered:
    frames = len(values)
    planes = [torch.tensor(row)[None, :, None, None].expand(1, frames, 4, 6) for row in (values, subject)]
    return Rendered(torch.zeros(1, frames, 3, 4, 6), *planes, torch.zeros(1, frames, 4, 6))


def test_masks_are_folded_four_frames_to_a_latent_frame():
    rendered = constant([0.1, 0.2, 0.3, 0.4, 0.5], [0.6, 0.7, 0.8, 0.9, 1.0])
    masks = condition_masks(rendered, 2)
    assert masks.shape == (1, 8, 2, 2, 3)
    torch.testing.assert_close(masks[0, :, 0, 0, 0], torch.tensor([0.1] * 4 + [0.6] * 4))
    torch.testing.assert_close(masks[0, :, 1, 1, 2], torch.tensor([0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9, 1.0]))
    later = Rendered(*(part[:, 1:] for part in rendered))
    assert torch.equal(condition_masks(later, 2, first_alone=False), masks[:, :, 1:])


def test_a_latent_pixel_is_covered_by_its_share():
    rendered = constant([0.0], [0.0])
    coverage = rendered.coverage.clone()
    coverage[0, 0, :2, :1] = 1
    coverage[0, 0, 2:, 4:] = 1
    masks = condition_masks(rendered._replace(coverage=coverage), 2)
    assert masks[0, 0, 0].tolist() == [[0.5, 0, 0], [0, 0, 1]]
    assert masks[0, 3, 0].tolist() == [[0.5, 0, 0], [0, 0, 1]]
    assert not masks[0, 4:].any()


def test_what_the_skip_is_given():
    rendered = drawn(views_of(pose()), pose(10.0), cutouts=boards(RED), placed=placed((0, 0, 4.0)))
    given = given_to_skip(rendered)
    assert given.shape == (1, 1, 5, *SIZE)
    assert torch.equal(given[:, :, :3], rendered.pixels)
    assert torch.equal(given[:, :, 3], rendered.coverage)
    assert torch.equal(given[:, :, 4], rendered.subject)
