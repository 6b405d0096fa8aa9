"""A new process trains 64-128-10 on the digits with Backlight until it is right on 97 %."""

import backlight as bl

train, test = bl.data.load("digits").split(test=0.2, seed=0)
net = bl.nn.Sequential(bl.nn.Linear(64, 128), bl.nn.ReLU(), bl.nn.Linear(128, 10), seed=0)
run = bl.fit(
    net,
    train,
    loss=bl.nn.cross_entropy,
    optimizer=bl.optim.Adam(3e-3),
    epochs=60,
    batch_size=32,
    validation=test,
    seed=0,
    executor="native",
    callbacks=[lambda state: state.history["validation_accuracy"][-1] >= 0.97],
)
print(run.history["validation_accuracy"][-1], len(run.history["loss"]))
