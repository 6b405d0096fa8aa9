"""A new process trains 64-128-10 on the digits with PyTorch until it is right on 97 %."""

import sys

import numpy as np
import torch

X, y = (torch.from_numpy(each) for each in np.load(sys.argv[1]).values())
n = 1437
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3, fused=True)
accuracy = 0.0
for epoch in range(1, 61):  # noqa: B007 (printed at the end)
    order = torch.randperm(n)
    for start in range(0, n, 32):
        rows = order[start : start + 32]
        loss = torch.nn.functional.cross_entropy(net(X[rows]), y[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (net(X[n:]).argmax(1) == y[n:]).float().mean().item()
    if accuracy >= 0.97:
        break
print(accuracy, epoch)
