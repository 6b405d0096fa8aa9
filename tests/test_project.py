"""Rules that the whole project keeps: one-way imports, one record per primitive, no stray paths.

Each rule is a small function from source text to a list of complaints.  It is tried on text that
breaks the rule before it is trusted with the project.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "backlight"

# ---- imports point one way -----------------------------------------------------------------------

# A module may import from its own layer and from those above it in this list.  `__init__` is the
# package itself: what users see as `bl`.
LAYERS = (
    "version",
    "errors",
    "source",
    "files",
    "late",
    "graph",
    "ops",
    "tensor",
    "custom",
    "functions",
    "trace",
    "formula",
    "differentiate",
    "passes",
    "execute",
    "record",
    "schema",
    "explain",
    "draw",
    "report",
    "nn",
    "optim",
    "data",
    "train",
    "io",
    "__init__",
    "sklearn",
    "studio",
    "cli",
    "demo",
    "__main__",
)

# Imports against the arrows: (module, layer it imports from) and the reason.  Each stands inside a
# function and carries a comment with the words "import here".
LAZY_IMPORTS: Mapping[tuple[str, str], str] = {
    ("tensor", "differentiate"): "Tensor.backward is a method for people's sake",
    ("tensor", "__init__"): "Tensor.__array_namespace__ must return the whole namespace",
    ("record", "schema"): "Trace.to_dict and from_json are methods for people's sake",
    ("record", "report"): "Trace.save is a method for people's sake",
    ("tensor", "report"): "what a notebook shows of a tensor is asked of the tensor itself",
}


@dataclass(frozen=True)
class Import:
    """One import of a layer of Backlight by a module of Backlight."""

    module: str
    layer: str
    line: int
    in_function: bool
    explained: bool


def module_name(path: Path) -> str:
    """Return the dotted name below `backlight`; the package's own file is `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def layer_of(parts: list[str]) -> str:
    """Return the layer named by the parts of a dotted name below `backlight`."""
    return parts[0] if parts and parts[0] in LAYERS else "__init__"


def imported_layers(node: ast.Import | ast.ImportFrom, package: list[str]) -> Iterator[str]:
    """Yield the layers that an import statement names; `package` is where relative ones start."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = alias.name.split(".")
            if parts[0] == "backlight":
                yield layer_of(parts[1:])
        return
    parts = node.module.split(".") if node.module else []
    if node.level:
        parts = package[: len(package) - node.level + 1] + parts
    if not parts or parts[0] != "backlight":
        return
    if len(parts) > 1:
        yield layer_of(parts[1:])
    else:  # from backlight import graph, or a public name
        for alias in node.names:
            yield layer_of([alias.name])


def find_imports(module: str, text: str, is_package: bool) -> list[Import]:
    """List every import of Backlight's layers in the source of one module."""
    own = [] if module == "__init__" else module.split(".")
    package = ["backlight", *(own if is_package else own[:-1])]
    tree = ast.parse(text)
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    lines = text.splitlines()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            near = lines[max(node.lineno - 2, 0) : node.end_lineno]
            explained = any("import here" in line.partition("#")[2] for line in near)
            found += [
                Import(module, layer, node.lineno, id(node) in inside, explained)
                for layer in imported_layers(node, package)
            ]
    return found


def import_complaints(imports: list[Import], allowed: Set[tuple[str, str]]) -> list[str]:
    """Say of each import that points the wrong way why it may not stand."""
    complaints = []
    for found in imports:
        own_layer = found.module.split(".")[0]
        if LAYERS.index(found.layer) <= LAYERS.index(own_layer):
            continue
        where = f"{found.module}, line {found.line}: imports {found.layer}, which is below it"
        if not (found.in_function and found.explained):
            complaints.append(where)
        elif (found.module, found.layer) not in allowed:
            complaints.append(f"{where}; a lazy import needs its reason in LAZY_IMPORTS")
    return complaints


def test_each_module_is_in_a_layer() -> None:
    layers = {module_name(path).split(".")[0] for path in PACKAGE.rglob("*.py")}
    assert layers <= set(LAYERS), f"give {sorted(layers - set(LAYERS))} a place in LAYERS"


def test_imports_point_one_way() -> None:
    imports = [
        found
        for path in sorted(PACKAGE.rglob("*.py"))
        if module_name(path).split(".")[0] in LAYERS
        for found in find_imports(
            module_name(path), path.read_text(encoding="utf-8"), path.name == "__init__.py"
        )
    ]
    assert import_complaints(imports, set(LAZY_IMPORTS)) == []
    unused = set(LAZY_IMPORTS) - {(found.module, found.layer) for found in imports}
    assert not unused, f"LAZY_IMPORTS names imports that are gone: {unused}"


@pytest.mark.parametrize(
    "text",
    [
        "import backlight.train",
        "import backlight as bl",
        "from backlight import train",
        "from backlight import fit",
        "from backlight.train.fit import fit",
        "from ..train import fit",
        "from .. import train",
        "if TYPE_CHECKING:\n    from backlight.train import Run",
        "def f():\n    from backlight.train import fit",
        "# import here, for fun\nfrom backlight.train import fit",
    ],
)
def test_an_import_against_the_arrows_is_found(text: str) -> None:
    assert import_complaints(find_imports("graph.node", text, False), {("graph.node", "train")})


@pytest.mark.parametrize(
    "text",
    [
        "import numpy",
        "from backlight import errors",
        "from backlight.errors import ShapeError",
        "from .check import check",
        "from ..errors import ShapeError",
        "def f():\n    from backlight.train import fit  # import here: it takes half a second",
        "def f():\n    # It is optional: import here.\n    from backlight.train import fit",
    ],
)
def test_an_import_along_the_arrows_is_left_alone(text: str) -> None:
    imports = find_imports("graph.node", text, False)
    assert import_complaints(imports, {("graph.node", "train")}) == []


def test_a_lazy_import_needs_its_entry() -> None:
    text = "def f():\n    from backlight.train import fit  # import here: it is slow"
    assert import_complaints(find_imports("graph.node", text, False), set())


def test_relative_imports_of_a_package_start_at_the_package() -> None:
    (found,) = find_imports("graph", "from ..nn import Linear", True)
    assert found.layer == "nn"


# ---- primitives are named in ops/ only -----------------------------------------------------------

# A comparison with a primitive's name is left alone where the thing compared is one of these.
OPTIONS: Mapping[str, str] = {
    "reduction": "a loss's choice of 'sum' or 'mean'",
    "activation": "a user's choice of activation by name",
    "nonlinearity": "the activation that an initial scale is meant for",
    "approximate": "which formula of GELU is used",
    "kind": "the kind of a token, not of an operation",
    "mode": "whether a monitored number should become small or large",
    "quota": "what the kernel writes for no limit",
    "targets": "which targets a loss takes",
}

# What holds a primitive or its name, when it is used as the key of a table.
PRIMITIVE_LIKE = {"primitive", "primitive_name", "op", "op_name", "opcode"}


def last_identifier(node: ast.expr) -> str:
    """Return the last name in an expression such as `a.b.c`, `a.b.c()` or `a.b[0]`."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Attribute) and node.attr in {"lower", "strip", "casefold"}:
            node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_primitive_key(node: ast.expr) -> bool:
    """Say whether an expression looks like a primitive, or like its name (`x.primitive.name`)."""
    if isinstance(node, ast.Attribute) and node.attr == "name":
        return last_identifier(node.value) in PRIMITIVE_LIKE
    return last_identifier(node) in PRIMITIVE_LIKE


def constant_strings(node: ast.expr | None) -> set[str]:
    """Return the strings written out in a literal, a container of literals or a dict's keys."""
    match node:
        case ast.Constant(value=str() as text):
            return {text}
        case ast.Tuple(elts=items) | ast.List(elts=items) | ast.Set(elts=items):
            return set().union(*(constant_strings(item) for item in items))
        case ast.Dict(keys=keys):
            return set().union(*(constant_strings(key) for key in keys))
        case ast.Call(func=ast.Name(id="frozenset" | "set" | "tuple" | "dict"), args=[argument]):
            return constant_strings(argument)
    return set()


def named_constants(tree: ast.Module) -> dict[str, set[str]]:
    """Return the strings in each container that the module assigns to a name."""
    found: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    found[target.id] = constant_strings(node.value)
    return found


def name_complaints(text: str, primitives: Set[str]) -> list[str]:
    """Say where the source of a module decides something by the name of a primitive."""
    tree = ast.parse(text)
    constants = named_constants(tree)

    def strings(node: ast.expr) -> set[str]:
        written = constants.get(node.id, set()) if isinstance(node, ast.Name) else set()
        return (written | constant_strings(node)) & primitives

    complaints = []
    for node in ast.walk(tree):
        names: set[str] = set()
        match node:
            case ast.Compare(left=left, comparators=rest):
                sides = [left, *rest]
                if not any(last_identifier(side) in OPTIONS for side in sides):
                    names = set().union(*map(strings, sides))
            case ast.Match(subject=subject, cases=cases):
                if last_identifier(subject) not in OPTIONS:
                    patterns = (part for case in cases for part in ast.walk(case.pattern))
                    values = (part.value for part in patterns if isinstance(part, ast.MatchValue))
                    names = set().union(*map(strings, values))
            case ast.Subscript(value=table, slice=key) if is_primitive_key(key):
                names = strings(table)
            case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[key, *_]) if (
                is_primitive_key(key)
            ):
                names = strings(table)
        if names:
            line = node.lineno if isinstance(node, ast.expr | ast.stmt) else 0
            complaints.append(f"line {line}: decides by the name of {sorted(names)}")
    return complaints


def test_no_module_outside_ops_decides_by_the_name_of_a_primitive() -> None:
    if not (PACKAGE / "ops" / "__init__.py").is_file():
        pytest.skip("backlight.ops is not there yet")
    primitives = set(importlib.import_module("backlight.ops").registry())
    assert primitives, "the registry of primitives is empty"
    complaints = [
        f"{path.relative_to(ROOT)}, {complaint}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if PACKAGE / "ops" not in path.parents
        for complaint in name_complaints(path.read_text(encoding="utf-8"), primitives)
    ]
    assert complaints == [], "put the rule into the primitive's record in ops/"


@pytest.mark.parametrize(
    "text",
    [
        "node.primitive.name == 'exp'",
        "'exp' != name",
        "node.primitive.name in {'exp', 'log1p'}",
        "op not in ('exp',)",
        "op in frozenset(['exp'])",
        "SMOOTH = frozenset({'exp'})\nop in SMOOTH",
        "match node.primitive.name:\n    case 'exp' | 'other':\n        pass",
        "match node:\n    case Node(name='exp'):\n        pass",
        "{'exp': lower}[node.primitive.name]",
        "RULES: dict[str, int] = {'exp': 1}\nRULES.get(node.primitive.name)",
        "RULES = {'exp': 1}\nRULES[op]",
    ],
)
def test_a_decision_by_name_is_found(text: str) -> None:
    assert name_complaints(text, {"exp", "sum"})


@pytest.mark.parametrize(
    "text",
    [
        "call('exp')",
        "label = 'exp'",
        "mode == 'export'",
        "reduction == 'sum'",
        "loss.reduction.lower() in ('sum', 'mean')",
        "match reduction:\n    case 'sum':\n        pass",
        "BY_NAME = {'exp': functions.exp}\nBY_NAME[word]",
        "node.primitive.kind == 'elementwise'",
    ],
)
def test_another_use_of_the_word_is_left_alone(text: str) -> None:
    assert name_complaints(text, {"exp", "sum"}) == []


# ---- files, dependencies -------------------------------------------------------------------------

# Absolute paths of one machine, and paths that leave the repository for what lies beside it.
STRAY_PATH = re.compile(
    r"(?<![\w.~/-])/(?:home|root|Users|work|opt|mnt|media)/\w"
    r"|\b[A-Z]:\\Users\\"
    r"|\.\./(?:\.\./)*shared\b"
    r"|(?<!\w)[.]library/"
)


def project_files() -> list[Path]:
    """List the files that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # pictures and data
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if STRAY_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}, line {number}: {line.strip()[:80]}")
    assert found == []


@pytest.mark.parametrize(
    "stray", [("", "home", "ada", "x.csv"), ("open('", "work", "x')"), ("..", "shared", "x")]
)
def test_a_stray_path_is_found(stray: tuple[str, ...]) -> None:
    assert STRAY_PATH.search("/".join(stray))


@pytest.mark.parametrize(
    "fine", ["https://example.org/home/x", "../src/x.py", "work/x", "/usr/share/dataset", "a/opt/b"]
)
def test_an_ordinary_path_is_left_alone(fine: str) -> None:
    assert STRAY_PATH.search(fine) is None


def declared_dependencies() -> set[str]:
    """Return the names of the packages that pyproject.toml asks for, extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted: list[str] = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    # An extra may ask for others of Backlight's own.
    return {re.split(r"[^\w.-]", requirement)[0] for requirement in wanted} - {"backlight"}


def test_each_dependency_is_named_in_the_architecture() -> None:
    page = ROOT / "ARCHITECTURE.md"
    if not page.exists():
        pytest.skip("ARCHITECTURE.md is not there yet")
    text = page.read_text(encoding="utf-8").lower()
    missing = {
        name
        for name in declared_dependencies()
        if not re.search(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", text)
    }
    assert not missing, f"say in ARCHITECTURE.md what {sorted(missing)} is for"


def test_each_dependency_is_pinned() -> None:
    pins = "\n".join(
        path.read_text(encoding="utf-8").lower().replace("_", "-")
        for path in sorted((ROOT / "requirements").glob("*.txt"))
    )
    missing = {name for name in declared_dependencies() if f"\n{name.lower()}==" not in pins}
    assert not missing, f"run `make lock`: {sorted(missing)} is not in requirements/"


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
