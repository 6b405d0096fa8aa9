"""Transforms: functions that take a function and return its derivative.

Arguments and results may be nested dictionaries, lists and tuples of Python floats, arrays and
tensors; results are tensors in the same containers.  Each differentiated argument passes through
an identity node of its own, and the derivative is taken with respect to that node, so that
transforms nest to any order without mistaking one another's variables.

A derivative with respect to an argument that the result does not depend on is zero.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from backlight.differentiate.batching import vectorize
from backlight.differentiate.calls import (
    Function,
    check_function,
    matching,
    positions_of,
    prepare,
    pull,
    results_of,
    scalar,
)
from backlight.differentiate.forward import push
from backlight.differentiate.jacobians import columns, rows
from backlight.differentiate.reverse import unit_seed
from backlight.graph.pytree import flatten, unflatten
from backlight.tensor import Tensor


def value_and_grad(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return a function that gives the value of a function and its gradient at once.

    Parameters
    ----------
    function : callable
        Returns one floating-point scalar.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        ``(value, gradient)``; the gradient has the container of the argument, and is a tuple of
        such when ``argnums`` is a sequence.

    Raises
    ------
    GradientError
        When the result is not a scalar, or an argument is not floating-point.
    UsageError
        When ``argnums`` names no argument.

    Examples
    --------
    >>> value_and_grad(lambda x: x**3)(2.0)
    (Tensor(8.), Tensor(12.))
    """
    check_function(function, "value_and_grad")

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> tuple[Tensor, Any]:
        positions = positions_of(argnums, len(arguments), "grad")
        call = prepare(function, arguments, positions, "grad")
        value = scalar(function, call, options, "grad")
        gradients = pull([value], [unit_seed(value, "grad")], call)
        return value, call.shape(gradients, isinstance(argnums, int))

    return run


def grad(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the gradient of a function, by reverse mode.

    Parameters
    ----------
    function : callable
        Returns one floating-point scalar.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        The gradient, in the container of the argument (a tuple of such when ``argnums`` is a
        sequence); zeros for what the result does not depend on.

    Raises
    ------
    GradientError
        When the result is not a scalar, or an argument is not floating-point.
    UsageError
        When ``argnums`` names no argument.

    Examples
    --------
    >>> grad(lambda x: x**3)(2.0)
    Tensor(12.)
    >>> grad(grad(lambda x: x**3))(2.0)
    Tensor(12.)
    >>> grad(lambda p: p["w"] * p["x"])({"w": 2.0, "x": 5.0})
    {'w': Tensor(5.), 'x': Tensor(2.)}
    """
    check_function(function, "grad")
    both = value_and_grad(function, argnums)

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        return both(*arguments, **options)[1]

    return run


def vjp(function: Function, *arguments: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the value of a function and the map that carries gradients back through it.

    Parameters
    ----------
    function : callable
    *arguments
        All floating-point; close over anything else.

    Returns
    -------
    value
        What the function returned.
    pullback : callable
        Takes a gradient in the container of ``value`` (the seed) and returns the gradient of the
        argument: the seed times the Jacobian.  A tuple of gradients for several arguments.

    Raises
    ------
    GradientError
        When an argument or the result is not floating-point.
    ShapeError
        From the pullback, when the seed does not fit the value.

    Examples
    --------
    >>> import backlight as bl
    >>> value, pullback = vjp(lambda x: x * x, bl.tensor([1.0, 2.0]))
    >>> pullback(bl.tensor([1.0, 10.0]))
    Tensor([ 2., 40.])
    """
    check_function(function, "vjp")
    call = prepare(function, arguments, range(len(arguments)), "vjp")
    value, outputs, tree = results_of(function(*call.arguments), "vjp")

    def pullback(seed: Any) -> Any:
        seeds = matching(seed, tree, outputs, "seed")
        return call.shape(pull(outputs, seeds, call), len(arguments) == 1)

    return value, pullback


def jvp(function: Function, arguments: Any, tangents: Any) -> tuple[Any, Any]:
    """Return the value of a function and its rate of change in a direction, by forward mode.

    Parameters
    ----------
    function : callable
    arguments : argument, or tuple of arguments
    tangents : like ``arguments``
        The direction.

    Returns
    -------
    value
        What the function returned.
    tangent
        The Jacobian times the direction, in the container of ``value``.

    Raises
    ------
    GradientError
        When an argument or the result is not floating-point.
    ShapeError
        When a tangent does not fit its argument.

    Examples
    --------
    >>> jvp(lambda x: x**3, 2.0, 1.0)
    (Tensor(8.), Tensor(12.))
    >>> jvp(lambda x, y: x * y, (2.0, 5.0), (1.0, 0.0))
    (Tensor(10.), Tensor(5.))
    """
    check_function(function, "jvp")
    passed = arguments if isinstance(arguments, tuple) else (arguments,)
    along = tangents if isinstance(arguments, tuple) else (tangents,)
    call = prepare(function, passed, range(len(passed)), "jvp")
    directions = matching(along, flatten(passed)[1], call.variables, "tangent")
    value, outputs, tree = results_of(function(*call.arguments), "jvp")
    moved = push(outputs, dict(zip(call.variables, directions, strict=True)))
    return value, unflatten(tree, moved)


def jacobian(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the Jacobian of a function: every entry of the result by every entry of an argument.

    All rows (or columns) are computed in one batched pass: backwards when the result has fewer
    entries than the arguments, forwards otherwise.

    Parameters
    ----------
    function : callable
        Returns floating-point tensors.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        Tensors of shape ``result.shape + argument.shape``, in the container of the result, each
        replaced by the container of the argument.

    Raises
    ------
    GradientError
        When an argument or the result is not floating-point.
    UsageError
        When ``argnums`` names no argument.

    Examples
    --------
    >>> import backlight as bl
    >>> jacobian(lambda x: x * x)(bl.tensor([1.0, 2.0]))
    Tensor([[2., 0.],
            [0., 4.]])
    """
    check_function(function, "jacobian")

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        positions = positions_of(argnums, len(arguments), "jacobian")
        call = prepare(function, arguments, positions, "jacobian")
        _, outputs, tree = results_of(function(*call.arguments, **options), "jacobian")
        into = sum(each.size for each in call.variables)
        out = sum(each.size for each in outputs)
        found = columns(outputs, call.variables) if into <= out else rows(outputs, call)
        single = isinstance(argnums, int)
        return unflatten(tree, [call.shape(row, single) for row in found])

    return run


def hessian(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the Hessian of a scalar function: the Jacobian of its gradient.

    Parameters
    ----------
    function : callable
        Returns one floating-point scalar.
    argnums : int or sequence of int
        The positional arguments to differentiate with respect to.

    Returns
    -------
    callable
        A tensor of shape ``argument.shape + argument.shape`` for a single array; for containers
        the container of the gradient, each entry replaced by such a container again.

    Examples
    --------
    >>> import backlight as bl
    >>> hessian(lambda x: x[0] ** 2 * x[1])(bl.tensor([1.0, 2.0]))
    Tensor([[4., 2.],
            [2., 0.]])
    """
    check_function(function, "hessian")
    return jacobian(grad(function, argnums), argnums)


def hvp(function: Function, x: Any, v: Any) -> Any:
    """Return the Hessian of a scalar function times a vector, without building the Hessian.

    Forward mode over reverse mode (B. A. Pearlmutter, "Fast exact multiplication by the Hessian",
    Neural Computation 6, 1994).

    Parameters
    ----------
    function : callable
        Returns one floating-point scalar.
    x : argument, or tuple of arguments
        The point.
    v : like ``x``
        The vector.

    Returns
    -------
    Tensor, or container of tensors like ``x``

    Examples
    --------
    >>> hvp(lambda x: x**3, 2.0, 10.0)
    Tensor(120.)
    """
    check_function(function, "hvp")
    argnums = tuple(range(len(x))) if isinstance(x, tuple) else 0
    return jvp(grad(function, argnums), x, v)[1]


def per_example_grad(function: Function, argnums: int | Sequence[int] = 0) -> Function:
    """Return the gradients of a loss for each example of a batch by itself, in one batched pass.

    Parameters
    ----------
    function : callable
        ``function(w, *example)`` is written for one example and returns a scalar.
    argnums : int or sequence of int
        The arguments to differentiate with respect to, which all examples share.

    Returns
    -------
    callable
        Called with ``(w, *batch)``, where every argument that is not differentiated has a leading
        batch axis.  The gradients are in the container of ``w`` and have that axis first.

    Raises
    ------
    GradientError
        When the function does not return a scalar for one example.
    ShapeError
        When the arguments hold different numbers of examples.

    Examples
    --------
    >>> import numpy as np
    >>> per_example_grad(lambda w, x: (w * x) ** 2)(1.0, np.array([1.0, 2.0, 3.0]))
    Tensor([ 2.,  8., 18.])
    """
    check_function(function, "per_example_grad")
    gradient = grad(function, argnums)

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        shared = positions_of(argnums, len(arguments), "per_example_grad")
        axes = [None if position in shared else 0 for position in range(len(arguments))]

        def of_one(*example: Any) -> Any:
            return gradient(*example, **options)

        return vectorize(of_one, axes)(*arguments)

    return run
