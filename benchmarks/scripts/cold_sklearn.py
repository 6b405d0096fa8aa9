"""A new process trains 64-128-10 on the digits with scikit-learn until it is right on 97 %."""

import sys

import numpy as np
from sklearn.neural_network import MLPClassifier

X, y = np.load(sys.argv[1]).values()
n = 1437
net = MLPClassifier((128,), alpha=0.0, batch_size=32, learning_rate_init=3e-3, random_state=0)
accuracy = 0.0
for epoch in range(1, 61):  # noqa: B007 (printed at the end)
    net.partial_fit(X[:n], y[:n], classes=np.arange(10))
    accuracy = net.score(X[n:], y[n:])
    if accuracy >= 0.97:
        break
print(accuracy, epoch)
