"""`MLPRegressor`: scikit-learn's regressor, trained by Backlight."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from backlight.graph.primitive import Array
from backlight.sklearn.base import BaseMultilayerPerceptron
from backlight.sklearn.constraints import REGRESSOR
from backlight.sklearn.validation import Held


class MLPRegressor(RegressorMixin, BaseMultilayerPerceptron):  # type: ignore[misc]  # untyped
    """A regressor: scikit-learn's `MLPRegressor`, trained by Backlight.

    It minimises Σwℓ/Σw + ½·α·Σ‖W‖²/Σw over batches, where ℓ is the loss of an example and w its
    weight.  Parameters, attributes and methods are those of scikit-learn and mean the same; from
    the same ``random_state`` both take the same steps, up to rounding.  What is beyond scikit-learn
    is marked *new*.

    Parameters
    ----------
    loss : {"squared_error", "poisson"} or callable
        Half the squared error; half the Poisson deviance with targets of 0 or more and exp as
        output activation; or, *new*, a function of prediction and target, both tensors of shape
        (n, outputs), that returns one loss for each example, such as `backlight.nn.huber`.
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
    dropout : float or list of float
        *New.* The chance of dropping a node of a hidden layer, for all or for each of them.
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
        R² on the validation set after every epoch, and the best of them.
    validation_loss_curve_ : list of float
        *New.* The loss there, without the penalty; empty when there is no validation set.
    n_iter_ : int
        How many epochs the last fit ran for.
    t_ : int
        How many examples all epochs have seen.
    n_layers_, n_outputs_ : int
        Counting input and output, and how many outputs there are.
    out_activation_ : str
        "identity", or "exp" with the Poisson loss.
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
    >>> import numpy as np
    >>> X = np.linspace(-1.0, 1.0, 50).reshape(-1, 1)
    >>> model = MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", solver="lbfgs",
    ...                      random_state=0).fit(X, X[:, 0] ** 2)
    >>> model.score(X, X[:, 0] ** 2) > 0.99, model.out_activation_
    (True, 'identity')
    """

    _parameter_constraints = REGRESSOR

    def __init__(
        self,
        loss: Any = "squared_error",
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
        dropout: Any = 0.0,
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
    ) -> MLPRegressor:
        """Fit to features and numbers.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)
            float32 is trained in float32, everything else in float64.
        y : array_like of shape (n,) or (n, outputs)
        sample_weight : array_like of shape (n,), optional
        X_val, y_val, sample_weight_val : optional
            A validation set: its score and loss are measured after every epoch, and
            ``early_stopping=True`` watches it instead of setting examples aside.

        Returns
        -------
        MLPRegressor
            Itself.
        """
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=False)
        return self

    @available_if(lambda estimator: estimator._check_solver())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one epoch on these examples, going on from the last call.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)
        y : array_like of shape (n,) or (n, outputs)
        sample_weight : array_like of shape (n,), optional

        Returns
        -------
        MLPRegressor
            Itself.
        """
        self._fit(X, y, sample_weight, (None, None, None), incremental=True)
        return self

    def _checked_pair(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if self.loss == "poisson" and (np.asarray(y) < 0).any():
            raise ValueError("loss='poisson' needs targets of 0 or more, and y has negative ones.")
        return X, y

    def _checked(self, X: Any, y: Any, *, reset: bool, incremental: bool) -> tuple[Any, Any]:
        return self._checked_pair(X, y, reset=reset)

    def _targets(self, y: Any, dtype: str) -> Array:
        return np.ascontiguousarray(y.reshape(len(y), -1), dtype)

    def _output(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    # ── predicting ───────────────────────────────────────────────────────────────────────────

    def predict(self, X: Any) -> Array:
        """Return the predicted numbers.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)

        Returns
        -------
        ndarray of shape (n,), or (n, outputs) for more than one
        """
        found = self._activated(X)
        return found.ravel() if found.shape[1] == 1 else found

    def _score(self, raw: Array, held: Held) -> float:
        """Return the mean over the outputs of R² = 1 − Σw(y − ŷ)²/Σw(y − ȳ)²."""
        predicted = self._objective.activated(raw)
        weights = np.ones(len(raw)) if held.weights is None else held.weights
        wide = weights[:, None]
        mean = np.average(held.targets, axis=0, weights=weights)
        rest = (wide * (held.targets - predicted) ** 2).sum(axis=0)
        total = (wide * (held.targets - mean) ** 2).sum(axis=0)
        # Of targets that are all the same, as scikit-learn has it: 1 for a perfect fit, else 0.
        constant = np.where(rest == 0.0, 1.0, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.where(total == 0.0, constant, 1.0 - rest / total).mean())
