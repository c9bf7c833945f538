"""How the package is built: who may import whom, and what every function keeps to.

The rules read the source as syntax trees, so that words in strings don't count.
"""

import ast
import importlib
import inspect
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "keras_transformer"
LONGEST_FUNCTION = 80

# Ground floor: imported by all, they import one another alone.
GROUND = {"arguments", "files", "glossaries", "lazy_names", "reading", "texts"}
# Under the tasks: the model, and what reads text and trains it.
MODEL = {"kernels", "compilation", "layers", "decoding", "models"}
LIBRARY = {*MODEL, "text", "data", "training", "evaluation"}
APPLICATIONS = {"run", "serving", "interop"}
# What each package or module of the root may import of this package, itself aside.
# There is no cycle among them, which another test holds.
MAY_IMPORT = {
    **{name: GROUND for name in GROUND},
    "kernels": GROUND,
    "compilation": {*GROUND, "kernels"},
    "layers": {*GROUND, "kernels"},
    "decoding": {*GROUND, "kernels", "compilation", "layers"},
    "models": {*GROUND, "kernels", "compilation", "layers", "decoding"},
    "text": GROUND,
    "data": {*GROUND, "text"},
    "training": {*GROUND, "kernels", "compilation", "layers"},
    "evaluation": GROUND,
    "tasks": {*GROUND, *LIBRARY},
    **{name: {*GROUND, *LIBRARY, "tasks"} for name in APPLICATIONS},
    # It starts from others' checkpoints, shows what attention looks at, and tells the
    # package's version.
    "run": {"", *GROUND, *LIBRARY, "tasks", "interop", "plotting"},
    # It serves exports, translators' folders and others' checkpoints.
    "web": {*GROUND, *LIBRARY, "tasks", "serving", "interop"},
    "plotting": {*GROUND, *LIBRARY, "tasks"},
    "demo": {*GROUND, *LIBRARY, "tasks", "plotting", *APPLICATIONS},
    # And the package itself: its version, and all of it at once for a command.
    "cli": {"", *GROUND, *LIBRARY, "tasks", "plotting", "demo", "web", *APPLICATIONS},
    "__main__": {"cli"},
    # The package itself: `import keras_transformer` brings no more than these.
    "": {"layers", "decoding", "models", "training"},
}
# The equations of the paper: Keras and NumPy are all they know.
EQUATIONS = ("layers", "models", "decoding")
BACKENDS = {"tensorflow", "torch", "jax"}
# The models: their layers are called by Keras, their tensors are any backend's.
WITHOUT_TYPES = {"kernels", *EQUATIONS, "training"}
# What a type checker alone reads.
TYPES_ALONE = "TYPE_CHECKING"
# On every backend: another backend's package is imported where it is used.
ON_EVERY_BACKEND = (
    *("", "kernels", "compilation", "training", "data"),
    *EQUATIONS,
    *GROUND,
)


def modules():
    """The path of each module of the package, by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join(parts)] = path
    return found


MODULES = modules()


class _AtRuntime(ast.NodeTransformer):
    """Leaves out what only type checkers read."""

    def visit_If(self, node):
        is_for_types = getattr(node.test, "id", None) == "TYPE_CHECKING"
        return None if is_for_types else self.generic_visit(node)


def read(path):
    return _AtRuntime().visit(ast.parse(path.read_text("utf-8")))


TREES = {name: read(path) for name, path in MODULES.items()}


def part(module):
    """The package or module of the root that a module is, or is in."""
    return (module.split(".") + [""])[1]


def imports(module, tree):
    """Pairs of the module that an import names, and the name taken from it or None."""
    package = (
        module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                kept = parents[: len(parents) - node.level + 1]
                base = ".".join([*kept, base]).rstrip(".")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield (whole, None) if whole in MODULES else (base, alias.name)


def own_imports(module):
    for name, taken in imports(module, TREES[module]):
        if name.split(".")[0] == "keras_transformer":
            yield name, taken


def foreign_imports(module, tree):
    names = {name.split(".")[0] for name, _ in imports(module, tree)}
    return names - {"keras_transformer", *sys.stdlib_module_names}


def functions(tree):
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]


def test_each_part_imports_what_it_may_and_no_more():
    assert {part(module) for module in MODULES} <= set(MAY_IMPORT), "no rule for it"
    wrong = {
        f"{module} imports {name}"
        for module in MODULES
        for name, _ in own_imports(module)
        if part(name) not in {part(module), *MAY_IMPORT[part(module)]}
    }
    assert wrong == set()


def test_no_part_is_imported_by_what_it_imports():
    found = {name: set() for name in MAY_IMPORT}
    for module in MODULES:
        found[part(module)] |= {part(name) for name, _ in own_imports(module)}
    found = {name: others - {name} for name, others in found.items()}
    while free := {name for name, others in found.items() if not others & set(found)}:
        found = {name: others for name, others in found.items() if name not in free}
    assert found == {}, "a cycle"


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_equations_know_keras_and_numpy_alone(name):
    for module, tree in TREES.items():
        if part(module) == name:
            assert foreign_imports(module, tree) <= {"keras", "numpy"}, module


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_equations_are_the_same_on_every_backend(name):
    """What a backend does faster stands in `kernels`."""
    asked = [
        f"{module}, line {node.lineno}"
        for module, tree in TREES.items()
        if part(module) == name
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "backend"
    ]
    assert asked == []


def test_no_backend_is_imported_before_it_is_used():
    for module, path in MODULES.items():
        if part(module) in ON_EVERY_BACKEND:
            outside = read(path)
            for function in functions(outside):
                function.body = []
            for node in ast.walk(outside):
                if isinstance(node, ast.If) and ast.unparse(node.test) == TYPES_ALONE:
                    node.body = []
            assert not foreign_imports(module, outside) & BACKENDS, module


def test_what_begins_with_an_underscore_stays_in_its_module():
    taken = {
        f"{module} takes {name}.{taken}"
        for module in MODULES
        for name, taken in own_imports(module)
        if taken and taken.startswith("_") and not taken.endswith("__")
    }
    assert taken == set()


def lines_of_code(function):
    """A function's lines, those of its docstring aside."""
    first = function.body[0]
    total = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        total -= first.end_lineno - first.lineno + 1
    return total


# What Keras itself, or TensorFlow, gives by position, or people say as one word.
SWITCHES_BY_POSITION = {
    ("keras_transformer.kernels.scopes", "plain_only"),
    ("keras_transformer.layers.checked_layer", "quantize"),
    ("keras_transformer.layers.core", "call"),
    ("keras_transformer.layers.core", "quantize"),
    ("keras_transformer.layers.embedding", "quantize"),
    ("keras_transformer.models.base", "make_train_function"),
    ("keras_transformer.models.construction", "save"),
}


def test_switches_are_given_by_name():
    """`translate(texts, True)` says nothing to who reads it."""
    by_position = set()
    for module, tree in TREES.items():
        for function in functions(tree):
            defaults = function.args.defaults
            values = [d.value for d in defaults if isinstance(d, ast.Constant)]
            if any(isinstance(value, bool) for value in values):
                by_position.add((module, function.name))
    assert by_position == SWITCHES_BY_POSITION


def test_functions_are_short():
    long = {
        f"{module}.{function.name}": lines_of_code(function)
        for module, tree in TREES.items()
        for function in functions(tree)
        if lines_of_code(function) >= LONGEST_FUNCTION
    }
    assert long == {}


def public_functions(tree):
    """The functions and methods of a module that others call, constructors too."""
    kinds = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    for kind in kinds:
        if getattr(kind, "name", "").startswith("_"):
            continue
        for node in kind.body:
            if isinstance(node, ast.FunctionDef) and (
                node.name == "__init__" or not node.name.startswith("_")
            ):
                yield node


def test_whatever_is_public_has_types():
    """mypy checks them."""
    untyped = []
    for module, tree in TREES.items():
        if part(module) in WITHOUT_TYPES:
            continue
        for function in public_functions(tree):
            of = function.args
            found = [*of.posonlyargs, *of.args, *of.kwonlyargs, of.vararg, of.kwarg]
            found = [arg for arg in found if arg and arg.arg not in ("self", "cls")]
            if function.returns is None or not all(arg.annotation for arg in found):
                untyped.append(f"{module}.{function.name}")
    assert untyped == []


def test_type_checkers_see_the_names_of_every_package():
    """Names that are imported on first use are imported once more for them."""
    for name, path in MODULES.items():
        package = importlib.import_module(name)
        if path.name != "__init__.py" or not hasattr(package, "__all__"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        taken = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        seen = {alias.asname or alias.name for node in taken for alias in node.names}
        defined = {node.name for node in tree.body if hasattr(node, "name")}
        targets = (n.targets for n in tree.body if isinstance(n, ast.Assign))
        defined |= {target.id for (target,) in targets if isinstance(target, ast.Name)}
        assert set(package.__all__) <= seen | defined, name


def public(names):
    return {name: value for name, value in names.items() if not name.startswith("_")}


def own_methods(kind):
    """A class's public methods and properties that no class above it has."""
    above = {name for base in kind.__mro__[1:] for name in vars(base)}
    for name, value in public(vars(kind)).items():
        value = (
            value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        )
        if name not in above and (
            inspect.isfunction(value) or isinstance(value, property)
        ):
            yield name, value


def test_whatever_is_public_says_what_it_is():
    """A method that stands in the place of another needs no words of its own.

    Nor do the two functions that every command has, which `cli` describes.
    """
    silent = []
    for name in MODULES:
        if name.endswith("__main__"):
            continue
        module = importlib.import_module(name)
        assert module.__doc__, name
        for thing in public(vars(module)).values():
            if getattr(thing, "__module__", None) != name:
                continue
            is_of_command = name.startswith("keras_transformer.cli.") and (
                thing.__name__ in ("add_arguments", "run")
            )
            if is_of_command:
                continue
            if inspect.isfunction(thing) or inspect.isclass(thing):
                named = f"{name}.{thing.__qualname__}"
                silent += [] if (thing.__doc__ or "").strip() else [named]
            if inspect.isclass(thing):
                silent += [
                    f"{named}.{method}"
                    for method, value in own_methods(thing)
                    if not (value.__doc__ or "").strip()
                ]
    assert silent == []
