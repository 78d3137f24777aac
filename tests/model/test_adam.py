"""Adam without its wrappers takes the steps that torch's own takes."""

from __future__ import annotations

import copy

import torch
from torch import nn

from forecast.model.adam import Adam


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 1))


def test_the_same_steps_bit_for_bit():
    ours = network()
    theirs = copy.deepcopy(ours)
    quick = Adam(ours.parameters(), learning_rate=1e-2, weight_decay=1e-2)
    plain = torch.optim.Adam(theirs.parameters(), lr=1e-2, weight_decay=1e-2, fused=True)
    for number in range(30):
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(number))
        for one in (ours, theirs):
            # now and then a layer takes no part, at the first step too
            through = nn.Sequential(one[0], one[1], one[3]) if number % 7 == 0 else one
            through(x).square().mean().backward()
        if number == 20:  # as a schedule does
            quick.param_groups[0]["lr"] = plain.param_groups[0]["lr"] = 3e-3
        quick.advance()
        plain.step()
        plain.zero_grad()
        assert all(parameter.grad is None for parameter in ours.parameters())
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(mine, other)
