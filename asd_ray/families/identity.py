"""The version of a family, which is part of the hash of each of its trials.

A shipped family has its version in `VERSION`, and so may a user's class. Without `VERSION`, the version is a hash of
the source code, so that an edited class does not get the scores of the class before the edit.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import sys
from types import FunctionType
from typing import Any

from asd_ray.errors import AsdRayError
from asd_ray.families.user_code import shown

Definition = type | FunctionType


def version_of(cls: type, target: str) -> str:
    """``VERSION`` of a class as text, else ``source-`` and a hash of its source code."""
    version = getattr(cls, "VERSION", None)
    if version is None:
        return f"source-{source_hash(cls, target)}"
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise AsdRayError(f"family {target} has VERSION = {shown(version)}; give a whole number from 1")
    return str(version)


def source_hash(cls: type, target: str) -> str:
    """A hash of the code of a class and of the code that it uses from its own package.

    This code is its base classes, the functions, classes and constants of its module that it names, and those that
    these name in turn. Comments, docstrings and formatting do not count, and neither do `PAPER` and `space` in the
    class, nor the code of other packages.
    """
    parts: dict[str, str] = {}
    _collect(cls, cls.__module__.partition(".")[0], parts, target)
    text = "\n".join(f"{name}\n{parts[name]}" for name in sorted(parts))
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


def _collect(definition: Definition, package: str, parts: dict[str, str], target: str) -> None:
    key = f"{definition.__module__}:{definition.__qualname__}"
    if key in parts:
        return
    tree = _tree(definition)
    if tree is None:
        raise AsdRayError(
            f"family {target}: the source code of {key} cannot be read, so a change of the class would not be noticed; "
            "give the class a VERSION = 1 and raise it whenever its scores change"
        )
    parts[key] = ast.unparse(_without_docstrings(tree))
    names = vars(sys.modules[definition.__module__]) if definition.__module__ in sys.modules else {}
    bases = definition.__mro__[1:] if isinstance(definition, type) else ()
    used = {node.id: names[node.id] for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names}
    for other in [*bases, *used.values()]:
        if isinstance(other, Definition) and other.__module__.partition(".")[0] == package:
            _collect(other, package, parts, target)
    for name, value in used.items():
        if _is_constant(value):
            parts[f"{definition.__module__}:{name}"] = repr(value)


def _tree(definition: Definition) -> ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The syntax tree of a definition, from its source file or a notebook's cell; None if that cannot be read."""
    function = definition if isinstance(definition, FunctionType) else _a_method(definition)
    try:
        if function is not None:
            linecache.checkcache(function.__code__.co_filename)
            lines, line = linecache.getlines(function.__code__.co_filename), function.__code__.co_firstlineno
        else:  # a class without a method
            lines, line = inspect.findsource(definition)[0], 0
        nodes = list(ast.walk(ast.parse("".join(lines))))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    kind = ast.ClassDef if isinstance(definition, type) else ast.FunctionDef | ast.AsyncFunctionDef
    for node in reversed(nodes):
        if isinstance(node, kind) and node.name == definition.__name__:
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if not line or start <= line <= (node.end_lineno or 0):
                return node
    return None


def _a_method(cls: type) -> FunctionType | None:
    """Any function that is defined in the body of the class."""
    for value in vars(cls).values():
        function = inspect.unwrap(getattr(value, "__func__", None) or getattr(value, "fget", None) or value)
        if not isinstance(function, FunctionType) or not function.__qualname__.startswith(f"{cls.__qualname__}."):
            continue
        if function.__code__.co_filename != "<string>":  # such as the __init__ of a dataclass
            return function
    return None


def _without_docstrings(tree: Any) -> Any:
    """The tree without docstrings, and without the search space, which does not change the result of a trial."""
    if isinstance(tree, ast.ClassDef):
        tree.body = [node for node in tree.body if not _is_search_space(node)] or [ast.Pass()]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _is_search_space(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == "space"
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "PAPER" for target in targets)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_constant, value))
    if isinstance(value, dict):
        return all(_is_constant(key) and _is_constant(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | complex | str | bytes)
