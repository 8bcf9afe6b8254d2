"""Numbers as people read them."""

from __future__ import annotations

import pytest

from asd_ray._numbers import count, short


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (9999.4, "9999"),
        (9999.6, "10000"),
        (-9999.6, "-10000"),
        (12345.6, "12346"),
        (999999.6, "1000000"),
        (2.5e6, "2.5e+06"),
        (0.0012346, "0.001235"),
        (1.2345678e-05, "1.23e-05"),
        (0.0, "0"),
        (123456, "123456"),
        (float("nan"), "nan"),
    ],
)
def test_a_number_has_few_digits(value: float, expected: str) -> None:
    assert short(value) == expected


def test_a_count_has_its_plural() -> None:
    assert [count(many, "fault") for many in (0, 1, 1200)] == ["0 faults", "1 fault", "1,200 faults"]
    assert [count(many, "more study", "more studies") for many in (1, 2)] == ["1 more study", "2 more studies"]
