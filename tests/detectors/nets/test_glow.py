from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian
from torch.distributions import Normal

from asd_ray.detectors.nets.glow import ActNorm, Base, Coupling, Glow, Mixing, Split
from asd_ray.errors import AsdRayError


def shaken(rows: int = 8, times: int = 4, **sizes: int) -> Glow:
    """A flow with random weights, because couplings do almost nothing at the start."""
    torch.manual_seed(0)
    glow = Glow(rows, times, **{"classes": 3, "width": 6, "steps": 2, "levels": 2} | sizes)
    with torch.no_grad():
        for weight in glow.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return glow.eval()


def flat(outputs: list[Tensor]) -> Tensor:
    return torch.cat([each.flatten(1) for each in outputs], 1)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_inverse_restores_the_input(levels: int) -> None:
    glow, images = shaken(16, 8, levels=levels), torch.randn(5, 1, 16, 8)
    with torch.no_grad():
        outputs, _ = glow(images)
        back = glow.inverse(outputs)
    assert flat(outputs).shape == (5, 128)
    assert (flat(outputs) - images.flatten(1)).abs().max() > 0.1
    torch.testing.assert_close(back, images, atol=1e-4, rtol=0)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_log_determinant_is_that_of_the_jacobian(levels: int) -> None:
    glow, images = shaken(8, 4, levels=levels).double(), torch.randn(3, 1, 8, 4, dtype=torch.float64)
    _, volume = glow(images)
    for i in range(3):
        slopes = jacobian(lambda x: flat(glow(x.view(1, 1, 8, 4))[0])[0], images[i].flatten())
        assert float(volume[i].detach()) == pytest.approx(float(torch.linalg.slogdet(slopes)[1]), abs=1e-6)


@pytest.mark.parametrize("layer", [Mixing(4), Coupling(4, 3), ActNorm(4)], ids=lambda each: type(each).__name__)
def test_a_single_layer_has_an_inverse_and_the_right_log_determinant(layer: Mixing | Coupling | ActNorm) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in layer.double().parameters():
            weight += 0.2 * torch.randn_like(weight)
    images = torch.randn(2, 4, 3, 2, dtype=torch.float64)
    result, volume = layer(images)
    torch.testing.assert_close(layer.inverse(result), images)
    slopes = jacobian(lambda x: layer(x.view(1, 4, 3, 2))[0].flatten(), images[0].flatten())
    expected = float(torch.linalg.slogdet(slopes)[1])
    assert float(volume.detach().expand(2)[0]) == pytest.approx(expected, abs=1e-9)


def test_mixing_is_initially_a_rotation() -> None:
    torch.manual_seed(2)
    mixing = Mixing(8)
    weight = mixing.weight().detach()
    torch.testing.assert_close(weight @ weight.t(), torch.eye(8), atol=1e-5, rtol=0)
    assert float(mixing(torch.randn(1, 8, 2, 2))[1].detach()) == pytest.approx(0, abs=1e-5)


def test_initialise_sets_the_activation_normalisations() -> None:
    torch.manual_seed(3)
    glow, images, after = Glow(8, 8, classes=1, width=4, steps=2, levels=2), 7 + 3 * torch.randn(64, 1, 8, 8), []
    glow.initialise(images)
    norms = [each for each in glow.modules() if isinstance(each, ActNorm)]
    for norm in norms:
        norm.register_forward_hook(lambda _module, _given, result: after.append(result[0]))
    with torch.no_grad():
        glow(images)
        before = [norm.shift.clone() for norm in norms]
        glow(100 * images)  # set once, not again
    assert len(norms) == 4
    for result in after[:4]:
        torch.testing.assert_close(result.mean((0, 2, 3)), torch.zeros(result.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(result.std((0, 2, 3), correction=0), torch.ones(result.shape[1]), atol=1e-4, rtol=0)
    assert all(torch.equal(norm.shift, shift) for norm, shift in zip(norms, before, strict=True))


def test_the_base_is_a_gaussian_of_a_class_channel_and_row() -> None:
    torch.manual_seed(4)
    base, z = Base(3, 2, 4), torch.randn(5, 2, 4, 6)
    with torch.no_grad():
        base.mean.normal_()
        base.log_scale.normal_(0, 0.3)
        actual = base(z)
        for c in range(3):
            mean, scale = base.mean[c].view(2, 4, 1), base.log_scale[c].view(2, 4, 1).exp()
            expected = Normal(mean, scale).log_prob(z).sum((1, 2, 3))
            torch.testing.assert_close(actual[:, c], expected, rtol=1e-5, atol=1e-4)


def test_densities_are_returned_for_the_requested_classes() -> None:
    glow, images = shaken(), torch.randn(4, 1, 8, 4)
    all_classes = torch.arange(3).expand(4, 3)
    with torch.no_grad():
        table = glow.log_prob(images, all_classes)
        asked = torch.tensor([[2, 0], [1, 1], [0, 2], [1, 0]])
        torch.testing.assert_close(glow.log_prob(images, asked), table.gather(1, asked))
        outputs, volume = glow(images)
        of_bases = sum(base(each) for base, each in zip(glow.bases, outputs, strict=True))
        torch.testing.assert_close(table, of_bases + volume[:, None])
    assert (table[:, 0] - table[:, 1]).abs().min() > 0.01


def test_densities_of_one_value_integrate_to_one() -> None:
    """With all other latents fixed: a split of two channels into one value each."""
    torch.manual_seed(5)
    split = Split(2).double()
    with torch.no_grad():
        for weight in split.parameters():
            weight += 0.3 * torch.randn_like(weight)
        grid = torch.linspace(-40, 40, 20_001, dtype=torch.float64)
        images = torch.stack([torch.full_like(grid, 0.7), grid], 1)[:, :, None, None]
        _, leaving, volume = split(images)
        density = (Normal(0, 1).log_prob(leaving.flatten()) + volume).exp()
    assert float(torch.trapezoid(density, grid)) == pytest.approx(1, abs=1e-6)


def test_the_number_of_weights() -> None:
    # Level 1, 4 channels: actnorm 8; mixing 4 + 2·16; coupling 2·9·5 + 5, 5·5 + 5, 5·9·4 + 4 + 4. Split 2·9·4 + 4 + 4.
    first = 8 + 36 + (95 + 30 + 188) + 80
    # Level 2, 8 channels from 2 that stay: actnorm 16; mixing 8 + 2·64; coupling 4·9·5 + 5, 30, 5·9·8 + 8 + 8.
    second = 16 + 136 + (185 + 30 + 376)
    # Bases of 3 classes: 2 channels of 4 rows, 8 channels of 2 rows, mean and spread.
    bases = 3 * 2 * (2 * 4 + 8 * 2)
    glow = Glow(8, 4, classes=3, width=5, steps=1, levels=2)
    assert sum(each.numel() for each in glow.parameters()) == first + second + bases


@pytest.mark.parametrize(("rows", "times"), [(8, 6), (12, 8)])
def test_sizes_that_do_not_halve_are_refused(rows: int, times: int) -> None:
    with pytest.raises(AsdRayError, match="multiples of 8"):
        Glow(rows, times, classes=1, width=4, steps=1, levels=3)
