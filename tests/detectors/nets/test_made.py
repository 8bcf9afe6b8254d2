from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from asd_ray.detectors.nets.made import MaskedLinear, hidden_degrees, hidden_mask, output_mask


@pytest.mark.parametrize(
    ("width", "last", "degrees"),
    [
        (4, 2, [1, 1, 1, 1]),
        (8, 5, [1, 1, 2, 2, 3, 3, 4, 4]),
        (5, 4, [1, 1, 2, 2, 3]),
        (3, 4, [1, 2, 3]),
        (3, 8, [1, 4, 7]),  # too narrow for seven: from the first to the last
        (2, 1, [1, 1]),  # of one group no output sees a hidden unit
    ],
)
def test_degrees_of_hidden_units(width: int, last: int, degrees: list[int]) -> None:
    assert hidden_degrees(width, last).tolist() == degrees


def test_masks_by_hand() -> None:
    inputs, outputs = torch.tensor([0, 1, 2, 3]), torch.tensor([1, 2, 3])
    hidden = hidden_degrees(2, 3)
    assert hidden_mask(inputs, hidden).tolist() == [[True, True, False, False], [True, True, True, False]]
    assert output_mask(hidden, outputs).tolist() == [[False, False], [True, False], [True, True]]


def sees(inputs: Tensor, widths: list[int], outputs: Tensor) -> Tensor:
    """[outputs, inputs]: which derivatives of a net are not zero. With all weights above 0 no paths cancel out."""
    layers: list[nn.Module] = []
    below, last = inputs, int(max(inputs.max(), outputs.max()))
    for width in widths:
        own = hidden_degrees(width, last)
        layers += [MaskedLinear(hidden_mask(below, own)), nn.ReLU()]
        below = own
    net = nn.Sequential(*layers, MaskedLinear(output_mask(below, outputs)))
    for each in net.parameters():
        nn.init.uniform_(each, 0.1, 1.0)
    jacobian = torch.autograd.functional.jacobian(net, torch.rand(len(inputs)))
    assert isinstance(jacobian, Tensor)
    return jacobian != 0


@pytest.mark.parametrize(
    ("inputs", "widths", "outputs"),
    [
        ([1, 2, 3, 4, 5, 6], [10], [1, 2, 3, 4, 5, 6]),  # element by element, as in a flow
        ([6, 5, 4, 3, 2, 1], [5, 7], [6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1]),  # the other way, two outputs an input
        ([1, 1, 1, 2, 2, 2, 3, 3, 3], [8, 3, 8], [1, 1, 1, 2, 2, 2, 3, 3, 3]),  # by groups
        ([1, 1, 2, 2, 1, 1], [4, 2, 4], [1, 1, 2, 2, 1, 1]),  # the middle from its neighbours
        ([2, 2], [3], [2, 2, 1]),
        ([1], [2], [1]),
    ],
)
def test_an_output_sees_every_lower_degree_and_no_other(
    inputs: list[int], widths: list[int], outputs: list[int]
) -> None:
    into, out = torch.tensor(inputs), torch.tensor(outputs)
    assert torch.equal(sees(into, widths, out), out[:, None] > into)


def test_a_condition_is_seen_by_all_that_see_something() -> None:
    inputs, outputs = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([1, 2, 3])
    found = sees(inputs, [6], outputs)
    assert found[:, :2].tolist() == [[False, False], [True, True], [True, True]]
    assert torch.equal(found[:, 2:], outputs[:, None] > inputs[2:])


def test_hidden_weights_count_for_nothing_and_never_learn() -> None:
    mask = torch.tensor([[True, False, True], [False, False, False]])
    layer, given = MaskedLinear(mask), torch.randn(4, 3)
    assert torch.equal(layer(given)[:, 1], layer.bias[1].expand(4))
    layer(given).square().sum().backward()
    assert torch.equal(layer.weight.grad != 0, mask)
    before = layer(given)
    layer.weight.data[~mask] = 9.0
    assert torch.equal(layer(given), before)


def test_initial_weights_are_as_wide_as_the_units_seen_ask() -> None:
    mask = torch.zeros(50, 600, dtype=torch.bool)
    mask[:25, :6] = True
    mask[25:] = True
    layer = MaskedLinear(mask)
    layer.he()
    assert not layer.bias.any()
    for rows, bound in ((slice(0, 25), 1.0), (slice(25, 50), 0.1)):  # sqrt(6 / 6) and sqrt(6 / 600)
        assert float(layer.weight[rows].detach().abs().max()) == pytest.approx(bound, rel=0.01)


def test_masks_are_no_part_of_a_state() -> None:
    assert set(MaskedLinear(torch.ones(2, 3)).state_dict()) == {"weight", "bias"}
