"""Where denoising begins: at noise, or at the noised render."""

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from outofsight.errors import InputError
from outofsight.flow.matching import sampling_sigmas
from outofsight.sampling.continuation import check_settings
from outofsight.sampling.denoising import begin
from outofsight.sampling.schedules import ready

NOISE = torch.randn(1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(0))
RENDERED = torch.randn(1, 24, 2, 4, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("rendered", "strength"), [(RENDERED, 1.0), (None, 0.5), (None, 1.0)])
def test_without_a_render_or_at_full_strength_it_is_noise_alone(rendered, strength):
    assert begin(NOISE, rendered, strength) is NOISE


def test_below_it_is_the_render_noised_to_the_first_level():
    start = begin(NOISE, RENDERED, 0.6)
    sigmas = ready(FlowMatchEulerDiscreteScheduler(shift=5.0), 4, strength=0.6).sigmas
    torch.testing.assert_close(start, 0.4 * RENDERED[:, :16] + 0.6 * NOISE)
    torch.testing.assert_close(sigmas, 0.6 * sampling_sigmas(4, 5.0))
    assert sigmas[0] == pytest.approx(0.6)
    assert sigmas[-1] == 0
    # A velocity that leads to the render ends there.
    towards = (start - RENDERED[:, :16]) / sigmas[0]
    torch.testing.assert_close(start - sigmas[0] * towards, RENDERED[:, :16], rtol=0, atol=1e-5)


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.2])
def test_impossible_strengths_are_refused(strength):
    with pytest.raises(InputError, match=r"strength must lie in \(0, 1\]"):
        check_settings(strength=strength)
