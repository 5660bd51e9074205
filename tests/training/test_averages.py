from __future__ import annotations

import torch

from s2st_aug.training.averages import update_average


def test_weights_and_statistics_move_by_their_share_and_counts_are_copied():
    average, network = (torch.nn.BatchNorm1d(1) for _ in range(2))
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(8.0)
        network.num_batches_tracked.fill_(7)
    update_average(average, network, 0.75)
    assert (average.weight.item(), average.running_mean.item()) == (1.5, 2.0)
    assert average.num_batches_tracked.item() == 7
