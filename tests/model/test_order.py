"""Medians and quantiles are those of torch."""

import pytest
import torch

from mnad.model.order import median, quantile


@pytest.mark.parametrize("count", [1, 2, 514, 569])
@pytest.mark.parametrize("levels", [0, 7])
def test_values_are_those_of_torch(count, levels):
    values = torch.randn(5, count, generator=torch.Generator().manual_seed(count))
    values = (values * levels).round() if levels else values  # many equal ones
    assert torch.equal(median(values), values.median(dim=-1).values)
    assert torch.equal(median(values.view(5, 1, count)), values.median(dim=-1).values[:, None])
    for q in (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.999, 1.0):
        torch.testing.assert_close(quantile(values, q), torch.quantile(values, q, dim=1), rtol=0, atol=2e-5)


def test_not_a_number_stays():
    values = torch.tensor([[1.0, float("nan"), 2.0], [1.0, 3.0, 2.0]])
    assert quantile(values, 0.0).isnan().tolist() == [True, False]
    assert median(values).isnan().tolist() == [True, False] and median(values)[1] == 2


def test_gradient_flows():
    values = torch.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
    (quantile(values, 0.5) + median(values)).sum().backward()
    assert values.grad.tolist() == [[0, 0, 2]]
