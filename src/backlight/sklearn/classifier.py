"""`MLPClassifier`: scikit-learn's classifier, trained by Backlight."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import validate_data

from backlight import nn
from backlight.graph.primitive import Array
from backlight.sklearn.architecture import applied
from backlight.sklearn.base import BaseMultilayerPerceptron
from backlight.sklearn.constraints import CLASSIFIER
from backlight.sklearn.labels import Labels, learn
from backlight.sklearn.validation import Held


class MLPClassifier(ClassifierMixin, BaseMultilayerPerceptron):  # type: ignore[misc]  # untyped
    """A classifier: scikit-learn's `MLPClassifier`, trained by Backlight.

    It minimises Σwℓ/Σw + ½·α·Σ‖W‖²/Σw over batches, where ℓ is the cross-entropy of an example and
    w its weight.  Parameters, attributes and methods are those of scikit-learn and mean the same;
    from the same ``random_state`` both take the same steps, up to rounding.  What is beyond
    scikit-learn is marked *new*.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int
        How many nodes each hidden layer has.
    activation : str, callable or list of them
        Of the hidden layers: ``"identity"``, ``"logistic"``, ``"tanh"``, ``"relu"``; *new*:
        ``"leaky_relu"``, ``"elu"``, ``"gelu"``, ``"silu"``, ``"softplus"``, a function of a tensor,
        or one of these for each hidden layer.
    solver : {"adam", "sgd", "lbfgs"}
        Adam, gradient descent with momentum, or L-BFGS on all examples at once.
    alpha : float
        α, the strength of the penalty on the weights; biases are free.
    batch_size : int or "auto"
        Examples a step; ``"auto"`` is the smaller of 200 and their number.
    learning_rate : {"constant", "invscaling", "adaptive"}
        For ``"sgd"``: as it is; divided by tᵖ, where t is ``t_`` and p is ``power_t``; or divided
        by 5 when ``n_iter_no_change`` epochs have brought nothing.
    learning_rate_init : float
        The learning rate at the start.
    power_t : float
        p.
    max_iter : int
        The most epochs, or iterations of L-BFGS.
    shuffle : bool
        Whether each epoch has an order of its own.
    random_state : int, RandomState or None
        Of first weights, order, split and dropout.
    tol : float
        By how much an epoch must be better than the best before it to count; for L-BFGS the
        gradient that is small enough.
    verbose : bool or int
        Print the loss of every epoch.
    warm_start : bool
        Begin `fit` with the weights of the last fit.
    momentum : float
        For ``"sgd"``.
    nesterovs_momentum : bool
        Use Nesterov's form of it.
    early_stopping : bool
        Watch the score on a validation set instead of the loss, and end with the best weights.
    validation_fraction : float
        The share of the examples that is set aside for it, unless `fit` is given a set.
    beta_1, beta_2, epsilon : float
        For ``"adam"``.
    n_iter_no_change : int or inf
        After how many epochs without progress training stops.
    max_fun : int
        How often L-BFGS may compute the loss.
    loss : {"log_loss"} or callable
        *New.* A function of prediction (logits) and target (an indicator matrix), both tensors of
        shape (n, outputs), that returns one loss for each example.
    dropout : float or list of float
        *New.* The chance of dropping a node of a hidden layer, for all or for each of them.
    class_weight : dict, list of dict, "balanced" or None
        *New.* What an example of each class counts, times its own weight.
    callbacks : list or None
        *New.* Functions of a `backlight.train.RunState`, or objects with ``on_epoch_end`` or
        ``on_step_end``; one that returns True stops training.
    dtype : {"float32", "float64"} or None
        *New.* In what numbers to train; by default those of X, float64 unless X is float32.
    executor : {"auto", "native", "reference"}
        *New.* Compiled code, NumPy, or whichever suits the size of the task.
    threads : int or None
        *New.* How many threads compiled code and NumPy's matrix products may use; by default
        compiled code chooses by its size.

    Attributes
    ----------
    classes_ : ndarray or list of ndarray
        The labels, in the order of the outputs.
    coefs_ : list of ndarray of shape (inputs, outputs)
        The weights of each layer.
    intercepts_ : list of ndarray of shape (outputs,)
        The biases.
    loss_ : float
        Of the last epoch, with the penalty.
    best_loss_ : float or None
        The least of them; None with early stopping.
    loss_curve_ : list of float
        Of every epoch; also, *new*, of every iteration of L-BFGS.
    validation_scores_, best_validation_score_ : list of float, float; or None
        Accuracies on the validation set after every epoch, and the best of them.
    validation_loss_curve_ : list of float
        *New.* The loss there, without the penalty; empty when there is no validation set.
    n_iter_ : int
        How many epochs the last fit ran for.
    t_ : int
        How many examples all epochs have seen.
    n_layers_, n_outputs_ : int
        Counting input and output, and how many outputs there are.
    out_activation_ : str
        "softmax" for three classes or more, "logistic" for two or for several labels at once.
    n_features_in_, feature_names_in_
        Of the features; names when X is a data frame with text for column names.
    network_ : backlight.nn.Sequential
        *New.* The network, for `bl.explain`, `bl.record`, `bl.diagnose` and export.

    Raises
    ------
    ValueError
        From `fit`, when data or parameters do not fit, or when the loss is no longer finite
        (`DivergedError`).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((8,), "tanh", learning_rate_init=0.05, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95, model.out_activation_
    (True, 'softmax')
    >>> why = model.explain(X[:1], y[:1], weight="layers.2.weight[0,3]")
    >>> print(why.title.split(" = ")[0])
    ∂loss/∂w₁₄⁽²⁾
    """

    _parameter_constraints = CLASSIFIER
    _labels: Labels

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        loss: Any = "log_loss",
        dropout: Any = 0.0,
        class_weight: Any = None,
        callbacks: Any = None,
        dtype: str | None = None,
        executor: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            loss=loss,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            dropout=dropout,
            callbacks=callbacks,
            dtype=dtype,
            executor=executor,
            threads=threads,
        )
        self.class_weight = class_weight

    # ── fitting ──────────────────────────────────────────────────────────────────────────────

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPClassifier:
        """Fit to features and labels.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)
            float32 is trained in float32, everything else in float64.
        y : array_like of shape (n,) or (n, outputs)
            Labels of any kind, or an indicator matrix for several labels at once.
        sample_weight : array_like of shape (n,), optional
        X_val, y_val, sample_weight_val : optional
            A validation set: its score and loss are measured after every epoch, and
            ``early_stopping=True`` watches it instead of setting examples aside.

        Returns
        -------
        MLPClassifier
            Itself.
        """
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=False)
        return self

    @available_if(lambda estimator: estimator._check_solver())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Train for one epoch on these examples, going on from the last call.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)
        y : array_like of shape (n,)
        sample_weight : array_like of shape (n,), optional
        classes : array_like, optional
            All labels that there will be; needed at the first call.

        Returns
        -------
        MLPClassifier
            Itself.
        """
        if _check_partial_fit_first_call(self, classes):
            several = str(type_of_target(y)).startswith("multilabel")
            self._labels = learn(y if several else classes)
        self._fit(X, y, sample_weight, (None, None, None), incremental=True)
        return self

    def _checked_pair(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _checked(self, X: Any, y: Any, *, reset: bool, incremental: bool) -> tuple[Any, Any]:
        X, y = self._checked_pair(X, y, reset=reset)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._labels = learn(y)
            self.classes_ = self._labels.classes
            return X, y
        found = unique_labels(y)
        if self.warm_start and set(found) != set(self.classes_):
            raise ValueError(
                f"warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit: it had {self.classes_} and `y` has {found}."
            )
        if len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`: {found} beside {self.classes_}; name "
                f"all classes at the first call of partial_fit."
            )
        return X, y

    def _targets(self, y: Any, dtype: str) -> Array:
        return self._labels.targets(y, dtype)

    def _output(self) -> str:
        return "softmax" if self._labels.several else "logistic"

    @property
    def _stratified(self) -> bool:
        return self.n_outputs_ == 1

    def _class_weights(self, y: Any, *, incremental: bool) -> Array | None:
        if self.class_weight is None:
            return None
        if incremental and not isinstance(self.class_weight, dict):
            raise ValueError(
                "class_weight='balanced' counts all examples, and partial_fit sees a part of them; "
                "give the weights as a dict."
            )
        found: Array = compute_sample_weight(self.class_weight, y)
        return found

    # ── predicting ───────────────────────────────────────────────────────────────────────────

    def predict(self, X: Any) -> Any:
        """Return the most likely class of each example.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)

        Returns
        -------
        ndarray of shape (n,), or (n, outputs) for several labels at once
        """
        found = self._activated(X)
        return self._labels.named(found.ravel() if self.n_outputs_ == 1 else found)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of ``classes_``.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)

        Returns
        -------
        ndarray of shape (n, classes)
        """
        found = self._activated(X)
        return np.hstack([1.0 - found, found]) if self.n_outputs_ == 1 else found

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`, computed without rounding to −∞.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)

        Returns
        -------
        ndarray of shape (n, classes)
        """
        raw = self._raw(X)
        if self.out_activation_ == "softmax":
            return applied(nn.log_softmax, raw)
        both = np.hstack([-raw, raw]) if self.n_outputs_ == 1 else raw
        return -applied(nn.softplus, -both)

    def _score(self, raw: Array, held: Held) -> float:
        """Return the share of examples whose labels are all right."""
        if self.out_activation_ == "softmax":
            right = raw.argmax(axis=1) == held.targets.argmax(axis=1)
        else:
            right = ((self._objective.activated(raw) > 0.5) == (held.targets > 0.5)).all(axis=1)
        return float(np.average(right, weights=held.weights))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
