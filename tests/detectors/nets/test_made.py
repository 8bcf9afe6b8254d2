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
        (3, 8, [1, 4, 7]),  # too narrow for seven degrees: evenly from first to last
        (2, 1, [1, 1]),  # one group only: no output depends on a hidden unit
    ],
)
def test_degrees_of_hidden_units(width: int, last: int, degrees: list[int]) -> None:
    assert hidden_degrees(width, last).tolist() == degrees


def test_masks_match_an_example_by_hand() -> None:
    inputs, outputs = torch.tensor([0, 1, 2, 3]), torch.tensor([1, 2, 3])
    hidden = hidden_degrees(2, 3)
    assert hidden_mask(inputs, hidden).tolist() == [[True, True, False, False], [True, True, True, False]]
    assert output_mask(hidden, outputs).tolist() == [[False, False], [True, False], [True, True]]


def sees(inputs: Tensor, widths: list[int], outputs: Tensor) -> Tensor:
    """[outputs, inputs]: which derivatives of a net are not zero. With positive weights no paths cancel."""
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
        ([6, 5, 4, 3, 2, 1], [5, 7], [6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1]),  # reversed, with two outputs per input
        ([1, 1, 1, 2, 2, 2, 3, 3, 3], [8, 3, 8], [1, 1, 1, 2, 2, 2, 3, 3, 3]),  # by groups
        ([1, 1, 2, 2, 1, 1], [4, 2, 4], [1, 1, 2, 2, 1, 1]),  # the middle from its neighbours
        ([2, 2], [3], [2, 2, 1]),
        ([1], [2], [1]),
    ],
)
def test_an_output_depends_on_every_lower_degree_and_no_other(
    inputs: list[int], widths: list[int], outputs: list[int]
) -> None:
    into, out = torch.tensor(inputs), torch.tensor(outputs)
    assert torch.equal(sees(into, widths, out), out[:, None] > into)


def test_a_condition_reaches_every_output_that_depends_on_anything() -> None:
    inputs, outputs = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([1, 2, 3])
    actual = sees(inputs, [6], outputs)
    assert actual[:, :2].tolist() == [[False, False], [True, True], [True, True]]
    assert torch.equal(actual[:, 2:], outputs[:, None] > inputs[2:])


def test_masked_weights_have_no_effect_and_are_never_trained() -> None:
    mask = torch.tensor([[True, False, True], [False, False, False]])
    layer, inputs = MaskedLinear(mask), torch.randn(4, 3)
    assert torch.equal(layer(inputs)[:, 1], layer.bias[1].expand(4))
    layer(inputs).square().sum().backward()
    assert torch.equal(layer.weight.grad != 0, mask)
    before = layer(inputs)
    layer.weight.data[~mask] = 9.0
    assert torch.equal(layer(inputs), before)


def test_initial_weights_depend_on_the_number_of_allowed_inputs() -> None:
    mask = torch.zeros(50, 600, dtype=torch.bool)
    mask[:25, :6] = True
    mask[25:] = True
    layer = MaskedLinear(mask)
    layer.he()
    assert not layer.bias.any()
    for rows, bound in ((slice(0, 25), 1.0), (slice(25, 50), 0.1)):  # sqrt(6 / 6) and sqrt(6 / 600)
        assert float(layer.weight[rows].detach().abs().max()) == pytest.approx(bound, rel=0.01)


def test_masks_are_not_part_of_a_state() -> None:
    assert set(MaskedLinear(torch.ones(2, 3)).state_dict()) == {"weight", "bias"}
