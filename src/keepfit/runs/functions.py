"""The user's functions as they are written: found, and asked what they take, without running any of their code."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from keepfit.core.errors import ProjectError, did_you_mean

Frame = Literal["polars", "pandas"]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One named parameter of a function."""

    name: str
    has_default: bool
    by_name: bool
    """Whether it can be given by name."""
    annotation: str
    """As written; empty without one."""
    frame: Frame
    """The form in which it wants a table."""
    line: int
    column: int


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """A function of the user's."""

    name: str
    file: Path
    """Relative to the project."""
    line: int
    column: int
    parameters: tuple[Parameter, ...]
    """Without `*args` and `**kwargs`, for nothing is given by those."""

    @property
    def where(self) -> str:
        return f"{self.file.as_posix()}:{self.line}:{self.column}"

    def place(self, parameter: Parameter) -> str:
        """Where the parameter is written."""
        return f"{self.file.as_posix()}:{parameter.line}:{parameter.column}"


def find_function(root: Path, reference: str) -> Function:
    """The function that `module:function` names, where `root` is the folder imports start from.

    A name imported from another module of the project is followed to its definition. Raises
    ProjectError when the reference cannot mean a function, when its file or function does not
    exist, and, with file:line:column, when a file is not Python.
    """
    module, colon, name = reference.partition(":")
    if not colon or not name.isidentifier() or not all(p.isidentifier() for p in module.split(".")):
        raise ProjectError(f"`{reference}` is not a reference to a function", hint='write "module:function"')
    file = _module_file(root, module)
    if file is None:
        raise ProjectError(
            f"`{reference}` needs a file `{module.replace('.', '/')}.py`, which does not exist",
            hint=did_you_mean(module, _modules(root)),
        )
    return _find(root, file, name, reference, seen=set())


def code_files(root: Path, references: Iterable[str]) -> tuple[Path, ...]:
    """The project's own files that these functions need, relative to `root` and sorted.

    Follows imports of modules below `root`, absolute and relative, wherever in a file they
    stand. Of a package all Python files are taken. Raises ProjectError for a file that is not
    Python, or that lies outside the project behind a link.
    """
    todo = [f for reference in references for f in _files_of(root, reference.partition(":")[0])]
    found: set[Path] = set()
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += (f for module in _imports(root, file) for f in _files_of(root, module))
    return tuple(sorted(file.relative_to(root) for file in found))


def _find(root: Path, file: Path, name: str, reference: str, *, seen: set[Path]) -> Function:
    seen.add(file)
    tree = _parse(root, file)
    known: dict[str, ast.stmt] = {}
    for statement in _top_level(tree):
        known |= dict.fromkeys(_bound(statement), statement)
    match known.get(name):
        case ast.FunctionDef() as definition:
            return _function(definition, file.relative_to(root), _pandas_names(tree))
        case ast.ImportFrom() as origin:
            source = next(a.name for a in origin.names if (a.asname or a.name) == name)
            other = _module_file(root, _absolute(root, file, origin))
            if other and other not in seen:
                return _find(root, other, source, reference, seen=seen)
    functions = [n for n, s in known.items() if isinstance(s, ast.FunctionDef)]
    where = file.relative_to(root).as_posix()
    if name in known:
        problem = f"`{name}` in {where} is not a function written with `def` in this project"
        raise ProjectError(problem, where=f"{where}:{known[name].lineno}:{known[name].col_offset + 1}")
    raise ProjectError(f"`{where}` has no function `{name}`", hint=did_you_mean(name, functions))


def _top_level(node: ast.AST) -> Iterator[ast.stmt]:
    """Statements that run on import, also under `if`, `try` and `with`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _top_level(child)


def _bound(statement: ast.stmt) -> list[str]:
    """The names a statement defines."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Import() | ast.ImportFrom():
            return [a.asname or a.name for a in statement.names]
        case ast.Assign():
            return [t.id for t in statement.targets if isinstance(t, ast.Name)]
        case ast.AnnAssign(target=ast.Name() as target):
            return [target.id]
    return []


def _function(definition: ast.FunctionDef, file: Path, pandas: set[str]) -> Function:
    args = definition.args
    positional = [*args.posonlyargs, *args.args]
    needed = len(positional) - len(args.defaults)
    defaults = [i >= needed for i in range(len(positional))] + [d is not None for d in args.kw_defaults]
    parameters = []
    for i, (argument, has_default) in enumerate(zip([*positional, *args.kwonlyargs], defaults, strict=True)):
        annotation = _text(argument.annotation)
        parameters.append(
            Parameter(
                name=argument.arg,
                has_default=has_default,
                by_name=i >= len(args.posonlyargs),
                annotation=annotation,
                frame="pandas" if annotation.partition(".")[0].partition(" ")[0] in pandas else "polars",
                line=argument.lineno,
                column=argument.col_offset + 1,
            )
        )
    return Function(
        name=definition.name,
        file=file,
        line=definition.lineno,
        column=definition.col_offset + 1,
        parameters=tuple(parameters),
    )


def _text(annotation: ast.expr | None) -> str:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.strip()
    return ast.unparse(annotation) if annotation else ""


def _pandas_names(tree: ast.Module) -> set[str]:
    """The names by which a file calls pandas, or something from it."""
    names = {"pd", "pandas"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.asname for a in node.names if a.name == "pandas" and a.asname}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pandas":
            names |= {a.asname or a.name for a in node.names}
    return names


def _parse(root: Path, file: Path) -> ast.Module:
    where = file.relative_to(root).as_posix()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(file.read_bytes(), str(file))
    except SyntaxError as problem:
        place = f"{where}:{problem.lineno or 1}:{problem.offset or 1}"
        raise ProjectError(f"`{where}` is not Python: {problem.msg}", where=place) from problem
    except (ValueError, RecursionError) as problem:
        raise ProjectError(f"`{where}` is not Python: {problem}", where=f"{where}:1:1") from problem
    except OSError as problem:
        raise ProjectError(f"cannot read `{where}`: {problem.strerror}") from problem


def _imports(root: Path, file: Path) -> Iterator[str]:
    """Full names of the modules a file imports, and of what may be modules."""
    for node in ast.walk(_parse(root, file)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield _absolute(root, file, node)


def _absolute(root: Path, file: Path, node: ast.ImportFrom) -> str:
    """The full name of the module that is imported from; empty when it is above the project."""
    if not node.level:
        return node.module or ""
    package = file.relative_to(root).parent.parts
    if node.level > len(package):
        return ""
    return ".".join([*package[: len(package) - node.level + 1], *(node.module or "").split(".")]).strip(".")


def _files_of(root: Path, module: str) -> list[Path]:
    """The files that importing a module may run: its own, or all of the package it belongs to."""
    top = module.partition(".")[0]
    if not top:
        return []
    folder = root / top
    if (folder / "__init__.py").is_file() or not (root / f"{top}.py").is_file():
        files = [f for f in folder.rglob("*.py") if not any(p.startswith(".") for p in f.relative_to(root).parts)]
        return [_inside(root, f) for f in files if f.is_file()]
    return [_inside(root, root / f"{top}.py")]


def _module_file(root: Path, module: str) -> Path | None:
    if not module:
        return None
    path = root.joinpath(*module.split("."))
    package = path / "__init__.py"
    file = package if package.is_file() else path.with_name(f"{path.name}.py")
    return _inside(root, file) if file.is_file() else None


def _inside(root: Path, file: Path) -> Path:
    if not file.resolve().is_relative_to(root.resolve()):
        name = file.relative_to(root).as_posix()
        raise ProjectError(f"`{name}` is a link to a file outside the project", hint=f"copy the file to {name}")
    return file


def _modules(root: Path) -> list[str]:
    """Modules a reference may have meant."""
    files = [*root.glob("*.py"), *root.glob("*/*.py")]
    names = [".".join(f.relative_to(root).with_suffix("").parts) for f in files]
    return [n.removesuffix(".__init__") for n in names if all(p.isidentifier() for p in n.split("."))]
