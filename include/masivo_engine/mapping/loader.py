"""
A mapping: the folder of SQL that turns one legacy schema into records.

``customers.sql``, ``events.sql``, ``transactions.sql``    a row per record; an alias is a path
``customers.balance.sql``, ``events.order__products.sql``  a row per element of the list it names
``events.left_out.sql``                                    optional: rows that are not read, and why
``mapping.yaml``                                           what SQL cannot say
``customers.py`` (or events.py, transactions.py)           optional: ``adjust(row)``

Steps of a path stand with ``__`` between them. ``adjust`` is for what SQL cannot do: it gets a row
as a dict by lower-case alias, before anything is read from it, and returns it with values changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masivo_engine.contract.tree import nearest, paths
from masivo_engine.mapping.aliases import LEFT_OUT, Query, find, root_of
from masivo_engine.mapping.settings import Settings, settings_of, text_of
from masivo_engine.model.errors import MappingError
from masivo_engine.model.ledger_capacity import MAPPING
from masivo_engine.model.rows import Entity


# Inside of the package where it is installed, beside it in a checkout.
_INSTALLED, _BESIDE = (Path(__file__).parents[up] / "mappings" for up in (1, 2))
MAPPINGS = _INSTALLED if _INSTALLED.is_dir() else _BESIDE


Adjust = Callable[[dict[str, Any]], dict[str, Any]]

# A text, a quoted name, a comment, or the semicolon that ends a statement.
_TOKENS = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<end>;)|(?P<other>\S)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mapping:
    """
    A loaded mapping; *left_out* are the files of rows that it does not read. *content_hash* covers
    every file that decides what is sent.
    """

    name: str
    folder: Path
    settings: Settings
    queries: dict[Entity, Query]
    lists: dict[Entity, dict[str, Query]]
    adjust: dict[Entity, Adjust]
    content_hash: str
    left_out: dict[Entity, Query] = field(default_factory=dict)

    @property
    def entities(self) -> tuple[Entity, ...]:
        """What this mapping migrates, parents first."""
        return tuple(entity for entity in Entity if entity in self.queries)


def load(name_or_folder: str, *, unsaid_zone: str = "") -> Mapping:
    """
    Load the mapping called *name_or_folder*, or that lies in that folder.

    *unsaid_zone* is taken where `mapping.yaml` leaves the time zone to say; nothing that plans or
    sends gives one.

    Raises `MappingError` with the file, the fault and what to do.
    """
    folder = folder_of(name_or_folder)
    _check_name(folder)
    if not (folder / "customers.sql").is_file():
        raise MappingError(
            str(folder), "has no customers.sql", "every mapping needs one: a SELECT with a row per customer"
        )
    settings = settings_of(folder / "mapping.yaml", unsaid_zone=unsaid_zone)

    queries: dict[Entity, Query] = {}
    left_out: dict[Entity, Query] = {}
    lists: dict[Entity, dict[str, Query]] = {entity: {} for entity in Entity}
    for file in sorted(folder.glob("*.sql")):
        query = _query(file)
        if query.path == LEFT_OUT:
            left_out[query.entity] = query
        elif query.path:
            lists[query.entity][query.path] = query
        else:
            queries[query.entity] = query
    for query in [*left_out.values(), *(query for files in lists.values() for query in files.values())]:
        if query.entity not in queries:
            does = "leaves out" if query.path == LEFT_OUT else "fills a list of"
            raise MappingError(
                query.where, f"{does} {query.entity}, but there is no {query.entity}.sql", "add it, or remove this file"
            )
    _check_moves(folder / "mapping.yaml", settings, lists)
    _check_zones(
        folder / "mapping.yaml", settings, [*queries.values(), *(q for files in lists.values() for q in files.values())]
    )

    adjust = {entity: _adjust(folder / f"{entity}.py") for entity in queries if (folder / f"{entity}.py").is_file()}
    return Mapping(folder.name, folder, settings, queries, lists, adjust, _content_hash(folder), left_out)


def folder_of(name_or_folder: str) -> Path:
    """
    Return the folder of the mapping called *name_or_folder*, or that folder itself.

    Raises `MappingError` where there is none.
    """
    named, given = MAPPINGS / name_or_folder, Path(name_or_folder).expanduser()
    if name_or_folder and named.is_dir():
        return named
    if given.is_dir():
        return given.resolve()
    known = ", ".join(sorted(path.name for path in MAPPINGS.iterdir() if path.is_dir()))
    raise MappingError(
        f"mapping {name_or_folder!r}", "there is no such mapping and no such folder", f"known are {known}"
    )


def new_folder(name_or_folder: str) -> Path:
    """
    Return where a new mapping called *name_or_folder* lies: among the others, or at that path.

    Raises `MappingError` where something is there already, or no mapping can be called so.
    """
    given = Path(name_or_folder).expanduser()
    folder = given.absolute() if len(given.parts) > 1 else MAPPINGS / given
    if not given.name or given.name == "..":
        raise MappingError(f"mapping {name_or_folder!r}", "that is no name of a folder", "give it a name of letters")
    _check_name(folder)
    if os.path.lexists(folder):
        raise MappingError(str(folder), "is there already, and nothing is overwritten", "give it another name")
    return folder


def _check_name(folder: Path) -> None:
    if len(folder.name) > MAPPING:
        raise MappingError(
            f"a mapping's folder with a name of {len(folder.name)} characters",
            f"the ledger knows mappings by their names, of at most {MAPPING}",
            "give it a shorter name",
        )


def _check_moves(file: Path, settings: Settings, lists: dict[Entity, dict[str, Query]]) -> None:
    for entity, paths_ in settings.moves_with.items():
        if entity not in set(Entity):
            raise MappingError(
                str(file), f"moves_with: {entity!r} is nothing the API takes", f"known are {', '.join(Entity)}"
            )
        for path in paths_:
            if path not in lists[Entity(entity)]:
                known = ", ".join(lists[Entity(entity)]) or "none"
                remedy = f"name a list that has a file; {entity} has {known}"
                raise MappingError(str(file), f"moves_with: {entity} has no list file {path!r}", remedy)


def _check_zones(file: Path, settings: Settings, queries: list[Query]) -> None:
    for column in settings.timezones:
        if not any(column in query.reserved or find(query, column) for query in queries):
            like = nearest(column, {path for query in queries for path in (*paths(root_of(query)), *query.reserved)})
            raise MappingError(
                str(file), f"timezones: unknown alias {column!r}", f"did you mean {like!r}?" if like else ""
            )


def _query(file: Path) -> Query:
    stem, _, path = file.stem.partition(".")
    if stem not in set(Entity):
        raise MappingError(str(file), f"{stem!r} is nothing the API takes", f"known are {', '.join(Entity)}")
    sql = _one_statement(text_of(file))
    if not sql:
        raise MappingError(str(file), "is empty", "write a SELECT with a row per record")
    query = Query(Entity(stem), path, sql, str(file))
    root_of(query)
    return query


def _one_statement(sql: str) -> str:
    """
    Return *sql* without the semicolon at its end and the comments after it.

    Empty if it holds nothing but comments.
    """
    end = len(sql)
    for token in reversed(list(_TOKENS.finditer(sql))):
        if token.lastgroup == "end":
            end = token.start()
        elif token.lastgroup != "comment":
            return sql[:end].strip()
    return ""


def _adjust(file: Path) -> Adjust:
    spec = importlib.util.spec_from_file_location(f"masivo_mapping_{file.parent.name}_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise MappingError(str(file), "cannot be imported")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise MappingError(str(file), f"cannot be imported: {type(error).__name__}: {error}", "correct it") from error
    function = getattr(module, "adjust", None)
    if not callable(function):
        raise MappingError(str(file), "has no function adjust(row)", "define it, or remove the file")
    adjust: Adjust = function
    return adjust


def _content_hash(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(folder.iterdir()):
        if file.suffix in {".sql", ".yaml", ".py"} and not file.stem.endswith(f".{LEFT_OUT}"):
            content = file.read_bytes()
            digest.update(f"{file.name}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()
