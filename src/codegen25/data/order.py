"""Repository order: what belongs together stands together, imported modules before importers.

Files of a repository go by folder depth, then folder, then name, a README before its neighbours;
but a Python module waits until the modules of the repository that it imports stand before it.
Only imports that run when the module is loaded count, not those inside functions or under
`TYPE_CHECKING`: those are there because the modules import each other. A cycle that remains is
entered at its first file in that order, and only imports within the cycle go unheeded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from codegen25.data.documents import Document
from codegen25.data.metadata import body_start
from codegen25.data.syntax import parse

_ENDINGS = (".py", ".pyi")
_Parts = tuple[str, ...]


def repository_order(documents: Sequence[Document]) -> list[int]:
    """Indices of all `documents`: repositories as they first appear, each in repository order.

    The place of a document in its repository does not depend on the order of `documents`. A
    function cut out of a file, `FILE::NAME`, follows that file.
    """
    repos: dict[str, list[int]] = {}
    for i, document in enumerate(documents):
        repos.setdefault(document.repo, []).append(i)
    return [i for members in repos.values() for i in _in_repository(documents, members)]


def _in_repository(documents: Sequence[Document], members: list[int]) -> Iterator[int]:
    files: dict[str, list[int]] = {}
    for i in sorted(members, key=lambda i: (documents[i].path, documents[i].text)):
        files.setdefault(documents[i].path.partition("::")[0], []).append(i)
    modules = {path: own for path, own in files.items() if _is_module(path, documents[own[0]])}
    resolver = _Resolver(modules)
    imports = {
        path: list(dict.fromkeys(resolver.imports(path, (documents[i] for i in own))))
        for path, own in modules.items()
    }
    for path in _imported_first(sorted(files, key=_place), imports):
        yield from files[path]


def _is_module(path: str, document: Document) -> bool:
    return path.endswith(_ENDINGS) and document.language in ("", "python")


def _place(path: str) -> tuple[int, str, bool, str]:
    folder, _, name = path.rpartition("/")
    return path.count("/"), folder, not name.lower().startswith("readme"), name


def _imported_first(order: Iterable[str], imports: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Depth-first, each file after what it imports; iterative, for chains are long."""
    entered: set[str] = set()
    for root in order:
        if root in entered:
            continue
        entered.add(root)
        path = [(root, iter(imports.get(root, ())))]
        while path:
            file, pending = path[-1]
            following = next((target for target in pending if target not in entered), None)
            if following is None:
                path.pop()
                yield file
            else:
                entered.add(following)
                path.append((following, iter(imports.get(following, ()))))


class _Resolver:
    """Finds the files that a module's imports name, among the `modules` of one repository."""

    def __init__(self, modules: Iterable[str]) -> None:
        self.files = frozenset(modules)
        self.packages: dict[str, set[_Parts]] = {}
        """Folders that hold a top-level package of that name."""
        for path in self.files:
            folder = PurePosixPath(path).parts[:-1]
            if folder and self._package(folder) and not self._package(folder[:-1]):
                self.packages.setdefault(folder[-1], set()).add(folder[:-1])

    def imports(self, path: str, documents: Iterable[Document]) -> Iterator[str]:
        """The files that the module at `path` imports when it is loaded, in order."""
        for document in documents:
            for level, names in _imported_names(document.text[body_start(document) :]):
                found = self._relative(path, level, names) if level else self._absolute(path, names)
                if found is not None and found != path:
                    yield found

    def _relative(self, path: str, level: int, names: _Parts) -> str | None:
        folder = PurePosixPath(path).parts[:-1]
        if level - 1 > len(folder):
            return None
        base = folder[: len(folder) - (level - 1)]
        return self._longest(base, names) or self._package(base)

    def _absolute(self, path: str, names: _Parts) -> str | None:
        """Looked up beside the importer's package or script, in the repository's root, in `src`,
        and where the one package of that name stands."""
        own = PurePosixPath(path).parts[:-1]
        while own and self._package(own):
            own = own[:-1]
        roots = [own, (), ("src",)]
        named = self.packages.get(names[0], set())
        if len(named) == 1:
            roots += named
        return next((found for root in roots if (found := self._longest(root, names))), None)

    def _longest(self, base: _Parts, names: _Parts) -> str | None:
        """The longest part of a dotted name that is a module: the rest are its attributes."""
        for length in range(len(names), 0, -1):
            parts = (*base, *names[:length])
            if found := self._package(parts) or self._file("/".join(parts)):
                return found
        return None

    def _package(self, folder: _Parts) -> str | None:
        return self._file("/".join((*folder, "__init__")))

    def _file(self, stem: str) -> str | None:
        return next((stem + e for e in _ENDINGS if stem + e in self.files), None)


def _imported_names(source: str) -> Iterator[tuple[int, _Parts]]:
    """(level, dotted name) of each import that runs when `source` is loaded; level 0 is absolute.

    `from a import b` is `a.b`. Source that does not parse imports nothing.
    """
    tree = parse(source)
    pending: list[ast.AST] = [tree] if tree else []
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((0, tuple(alias.name.split("."))) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield node.level, module if alias.name == "*" else (*module, alias.name)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += reversed(list(_inner(node)))


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that a statement contains, handlers and cases among them."""
    for field in ("body", "handlers", "cases", "orelse", "finalbody"):
        if not (field == "body" and _is_for_checkers(node)):
            yield from getattr(node, field, ())


def _is_for_checkers(node: ast.AST) -> bool:
    test = getattr(node, "test", None)
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return isinstance(node, ast.If) and name == "TYPE_CHECKING"
