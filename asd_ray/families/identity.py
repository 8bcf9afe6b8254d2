"""The version of a family, which is part of the name of each of its trials.

A shipped family states its version in `VERSION`. A user's class may do the same. Where it does not, a hash of its code
takes the place of a version, so that an edited class does not inherit the scores of the one before.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from asd_ray.errors import AsdRayError
from asd_ray.families.user_code import shown

OURS = Path(__file__).resolve().parents[1]
LIBRARIES = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")})
# What a class has that changes no score, or that Python puts there.
NOT_CODE = {"PAPER", "PAPER_OF", "RESOURCES", "VERSION", "space"} | {
    *("__abstractmethods__", "__annotations__", "__dict__", "__doc__", "__firstlineno__", "__module__", "__qualname__"),
    *("__static_attributes__", "__weakref__", "_abc_impl"),
}


def version_of(cls: type, target: str) -> str:
    """``VERSION`` of a class as text, else ``code-`` and a hash of its code.

    A `VERSION` that a base class states does not count: it is not raised when the derived class is edited.
    """
    version = vars(cls).get("VERSION")
    if version is None:
        return f"code-{code_hash(cls)}"
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise AsdRayError(f"family {target} has VERSION = {shown(version)}; give a whole number from 1")
    return str(version)


def code_hash(cls: type) -> str:
    """A hash of what Python runs for a class: its methods and constants, and the user's own code that these use.

    That is: base classes, functions, classes and constants, also of other files of the user's, and what these use in
    turn. Comments, docstrings and formatting do not count, nor does the search space of the class. Of an installed
    package nothing counts but the class's own package; of a shipped family that is a base class, its `VERSION`.
    Another minor version of Python compiles to other code, and so gives another hash. Modules that a function imports
    in its body are not looked at.
    """
    collector = _Collector(cls.__module__.partition(".")[0])
    collector.add_class(cls)
    text = "\n".join(f"{name} {collector.parts[name]}" for name in sorted(collector.parts))
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=6).hexdigest()


class _Collector:
    def __init__(self, package: str) -> None:
        self.package = package
        self.parts: dict[str, str] = {}  # what it is -> its code or its value

    def add_class(self, cls: type) -> None:
        key = f"class {cls.__module__}.{cls.__qualname__}"
        if key in self.parts:
            return
        if not self._is_own(cls.__module__):
            if version := vars(cls).get("VERSION"):
                self.parts[key] = f"VERSION {version}"
            return
        self.parts[key] = ", ".join(f"{base.__module__}.{base.__qualname__}" for base in cls.__bases__)
        for base in cls.__mro__[1:]:
            self.add_class(base)
        for name, value in vars(cls).items():
            if name not in NOT_CODE:
                self.add(f"{key}.{name}", value)

    def add(self, key: str, value: Any) -> None:
        """A value under the name by which code reaches it."""
        if key in self.parts or f"{key} 0" in self.parts:
            return
        functions = _functions_of(value)
        if functions:
            for depth, function in enumerate(functions):
                if self._is_own(function.__globals__.get("__name__")):
                    self._add_function(f"{key} {depth}", function)
        elif isinstance(value, type):
            self.add_class(value)
        elif isinstance(value, partial):
            self.parts[key] = "partial"
            for number, part in enumerate((value.func, value.args, tuple(sorted(value.keywords.items())))):
                self.add(f"{key}.{number}", part)
        elif (constant := _constant(value)) is not None:
            self.parts[key] = constant
        elif self._is_own(type(value).__module__):
            self.add_class(type(value))
            self.parts[key] = "; ".join(f"{name}={_constant(part)}" for name, part in _attributes(value))

    def _add_function(self, key: str, function: FunctionType) -> None:
        self.parts[key] = _text_of(function.__code__)
        self.add(f"{key} defaults", function.__defaults__ or ())
        self.add(f"{key} keyword defaults", function.__kwdefaults__ or {})
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if name != "__class__":
                self.add(f"{key} closure {name}", _content(cell))
        for path in _globals_of(function.__code__):
            self._add_global(function, path)

    def _add_global(self, function: FunctionType, path: tuple[str, ...]) -> None:
        """`path` is a global name, and what the code takes of it: of modules the attribute counts, not the module."""
        names = function.__globals__
        if path[0] not in names:
            return  # a builtin
        value, key = names[path[0]], f"{function.__module__}.{path[0]}"
        for attribute in path[1:]:
            if not isinstance(value, ModuleType) or not self._is_own(value.__name__):
                break
            key = f"{value.__name__}.{attribute}"
            value = getattr(value, attribute, None)
        if not isinstance(value, ModuleType):
            self.add(key, value)

    def _is_own(self, module: str | None) -> bool:
        """Whether a module is the user's: of the package of the class, or a file that no one installed."""
        if module is None or module.partition(".")[0] == self.package:
            return True
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None:
            return module not in sys.builtin_module_names and module not in sys.stdlib_module_names
        path = Path(file).resolve()
        return not any(path.is_relative_to(library) for library in (OURS, *LIBRARIES))


def _functions_of(value: Any) -> list[FunctionType]:
    """The functions that a method, a property or a decorated function runs, the outermost first."""
    functions = []
    for _ in range(20):  # a decorator may wrap another
        if isinstance(value, FunctionType):
            functions.append(value)
            value = getattr(value, "__wrapped__", None)
        elif isinstance(value, staticmethod | classmethod):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, cached_property):
            value = value.func
        else:
            value = getattr(value, "__wrapped__", None) or getattr(value, "pyfunc", None)
    return functions


def _text_of(code: CodeType) -> str:
    """The instructions of a function with its constants and names, without line numbers and docstrings."""
    constants = list(code.co_consts)
    if _has_docstring(code):
        constants[0] = None
    parts = [_text_of(each) if isinstance(each, CodeType) else str(_constant(each)) for each in constants]
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return f"{code.co_code.hex()} {parts} {code.co_names} {arguments}"


def _has_docstring(code: CodeType) -> bool:
    """Whether the first constant is the docstring. Before Python 3.13 it was that of every `def`, or None."""
    if sys.version_info >= (3, 13):
        return bool(code.co_flags & inspect.CO_HAS_DOCSTRING)
    return bool(code.co_consts) and isinstance(code.co_consts[0], str) and not code.co_name.startswith("<")


def _globals_of(code: CodeType) -> Iterator[tuple[str, ...]]:
    """Each global name that a function reads, with the attributes that it reads of it at once: ``("np", "exp")``."""
    path: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            if path:
                yield path
            path = (str(instruction.argval),)
        elif path and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            path = (*path, str(instruction.argval))
        elif path and instruction.opname not in ("CACHE", "PUSH_NULL"):
            yield path
            path = ()
    if path:
        yield path
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)


def _constant(value: Any) -> str | None:
    """A constant as text, the same in every process; None for what is no constant."""
    if value is None or value is ... or isinstance(value, bool | int | float | complex | str | bytes | slice):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(str, map(_constant, value)))}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(str, map(_constant, value))))}}}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_constant(key)}: {_constant(each)}' for key, each in value.items())}}}"
    if hasattr(value, "tobytes") and hasattr(value, "dtype"):  # an array
        digest = hashlib.blake2b(value.tobytes(), digest_size=6).hexdigest()
        return f"{value.dtype} {value.shape} {digest}"
    return None


def _attributes(value: Any) -> list[tuple[str, Any]]:
    return sorted(getattr(value, "__dict__", {}).items())


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
