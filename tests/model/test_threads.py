"""Threads for scoring: each computes alone, and PyTorch has its own number back."""

import pytest
import torch

from mnad.model.threads import one_thread_each


def test_number_is_given_and_restored():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with pytest.raises(ValueError), one_thread_each() as threads:
            assert (threads, torch.get_num_threads()) == (3, 1)
            raise ValueError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_one_on_a_gpu():
    before = torch.get_num_threads()
    with one_thread_each("cuda") as threads:
        assert threads == 1 and torch.get_num_threads() == before
