"""What classifier and regressor share: checking, prediction, and looking inside.

The names and meanings are those of scikit-learn's estimators.  From the same random state both
draw the same first weights, splits and orders, so that they agree up to rounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from backlight import nn
from backlight.errors import UsageError
from backlight.explain import explain
from backlight.graph.primitive import Array
from backlight.sklearn import architecture as layers
from backlight.sklearn.architecture import Architecture
from backlight.sklearn.course import Examples, Standing
from backlight.sklearn.objective import Objective, explained_loss, penalty
from backlight.sklearn.training import DivergedError, Task, Training
from backlight.sklearn.validation import Held
from backlight.tensor import tensor

SOLVERS_BY_STEPS = ("sgd", "adam")


class BaseMultilayerPerceptron(BaseEstimator, ABC):  # type: ignore[misc]  # untyped
    """The base of `MLPClassifier` and `MLPRegressor`; see there."""

    coefs_: list[Array]
    intercepts_: list[Array]
    loss_curve_: list[float]
    validation_scores_: Any
    validation_loss_curve_: Any
    best_loss_: Any
    best_validation_score_: Any
    loss_: float
    n_iter_: int
    t_: int
    n_outputs_: int
    _no_improvement_count: int

    def __init__(
        self,
        *,
        hidden_layer_sizes: Any,
        activation: Any,
        solver: str,
        alpha: float,
        batch_size: Any,
        learning_rate: str,
        learning_rate_init: float,
        power_t: float,
        max_iter: int,
        loss: Any,
        shuffle: bool,
        random_state: Any,
        tol: float,
        verbose: Any,
        warm_start: bool,
        momentum: float,
        nesterovs_momentum: bool,
        early_stopping: bool,
        validation_fraction: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        n_iter_no_change: float,
        max_fun: int,
        dropout: Any,
        callbacks: Any,
        dtype: str | None,
        executor: str,
        threads: int | None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.loss = loss
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.callbacks = callbacks
        self.dtype = dtype
        self.executor = executor
        self.threads = threads

    # ── what classifier and regressor say ────────────────────────────────────────────────────

    @abstractmethod
    def _checked(self, X: Any, y: Any, *, reset: bool, incremental: bool) -> tuple[Any, Any]:
        """Check features and targets; with ``reset`` learn the classes anew."""

    @abstractmethod
    def _targets(self, y: Any, dtype: str) -> Array:
        """Return checked targets as the loss takes them, of shape (n, outputs)."""

    @abstractmethod
    def _output(self) -> str:
        """Return the output activation that goes with the loss and the targets."""

    @abstractmethod
    def _score(self, raw: Array, held: Held) -> float:
        """Return what `score` would for a validation set whose outputs are known."""

    @property
    def _stratified(self) -> bool:
        """Whether a validation set is split off class by class."""
        return False

    def _class_weights(self, y: Any, *, incremental: bool) -> Array | None:
        """Return the weight of each example's class."""
        return None

    # ── fitting ──────────────────────────────────────────────────────────────────────────────

    @property
    def _stochastic(self) -> bool:
        return self.solver in SOLVERS_BY_STEPS

    def _check_solver(self) -> bool:
        if not self._stochastic:
            raise AttributeError(
                f"partial_fit needs a solver that takes steps, 'adam' or 'sgd', and solver is "
                f"{self.solver!r}."
            )
        return True

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, held: tuple[Any, Any, Any], incremental: bool
    ) -> None:
        """Fit; ``held`` is a given validation set: X, y and weights, or three times None."""
        hidden = layers.hidden_sizes(self.hidden_layer_sizes)
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._checked(X, y, reset=first, incremental=incremental)
        # Who goes on with weights goes on in their dtype.
        dtype = self.dtype or str(X.dtype if first else self.coefs_[0].dtype)
        X = X.astype(dtype, copy=False)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        by_class = self._class_weights(y, incremental=incremental)
        if by_class is not None:
            weights = by_class if weights is None else weights * by_class
        targets = self._targets(y, dtype)
        random = check_random_state(self.random_state)
        self.n_outputs_ = targets.shape[1]
        planned = Architecture(
            (X.shape[1], *hidden, self.n_outputs_),
            layers.activations(self.activation, len(hidden)),
            layers.dropout(self.dropout, len(hidden)),
            dtype,
        )
        if first:
            self._start(planned, random)
        self._check_fits(planned)
        given = self._given(*held, dtype) if held[0] is not None or held[1] is not None else None
        if given is None and self.early_stopping and self._stochastic:
            if incremental:
                raise ValueError(
                    "partial_fit does not support early_stopping=True, because it sees a part of "
                    "the examples only; set early_stopping=False."
                )
            X, targets, weights, given = self._split(X, targets, weights, random)
        if given is not None and not isinstance(self.validation_scores_, list):
            self.validation_scores_ = []
            self.best_validation_score_ = -np.inf
        rows = X.tocsr() if not isinstance(X, np.ndarray) else np.ascontiguousarray(X)
        examples = Examples(rows, targets, None if weights is None else weights.astype(dtype))
        task = Task(examples, given, planned, self._objective, random, incremental)
        with limited_threads(self.threads):
            training = Training(self, task)
            (training.by_steps if self._stochastic else training.at_once)()
        if not all(np.isfinite(each).all() for each in (*self.coefs_, *self.intercepts_)):
            raise DivergedError(
                "Training gave non-finite parameter weights: lower learning_rate_init, or scale "
                "the features and targets."
            )

    def _start(self, planned: Architecture, random: np.random.RandomState) -> None:
        """Draw the first weights and forget what an earlier fit wrote down."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(planned.sizes)
        self.out_activation_ = self._output()
        self.coefs_, self.intercepts_ = layers.first_weights(planned, random)
        self.loss_curve_ = []
        self.validation_loss_curve_ = []
        self._no_improvement_count = 0
        self._standing: Standing | None = None
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _check_fits(self, planned: Architecture) -> None:
        """Refuse to go on with weights of another shape."""
        shapes = [each.shape for each in self.coefs_]
        wanted = list(pairwise(planned.sizes))
        if shapes != wanted:
            raise ValueError(
                f"The weights have shapes {shapes} and hidden_layer_sizes with this data ask for "
                f"{wanted}; fit with warm_start=False to begin anew."
            )
        self._architecture = planned

    def _given(self, X: Any, y: Any, weights: Any, dtype: str) -> Held:
        """Check a given validation set."""
        if X is None or y is None:
            raise UsageError("A validation set needs both X_val and y_val.")
        X, y = self._checked_pair(X, y, reset=False)
        if weights is not None:
            weights = _check_sample_weight(weights, X, dtype=X.dtype)
        return Held(X.astype(dtype, copy=False), self._targets(y, dtype), weights)

    @abstractmethod
    def _checked_pair(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Check features and targets, and no more."""

    def _split(
        self, X: Any, targets: Array, weights: Array | None, random: Any
    ) -> tuple[Any, Array, Array | None, Held]:
        """Set a share of the examples aside for validation."""
        parts = [X, targets] if weights is None else [X, targets, weights]
        cut = train_test_split(
            *parts,
            random_state=random,
            test_size=self.validation_fraction,
            stratify=targets if self._stratified else None,
        )
        X, X_val, targets, held = cut[:4]
        weights, aside = cut[4:] or (None, None)
        if X_val.shape[0] < 2:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} sets only {X_val.shape[0]} "
                f"example aside; raise it, or give a validation set (X_val, y_val)."
            )
        return X, np.ascontiguousarray(targets), weights, Held(X_val, held, aside)

    @property
    def _objective(self) -> Objective:
        return Objective(self.out_activation_, self.loss if callable(self.loss) else None)

    def _parameters(self, dtype: str) -> list[Array]:
        """Return copies of the parameters in the layout of `network_`."""
        found = []
        for weight, bias in zip(self.coefs_, self.intercepts_, strict=True):
            found.append(np.array(weight.T, dtype, order="C"))
            found.append(np.array(bias, dtype, order="C"))
        return found

    def _take(self, parameters: Sequence[Array]) -> None:
        """Set ``coefs_`` and ``intercepts_`` from parameters in the layout of `network_`."""
        self.coefs_ = [np.array(each.T, order="C") for each in parameters[::2]]
        self.intercepts_ = [np.array(each) for each in parameters[1::2]]

    # ── predicting ───────────────────────────────────────────────────────────────────────────

    def _raw(self, X: Any, *, check: bool = True) -> Array:
        """Return the values before the output activation."""
        if check:
            check_is_fitted(self)
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        if self.dtype is not None:
            X = X.astype(self.dtype, copy=False)
        with limited_threads(self.threads):
            return layers.outputs(self._architecture, X, self.coefs_, self.intercepts_)

    def _activated(self, X: Any) -> Array:
        raw = self._raw(X)
        return self._objective.activated(raw)

    # ── looking inside ───────────────────────────────────────────────────────────────────────

    @property
    def network_(self) -> nn.Sequential:
        """The fitted network, for `bl.explain`, `bl.record`, `bl.diagnose` and export.

        It is made anew at every access, from ``coefs_`` and ``intercepts_`` as they are.  It ends
        before the output activation, with logits; its weights have shape (outputs, inputs).
        """
        check_is_fitted(self)
        return layers.network(self._architecture, self._parameters(self._architecture.dtype))

    def explain(
        self,
        X: Any,
        y: Any,
        *,
        weight: str,
        sample_weight: Any = None,
        penalty: bool = False,
        fold: bool = True,
    ) -> Any:
        """Explain the derivative of the loss by a weight, as `backlight.explain` does.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, features)
            The examples that the loss is the mean of; one alone is easiest to read.
        y : array_like
            Their targets, as for `fit`.
        weight : str
            A parameter of `network_` with an index, ``"layers.0.weight[3,1]"``: from feature 1 to
            node 3 of the first hidden layer.  Without an index, the whole tensor.
        sample_weight : array_like of shape (n,), optional
        penalty : bool
            Include the penalty ½·α·Σ‖W‖²/Σw; the derivative is then the one that a step on these
            examples takes.
        fold : bool
            Show composites such as a softmax as one step.

        Returns
        -------
        Derivation or TensorDerivation
        """
        check_is_fitted(self)
        X, y = self._checked_pair(X, y, reset=False)
        dtype = self._architecture.dtype
        dense = X if isinstance(X, np.ndarray) else X.toarray()
        net = self.network_
        weights = None
        if sample_weight is not None:
            weights = tensor(_check_sample_weight(sample_weight, X).astype(dtype), name="weights")
        prediction = net(tensor(dense.astype(dtype), name="X"))
        target = tensor(self._targets(y, dtype), name="y")
        decay = None
        if penalty:
            matrices = [each for each in net.parameters().values() if each.ndim == 2]
            decay = float(self.alpha) * penalty_of(matrices)
        loss = explained_loss(self._objective, prediction, target, weights, decay)
        return explain(loss, net, weight=weight, fold=fold)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


penalty_of = penalty


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Let NumPy's matrix products use so many threads inside the block; None leaves them alone."""
    if threads is None:
        yield
        return
    # Here, because it is rarely needed; scikit-learn brings it.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=int(threads)):
        yield
