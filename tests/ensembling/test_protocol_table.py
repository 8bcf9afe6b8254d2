"""A protocol of one's own: one object in the table is measured, stored, verified and shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from asd_ray.ensembling import EnsembleConfig, Recipe, choose, protocols, read, verify
from asd_ray.ensembling.evaluation_set import EvaluationSet
from asd_ray.ensembling.protocols import Measurement
from asd_ray.ensembling.protocols._base import measure_parts
from asd_ray.ledger import Ledger
from asd_ray.reporting import write_report
from tests.ensembling.conftest import make_ledger
from tests.hostile import Verbs

CONFIG = EnsembleConfig(repeats=1, folds=2, draws=20)


class CrossDomain:
    name = "cross_domain"
    sentence = "chosen on the clips of the other domain and measured on the domain left out"
    forecasts = True

    def possible(self, evaluation: EvaluationSet, recipe: Recipe) -> bool:
        return recipe.uses_labels and evaluation.scorer.clips["domain"].nunique() > 1

    def measure(self, evaluation: EvaluationSet, recipe: Recipe, config: EnsembleConfig) -> Measurement:
        domains = evaluation.scorer.clips["domain"].to_numpy()
        parts = [domains == domain for domain in sorted(set(domains))]
        return measure_parts(self.name, evaluation, recipe, [parts], config.seed)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return make_ledger(tmp_path / "run", strength=0.6, year=2020)


@pytest.fixture
def with_cross_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "PROTOCOLS", (*protocols.PROTOCOLS, CrossDomain()))


def test_every_protocol_has_a_name_and_a_sentence() -> None:
    names = ["unseen", "nested", "label_free", "oracle", "crossval", "cross_id", "cross_machine"]
    assert protocols.names() == names
    assert {*protocols.CHOICE} | {"unseen", "nested"} == {*protocols.HEADLINE}
    assert set(protocols.HEADLINE) <= set(protocols.names())
    assert [protocol.name for protocol in protocols.every() if not protocol.forecasts] == ["oracle"]
    for protocol in protocols.every():
        assert protocol.sentence.startswith("chosen ")
        assert not protocol.sentence.endswith(".")


@pytest.mark.usefixtures("with_cross_domain")
def test_a_protocol_in_the_table_is_measured_stored_verified_and_shown(
    ledger: Ledger, tmp_path: Path, verbs: Verbs
) -> None:
    comparison = choose(ledger, "fan", ["top_k"], CONFIG)
    metric = comparison.final.metrics["cross_domain"]
    assert 0 < metric.value <= 1
    assert metric.labels == CrossDomain.sentence
    assert metric.single.protocol == "cross_domain"
    assert comparison.final.headline_protocol == "nested"
    assert "cross_domain" in comparison.final.metrics

    path = Path(comparison.path)
    assert json.loads(path.read_text())["metrics"]["cross_domain"]["value"] == metric.value
    assert read(path) == comparison.final
    differences = verify(ledger, read(path))
    assert differences["metrics/cross_domain/value"] == max(differences.values()) == 0.0

    report = write_report(ledger, tmp_path / "report")
    page, markdown = (Path(report.page).with_suffix(end).read_text() for end in (".html", ".md"))
    assert f"cross_domain: {CrossDomain.sentence}." in page
    assert re.search(r'<th[^>]*><span class="term"><button [^>]*>cross_domain</button>', page), "a column with its term"
    assert f"{metric.value:.4f}" in page
    assert "cross\\_domain" in markdown
    facts = json.loads(Path(report.page).with_suffix(".json").read_text())
    assert facts["machines"]["fan"]["recipes"][0]["cross_domain"] == metric.value
    assert facts["provenance"]["protocols"]["cross_domain"] == CrossDomain.sentence
    assert "cross_domain" in (tmp_path / "report" / "recipes.csv").read_text().splitlines()[0]

    printed = verbs("ensemble", "fan", "--run", ledger.layout.root, "--recipe", "top_k", "--folds", "2").out
    assert f"cross_domain: {CrossDomain.sentence}." in printed


def test_a_number_of_a_protocol_that_is_not_in_the_table_is_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(protocols, "PROTOCOLS", (*protocols.PROTOCOLS, CrossDomain()))
        path = Path(choose(ledger, "fan", ["top_k"], CONFIG).path)
    stored = json.loads(path.read_text())
    ensemble = read(path)
    assert "cross_domain" not in ensemble.metrics
    assert ensemble.to_json() == stored
    assert "cross_domain" in stored["metrics"]
