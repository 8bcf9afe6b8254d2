from __future__ import annotations

import pytest
import torch
from torch.autograd.functional import jacobian
from torch.distributions import Normal

from asd_ray.detectors.nets.maf import MAF, Block, FlowNorm


def shaken(size: int = 6, hidden: int = 16, blocks: int = 3) -> MAF:
    """A flow of three classes after some batches, so that its normalisations are not the initial ones."""
    torch.manual_seed(0)
    maf = MAF(size, classes=3, hidden=hidden, blocks=blocks)
    with torch.no_grad():
        for weight in maf.parameters():
            weight += 0.2 * torch.randn_like(weight)
        for _ in range(5):
            maf(1 + 2 * torch.randn(64, size), torch.randint(3, (64,)))
    return maf.eval()


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_inverse_restores_the_input(blocks: int) -> None:
    maf, vectors, classes = shaken(blocks=blocks), torch.randn(7, 6), torch.arange(7) % 3
    with torch.no_grad():
        base, _ = maf(vectors, classes)
        assert (base - vectors).abs().max() > 0.1
        torch.testing.assert_close(maf.inverse(base, classes), vectors, atol=1e-4, rtol=0)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_log_determinant_is_that_of_the_jacobian(blocks: int) -> None:
    maf, vectors = shaken(blocks=blocks).double(), torch.randn(3, 6, dtype=torch.float64)
    _, volume = maf(vectors, torch.arange(3))
    for i in range(3):
        slopes = jacobian(lambda x, i=i: maf(x[None], torch.tensor([i]))[0][0], vectors[i])
        assert float(volume[i].detach()) == pytest.approx(float(torch.linalg.slogdet(slopes)[1]), abs=1e-6)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_value_depends_on_those_before_it_in_either_order(backwards: bool) -> None:
    torch.manual_seed(1)
    block = Block(5, 40, 1, backwards)
    slopes = jacobian(lambda x: block(x[None], torch.tensor([0]))[0][0], torch.randn(5))
    within = slopes.t() if backwards else slopes
    assert torch.equal(within.triu(1), torch.zeros(5, 5))
    assert (within.tril() != 0).sum() == 15


@pytest.mark.parametrize("of", [0, 1, 2])
def test_densities_in_the_plane_integrate_to_one(of: int) -> None:
    maf = shaken(2, 16, 2).double()
    line = torch.linspace(-40, 40, 501, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    with torch.no_grad():
        density = maf.log_prob(grid, torch.full((len(grid), 1), of)).exp().view(501, 501)
    assert float(torch.trapezoid(torch.trapezoid(density, line), line)) == pytest.approx(1, abs=1e-3)


def test_densities_are_returned_for_the_requested_classes() -> None:
    maf, vectors = shaken(), torch.randn(4, 6)
    asked = torch.tensor([[2, 0], [1, 1], [0, 2], [1, 0]])
    with torch.no_grad():
        actual = maf.log_prob(vectors, asked)
        for column in range(2):
            base, volume = maf(vectors, asked[:, column])
            torch.testing.assert_close(actual[:, column], Normal(0, 1).log_prob(base).sum(1) + volume)
        all_densities = maf.log_prob(vectors, torch.arange(3).expand(4, 3))
    assert (all_densities[:, 0] - all_densities[:, 1]).abs().min() > 0.01


def test_in_training_only_vectors_under_their_first_class_determine_the_normalisation() -> None:
    vectors, twice, once = torch.randn(32, 6), shaken().train(), shaken().train()
    own = torch.arange(32)[:, None] % 3
    with torch.no_grad():
        of_two = twice.log_prob(vectors, torch.cat([own, (own + 1) % 3], 1))
        of_one = once.log_prob(vectors, own)
    torch.testing.assert_close(of_two[:, :1], of_one)
    for a, b in zip(twice.norms, once.norms, strict=True):
        torch.testing.assert_close(a.mean, b.mean)
        torch.testing.assert_close(a.variance, b.variance)


def test_the_normalisation_of_a_flow() -> None:
    norm, batch = FlowNorm(3), 5 + 2 * torch.randn(256, 3)
    result, volume = norm(batch, 256)
    torch.testing.assert_close(result.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(result.std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)
    assert float(volume.detach()) == pytest.approx(float(-batch.std(0, correction=0).log().sum()), abs=1e-4)
    torch.testing.assert_close(
        norm.mean, 0.1 * batch.mean(0)
    )  # a momentum of 0.9 leaves nine tenths of the old average
    torch.testing.assert_close(norm.variance, 0.9 + 0.1 * batch.var(0, correction=0))


def test_densities_stay_finite_for_distant_vectors() -> None:
    with torch.no_grad():
        actual = shaken().log_prob(1e4 * torch.randn(50, 6), torch.zeros(50, 1, dtype=torch.long))
    assert actual.isfinite().all()
    assert actual.max() < -1e3


def test_the_number_of_weights() -> None:
    # A block: 640·512 + 512, a term for each of 4 classes, 512·1280 + 1280; its normalisation: scale and shift.
    block = 328_192 + 4 * 512 + 656_640 + 2 * 640
    maf = MAF(640, classes=4, hidden=512, blocks=4)
    assert sum(each.numel() for each in maf.parameters()) == 4 * block
