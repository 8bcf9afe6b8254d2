from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_ray.detectors.parts.feature_exchange import Exchange, ExtraHeads, draw_exchange
from asd_ray.detectors.parts.heads import SubClusterAdaCos, divergence

BRANCHES, WIDTH, CLASSES, COUNT = 3, 4, 5, 40


@pytest.fixture
def embedding() -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(COUNT, BRANCHES * WIDTH))).float()


@pytest.fixture
def soft() -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).dirichlet(np.ones(CLASSES), COUNT)).float()


def heads(featex: float, branch_losses: float) -> ExtraHeads:
    torch.manual_seed(0)
    new = partial(SubClusterAdaCos, sub_clusters=2, learned=True)
    return ExtraHeads(new, BRANCHES, WIDTH, CLASSES, featex=featex, branch_losses=branch_losses)


def test_each_branch_and_its_share_of_the_label_come_from_the_same_clip(embedding: Tensor, soft: Tensor) -> None:
    exchange = draw_exchange(COUNT, BRANCHES, 0.5, np.random.default_rng(0))
    mixed, labels = exchange.embeddings(embedding), exchange.labels(soft)
    assert labels.shape == (COUNT, (BRANCHES + 1) * CLASSES)
    kinds = set()
    for n in range(COUNT):
        expected = np.zeros((BRANCHES + 1, CLASSES), np.float32)
        for branch in range(BRANCHES):
            own = slice(branch * WIDTH, (branch + 1) * WIDTH)
            (source,) = (embedding[:, own] == mixed[n, own]).all(1).nonzero()[:, 0].tolist()
            if exchange.exchanged[n]:
                expected[branch + 1] = soft[source] / BRANCHES
                kinds.add((branch, source == n))
            else:
                assert source == n
                expected[0] = soft[n]
        np.testing.assert_allclose(labels[n].numpy(), expected.ravel(), rtol=1e-6)
    assert {(0, True), (1, False), (2, False)} <= kinds
    assert (0, False) not in kinds
    torch.testing.assert_close(labels.sum(1), torch.ones(COUNT))


def test_a_pair_by_hand() -> None:
    exchange = Exchange(torch.tensor([True, False]), torch.tensor([[0, 1], [1, 0]]))
    assert exchange.embeddings(torch.tensor([[1.0, 2], [3, 4]])).tolist() == [[1, 4], [3, 4]]
    labels = exchange.labels(torch.eye(2))
    assert labels.tolist() == [[0, 0, 0.5, 0, 0, 0.5], [0, 1, 0, 0, 0, 0]]


def test_the_probability_and_the_orders() -> None:
    exchange = draw_exchange(4000, 3, 0.3, np.random.default_rng(0))
    assert float(exchange.exchanged.float().mean()) == pytest.approx(0.3, abs=0.03)
    first, *others = exchange.sources
    assert torch.equal(first, torch.arange(4000))
    assert not torch.equal(*others)
    for source in others:
        assert torch.equal(source.sort().values, first)


def test_losses_are_those_of_the_heads(embedding: Tensor, soft: Tensor) -> None:
    both, rng = heads(0.5, 0.3), np.random.default_rng(0)
    assert both.exchange is not None
    assert {tuple(each.weight.shape) for each in both.branches} == {(2 * CLASSES, WIDTH)}
    assert both.exchange.weight.shape == (2 * (BRANCHES + 1) * CLASSES, BRANCHES * WIDTH)
    assert all(each.requires_grad for each in both.parameters())
    losses = both.losses(embedding, soft, rng)
    again, exchange = heads(0.5, 0.3), draw_exchange(COUNT, BRANCHES, 0.5, np.random.default_rng(0))
    assert again.exchange is not None
    labels = exchange.labels(soft)
    of_exchange = divergence(again.exchange.logits(exchange.embeddings(embedding), labels), labels)
    by_branch = [
        divergence(head.logits(part, soft), soft)
        for head, part in zip(again.branches, embedding.split(WIDTH, 1), strict=True)
    ]
    assert list(losses) == ["exchange", "branches"]
    torch.testing.assert_close(losses["exchange"], of_exchange)
    torch.testing.assert_close(losses["branches"], 0.3 * sum(by_branch))


def test_heads_that_are_off_do_not_exist_and_draw_nothing(embedding: Tensor, soft: Tensor) -> None:
    rng = np.random.default_rng(0)
    assert heads(0.0, 0.0).losses(embedding, soft, rng) == {}
    assert not list(heads(0.0, 0.0).parameters())
    assert list(heads(0.0, 1.0).losses(embedding, soft, rng)) == ["branches"]
    assert rng.random() == np.random.default_rng(0).random()
    assert list(heads(1.0, 0.0).losses(embedding, soft, rng)) == ["exchange"]
