"""Which nodes of a graph share a box, so that a picture stays small enough to read.

Modules and composites fold into one box each; when that is not enough, the middles of long chains
and finally the middle of the graph are left out and only counted.  Groups never depend on each
other in a circle.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from backlight.draw.layers import topological_order
from backlight.draw.words import weak_constant
from backlight.errors import UnknownNameError
from backlight.graph.graph import Graph
from backlight.graph.scope import Scope

PREFERRED = 60
"""Graphs with at most this many boxes are drawn without folding."""

MOST = 300
"""No picture has more boxes than this."""

_ENDS = (30, 10, 3)
"""How much of each end of a long chain is kept, from gentle to harsh."""

_MOST_LIT = 50
_FEW = 8

GroupKind = Literal["node", "scope", "elided"]


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that share a box.

    Attributes
    ----------
    kind : {"node", "scope", "elided"}
        A single node, a folded module or composite, or nodes that are only counted.
    nodes : tuple of int
    scope : Scope or None
        The folded one.
    """

    kind: GroupKind
    nodes: tuple[int, ...]
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class Folding:
    """A way to divide a graph's nodes into boxes.

    Attributes
    ----------
    groups : tuple of Group
        Operands first.
    owner : tuple of int
        For each node the position of its group; -1 for one that is written inside formulas.
    """

    groups: tuple[Group, ...]
    owner: tuple[int, ...]


def fold(
    graph: Graph,
    *,
    open: Collection[str] = (),
    depth: int | None = None,
    keep: Collection[int] = (),
    preferred: int = PREFERRED,
    most: int = MOST,
) -> Folding:
    """Divide a graph's nodes into boxes.

    Parameters
    ----------
    graph : Graph
    open : collection of str
        Paths of modules and composites, such as ``"net/layers.0"``, that are not folded, and
        neither is anything around them.
    depth : int, optional
        Modules and composites inside fewer than this many others are not folded: 0 folds the
        outermost ones.  By default nothing is folded in a small graph, and in a larger one as
        little as leaves `preferred` boxes.
    keep : collection of int
        Nodes that are not to be left out, as far as there is room.
    preferred, most : int
        The number of boxes above which folding sets in, and the one that is never exceeded.

    Returns
    -------
    Folding

    Raises
    ------
    UnknownNameError
        When a path in `open` does not exist in the graph.
    """
    state = _State(graph, frozenset(keep))
    opened = _opened_paths(open, state.chains)
    if depth is None:
        depth = state.best_depth(opened, preferred, most)
        state.fold_scopes(depth, opened)
        if state.count() > preferred:
            state.absorb_leaves()
    else:
        state.fold_scopes(depth, opened)
    state.unfold_cycles()
    if state.count() > most:
        state.elide(most)
    return state.finish()


def _opened_paths(wanted: Iterable[str], chains: Iterable[Sequence[Scope]]) -> frozenset[str]:
    """Return the paths to open, those around them included."""
    existing = {path for chain in chains for path in _paths(chain)}
    opened: set[str] = set()
    for path in wanted:
        if path not in existing:
            close = difflib.get_close_matches(path, existing, n=3) or sorted(existing)[:3]
            hint = f"; there is {', '.join(close)}" if close else "; it has none at all"
            raise UnknownNameError(f"The graph has no module or composite {path!r} to open{hint}.")
        opened.add(path)
    for chain in chains:
        paths = _paths(chain)
        for k, path in enumerate(paths):
            if path in opened:
                opened.update(paths[:k])
    return frozenset(opened)


def visible_chain(scope: Scope | None) -> tuple[Scope, ...]:
    """Return the modules and composites around a node.

    A backward pass is no box, and neither is a module without a name: the whole network.
    """
    chain = scope.chain() if scope is not None else ()
    return tuple(each for each in chain if each.kind != "backward" and each.name)


def _paths(chain: Sequence[Scope]) -> list[str]:
    """Return the path of each scope of a chain."""
    return list(accumulate((each.name for each in chain), "{}/{}".format))


@dataclass(slots=True)
class _Members:
    """A group that is still being changed."""

    kind: GroupKind
    nodes: list[int] = field(default_factory=list)
    scope: Scope | None = None


class _State:
    """A division of the nodes that becomes coarser step by step."""

    def __init__(self, graph: Graph, keep: frozenset[int]) -> None:
        self.graph = graph
        self.keep = keep
        outputs = set(graph.outputs)
        self.inlined = {
            k
            for k in range(len(graph.nodes))
            if k not in outputs and graph.consumers[k] and weak_constant(graph, k) is not None
        }
        self.drawn = [k for k in range(len(graph.nodes)) if k not in self.inlined]
        self.chain_of: dict[int, tuple[Scope, ...]] = {}
        for node in graph.nodes:
            if id(node.scope) not in self.chain_of:
                self.chain_of[id(node.scope)] = visible_chain(node.scope)
        self.groups: dict[int, _Members] = {}
        self.owner: dict[int, int] = {}

    @property
    def chains(self) -> list[tuple[Scope, ...]]:
        """The chains of scopes that occur."""
        return list(self.chain_of.values())

    def count(self) -> int:
        """Return the number of boxes."""
        return len(self.groups)

    # ── scopes ───────────────────────────────────────────────────────────────────────────────

    def _box_scopes(self, depth: int, opened: frozenset[str]) -> dict[int, Scope | None]:
        """For each chain, by the innermost scope, the scope that is drawn as one box."""
        found: dict[int, Scope | None] = {}
        for key, chain in self.chain_of.items():
            folded = None
            for k, path in enumerate(_paths(chain)):
                if k >= depth and path not in opened:
                    folded = chain[k]
                    break
            found[key] = folded
        return found

    def best_depth(self, opened: frozenset[str], preferred: int, most: int) -> int:
        """Return the largest depth that leaves few enough boxes; 0 when none does.

        A picture of next to nothing is no use: one more level is opened when that is too few.
        """
        low, high = 0, max((len(chain) for chain in self.chain_of.values()), default=0)
        deepest = high
        while low < high:
            middle = (low + high + 1) // 2
            if self._boxes_at(middle, opened) <= preferred:
                low = middle
            else:
                high = middle - 1
        few = self._boxes_at(low, opened) < _FEW
        if few and low < deepest and self._boxes_at(low + 1, opened) <= most:
            return low + 1
        return low

    def _boxes_at(self, depth: int, opened: frozenset[str]) -> int:
        """Return how many boxes a depth leaves when leaves go into folded boxes."""
        box = self._box_scopes(depth, opened)
        key: dict[int, int] = {}
        for k in self.drawn:
            scope = box[id(self.graph.nodes[k].scope)]
            key[k] = k if scope is None else -id(scope)
        boxes = set(key.values())
        for k in self.drawn:
            if self.graph.nodes[k].is_leaf and key[k] == k:
                users = {key[consumer] for consumer, _ in self.graph.consumers[k]}
                if len(users) == 1 and users.pop() < 0:
                    boxes.discard(k)
        return len(boxes)

    def fold_scopes(self, depth: int, opened: frozenset[str]) -> None:
        """Make one group of each folded scope and of each other node."""
        box = self._box_scopes(depth, opened)
        first: dict[int, int] = {}
        for k in self.drawn:
            scope = box[id(self.graph.nodes[k].scope)]
            key = k if scope is None else first.setdefault(id(scope), k)
            self.owner[k] = key
            kind: GroupKind = "node" if scope is None else "scope"
            self.groups.setdefault(key, _Members(kind, scope=scope)).nodes.append(k)

    def unfold_cycles(self) -> None:
        """Take apart groups that depend on each other in a circle.

        A region that was recorded in one go cannot do so; one whose nodes a pass has shared with
        another region may.
        """
        keys, edges = self._quotient()
        sound = set(topological_order(len(keys), edges))
        backwards = [(target, source) for source, target in edges]
        sound.update(topological_order(len(keys), backwards))
        for position, key in enumerate(keys):
            if position not in sound:
                for node in self.groups.pop(key).nodes:
                    self.groups[node] = _Members("node", [node])
                    self.owner[node] = node

    # ── leaving out ──────────────────────────────────────────────────────────────────────────

    def _quotient(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the groups' keys and the edges between their positions."""
        keys = sorted(self.groups)
        position = {key: k for k, key in enumerate(keys)}
        edges: dict[tuple[int, int], None] = {}
        for k in self.drawn:
            target = self.owner[k]
            for operand in self.graph.nodes[k].inputs:
                source = self.owner.get(operand, target)
                if source != target:
                    edges[position[source], position[target]] = None
        return keys, list(edges)

    def _is_leaf(self, key: int) -> bool:
        group = self.groups[key]
        return group.kind == "node" and self.graph.nodes[key].is_leaf

    def _is_kept(self, key: int) -> bool:
        return any(node in self.keep for node in self.groups[key].nodes)

    def _merge(self, keys: Sequence[int]) -> None:
        """Make one counted group of several."""
        nodes = sorted(node for key in keys for node in self.groups.pop(key).nodes)
        merged = min(keys)
        self.groups[merged] = _Members("elided", nodes)
        for node in nodes:
            self.owner[node] = merged

    def absorb_leaves(self) -> None:
        """Put leaves that only one folded or counted group uses inside that group."""
        outputs = set(self.graph.outputs)
        for key in [k for k in self.groups if self._is_leaf(k)]:
            users = {self.owner[k] for k, _ in self.graph.consumers[key] if k in self.owner}
            user = users.pop() if len(users) == 1 else None
            if user is None or key in self.keep or key in outputs:
                continue
            if self.groups[user].kind != "node":
                del self.groups[key]
                self.groups[user].nodes.append(key)
                self.owner[key] = user

    def elide(self, most: int) -> None:
        """Leave out the middles of chains, then the middle of the graph, then leaves."""
        for ends in _ENDS:
            self._elide_chains(ends)
            self.absorb_leaves()
            if self.count() <= most:
                return
        self._elide_middle(_ENDS[0])
        self.absorb_leaves()
        leaves = [key for key in sorted(self.groups) if self._is_leaf(key)]
        room = max(most - (self.count() - len(leaves)) - 1 - _MOST_LIT, 1)
        if self.count() > most:
            self._merge(self._without_kept(leaves)[room:])

    def _without_kept(self, keys: Sequence[int]) -> list[int]:
        """Return the keys, except the first few that are to be kept."""
        kept = [key for key in keys if self._is_kept(key)][:_MOST_LIT]
        return [key for key in keys if key not in set(kept)]

    def _elide_chains(self, ends: int) -> None:
        """Shorten runs of groups that each feed only the next one."""
        keys, edges = self._quotient()
        inner = [k for k, key in enumerate(keys) if not self._is_leaf(key)]
        before: dict[int, list[int]] = {k: [] for k in inner}
        after: dict[int, list[int]] = {k: [] for k in inner}
        for source, target in edges:
            if source in after:
                after[source].append(target)
                before[target].append(source)
        follows = {
            k: after[k][0] for k in inner if len(after[k]) == 1 and len(before[after[k][0]]) == 1
        }
        starts = set(inner) - set(follows.values())
        for start in sorted(starts):
            run = [start]
            while run[-1] in follows:
                run.append(follows[run[-1]])
            self._shorten([keys[k] for k in run], ends)

    def _shorten(self, run: Sequence[int], ends: int) -> None:
        """Leave out the middle of a chain, in pieces between groups that are to be kept."""
        middle = run[ends : len(run) - ends]
        piece: list[int] = []
        for key in middle:
            if self._is_kept(key):
                self._merge_if_several(piece)
                piece = []
            else:
                piece.append(key)
        self._merge_if_several(piece)

    def _merge_if_several(self, keys: Sequence[int]) -> None:
        if len(keys) > 1:
            self._merge(keys)

    def _elide_middle(self, ends: int) -> None:
        """Keep the beginning, the end and what is to be kept; count what is between.

        A stretch of a topological order can be one box without making a circle.
        """
        keys, edges = self._quotient()
        order = [keys[k] for k in topological_order(len(keys), edges)]
        inner = [key for key in order if not self._is_leaf(key)]
        spared = set(inner[:ends] + inner[-ends:])
        spared.update(set(inner) - set(self._without_kept(inner)))
        piece: list[int] = []
        for key in inner:
            if key in spared:
                self._merge_if_several(piece)
                piece = []
            else:
                piece.append(key)
        self._merge_if_several(piece)

    def finish(self) -> Folding:
        """Return the groups in an order in which each follows what it depends on."""
        keys, edges = self._quotient()
        order = [keys[k] for k in topological_order(len(keys), edges)]
        position = {key: k for k, key in enumerate(order)}
        groups = tuple(
            Group(each.kind, tuple(sorted(each.nodes)), each.scope)
            for each in (self.groups[key] for key in order)
        )
        owner = tuple(
            position[self.owner[k]] if k in self.owner else -1 for k in range(len(self.graph.nodes))
        )
        return Folding(groups, owner)
