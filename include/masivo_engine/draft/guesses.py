"""
Which column fills which alias.

A guess is one of two kinds. Where a name says enough, the column is selected. Codes and money are
never guessed: their lines are left to be filled in, with the columns named that may say it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from masivo_engine.draft.roles import Chosen, Role, Roles, key_of
from masivo_engine.draft.schema import Column, Family, Table
from masivo_engine.draft.words import KEY_WORDS, without, words


_TEXT = (Family.TEXT, Family.ANY)
_LABEL = (Family.TEXT, Family.ANY, Family.CODE, Family.NUMBER, Family.UUID)
_NUMBER = (Family.NUMBER, Family.ANY)
_TIME = (Family.MOMENT, Family.DAY, Family.ANY, Family.TEXT, Family.NUMBER)
_DAY = (Family.DAY, Family.MOMENT, Family.TEXT, Family.ANY)
_CODE = (Family.CODE, Family.FLAG, Family.TEXT, Family.NUMBER, Family.ANY)


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What an alias asks for: columns with all words of one of *names*, the better the earlier, of one
    of *families*, likewise. With *fill_in* the line is left to a person, who is told that. One
    that is not *needed* is left out where no column looks like it.
    """

    alias: str
    names: str
    families: tuple[Family, ...]
    fill_in: str = ""
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Guess:
    """
    The *columns* of *table* that fill *alias*, or may (where there is something to *fill_in*);
    *others* are the next best, those of other tables with their table. A *constant* is the API's
    own word, and stands in no column. *is_code*: a person has to know what the first column holds.
    """

    alias: str
    table: Table
    columns: tuple[Column, ...]
    fill_in: str = ""
    others: tuple[str, ...] = ()
    why: str = ""
    constant: str = ""
    is_code: bool = False


@dataclass(slots=True)
class FileGuess:
    """One SQL file: its rows are those of *chosen*; *sums* where they are to be added up."""

    name: str
    chosen: Chosen
    guesses: list[Guess] = field(default_factory=list)
    sums: bool = False


_CREATED = (
    "date created|created at|created|date add|date added|create date|fecha creacion|fecha alta|inserted|entered|"
    "creation"
)
_UPDATED = (
    "updated|changed|modified|date upd|date modified|write date|last update|modification|actualizacion|"
    "modificacion|actualizado|modificado"
)
_MONEY = "with or without tax, shipping and discounts, in units and not in cents? A draft does not guess money"

CUSTOMERS = (
    Wanted("gender", "gender|sex|genero|sexo", _CODE, "MALE, FEMALE, or NULL where it is not known"),
    Wanted("dob", "birth date|birthday|birthdate|birth|dob|fecha nacimiento|nacimiento", _DAY),
    Wanted(
        "registration_date",
        "registration date|registered|registration|joined|member since|signup|fecha registro|registro|alta|enrolled|"
        f"{_CREATED}",
        _TIME,
        needed=True,
    ),
    Wanted("country", "country|pais", (Family.TEXT, Family.ANY)),
    Wanted(
        "metrics__lifetime__tier_id",
        "tier|level|nivel|categoria|segment",
        _LABEL,
        "the id in Masivo of the tier that each code stands for",
    ),
    Wanted("status", "status|active|enabled|state|estado|activo|blocked", _CODE, "ACTIVE or INACTIVE"),
    Wanted("updated_at", _UPDATED, _TIME),
)
BALANCE = (
    Wanted(
        "reward_id",
        "reward|purse|currency|program|kind|type|tipo",
        _LABEL,
        "the id of the reward in Masivo",
        needed=True,
    ),
    Wanted(
        "amount",
        "remaining|points balance|balance|left|available|saldo|disponible|points|point|puntos|amount|quantity|stamp",
        _NUMBER,
        needed=True,
    ),
    Wanted("issued_at", f"issued|granted|awarded|earned|{_CREATED}|date|fecha", _TIME),
    Wanted("expiration_date", "expiration|expires|expiry|expire|valid until|vencimiento|vence|caduca", _TIME),
)
EVENTS = (
    Wanted(
        "brand_id", "brand|marca|website|company", _LABEL, "the brand's id in Masivo; NULL is sent as null", needed=True
    ),
    Wanted("channel_id", "channel|canal|source|via", _LABEL, "the id of the channel in Masivo"),
    Wanted("store_id", "store|shop|branch|outlet|tienda|sucursal|warehouse|location", _LABEL),
    Wanted("order__store_id", "store|shop|branch|outlet|tienda|sucursal|warehouse|location", _LABEL),
    Wanted("order__metadata__currency", "currency code|currency|moneda", _TEXT),
    Wanted(
        "order__value",
        "subtotal|total amount|grand total|amount total|total|amount|importe|monto|valor|sum|value|price",
        _NUMBER,
        f"what the order was worth before discounts: {_MONEY}",
        needed=True,
    ),
    Wanted(
        "order__discounted_value",
        "total paid|grand total|total amount|amount total|total|amount|importe|monto|valor|sum|value|price",
        _NUMBER,
        "what it was worth after discounts, the same as order__value where there were none",
        needed=True,
    ),
    Wanted("order__shipping__value", "shipping|delivery|freight|envio|flete", _NUMBER, f"what delivery cost: {_MONEY}"),
    Wanted(
        "order__payment_method",
        "payment code|payment method|method code|payment module|payment type|payment|pay method|tender|medio pago|"
        "forma pago|metodo pago|pago|gateway|module|method",
        _CODE,
        "CREDIT, DEBIT, CASH, BANK_TRANSFER or OTHER",
        needed=True,
    ),
    Wanted(
        "fulfilled",
        "order status|current state|status|state|estado|fulfilled|completed|valid",
        _CODE,
        "1 for a purchase that counts, 0 for one that does not yet; leave out the others with WHERE",
        needed=True,
    ),
    Wanted(
        "issued_at",
        "order date|purchase date|sale date|date order|sold|placed|ordered|purchased|date purchase|issued|"
        f"{_CREATED}|transaction date|posting date|invoice date|date|fecha|day|dia|time",
        _TIME,
        needed=True,
    ),
    Wanted(
        "resolved_at",
        "settled|date paid|paid|invoice date|completed|delivered|closed|resolved|delivery date|fecha pago|pagado",
        (Family.MOMENT, Family.DAY, Family.ANY),
        needed=True,
    ),
    Wanted("updated_at", _UPDATED, _TIME),
)
PRODUCTS = (
    Wanted(
        "sku",
        "sku|product reference|item code|article code|product code|ean|upc|barcode|reference|model|codigo|article|"
        "articulo|product|producto|item",
        _LABEL,
        needed=True,
    ),
    Wanted("amount", "product quantity|quantity|qty|cantidad|units|unit|pieces|count", _NUMBER, needed=True),
    Wanted(
        "value",
        "gross|subtotal|total price|line total|total|amount|importe|price|precio|valor|value",
        _NUMBER,
        f"what the whole line was worth, not one piece: {_MONEY}",
        needed=True,
    ),
    Wanted(
        "discounted_value",
        "net|discount|discounted|reduction|descuento",
        _NUMBER,
        "what the whole line was worth after discounts",
    ),
    Wanted("metadata__name", "product name|item name|name|title|description|nombre|descripcion", _TEXT),
)
TRANSACTIONS = (
    Wanted("reward_id", "purse|reward|program|currency", _LABEL, "the id of the reward in Masivo", needed=True),
    Wanted(
        "type",
        "transaction type|entry type|type|kind|tipo|operation|reason|state",
        _CODE,
        "ACCUMULATION, REDEMPTION, EXPIRATION, MIGRATION, TRANSFER or REVERSAL, for each code or sign",
        needed=True,
    ),
    Wanted("amount", "points|puntos|loyalty points|amount|quantity|delta|issued|valor|stamps", _NUMBER, needed=True),
    Wanted("cost", "cost|costo|money", _NUMBER, f"what the points cost: {_MONEY}"),
    Wanted("store_id", "store|shop|branch|outlet|tienda|sucursal", _LABEL),
    Wanted(
        "issued_at",
        f"booked|earned|issued|transaction date|posting date|{_CREATED}|date|fecha|happened|day|time",
        _TIME,
        needed=True,
    ),
    Wanted(
        "resolved_at",
        f"effective|resolved|available|booked|earned|issued|transaction date|posting date|{_CREATED}|date|fecha|"
        "happened|day|time",
        _TIME,
        needed=True,
    ),
    Wanted("updated_at", _UPDATED, _TIME),
)

# A word of a column's name that speaks of another thing than the alias does.
_ELSEWHERE = frozenset(
    [
        "parent",
        "admin",
        "old",
        "previous",
        "next",
        "last",
        "first",
        "tax",
        "ip",
        "cart",
        "guest",
        "session",
        "flag",
        "is",
        "has",
        "default",
        "name",
        "type",
        "title",
        "description",
        "rate",
        "currency",
    ]
)


def guesses(roles: Roles) -> list[FileGuess]:
    """Return what each file of a mapping may hold, for the tables that have a role."""
    files: list[FileGuess] = []
    people = roles.chosen.get(Role.CUSTOMERS)
    if people is None:
        return files
    files.append(_file(roles, "customers", Role.CUSTOMERS, CUSTOMERS, _person(roles, people)))
    _balances(roles, files, people)
    if sales := roles.chosen.get(Role.PURCHASES):
        key = _plain("order__purchase_id", sales.table, key_of(sales.table), "its key")
        kind = Guess("type", sales.table, (), why="the API's word for a purchase", constant="PURCHASE")
        files.append(_file(roles, "events", Role.PURCHASES, EVENTS, [_owner(sales, "customer_id"), key, kind]))
    if lines := roles.chosen.get(Role.LINES):
        begin = [_owner(lines, "order__purchase_id"), *_position(lines.table)]
        files.append(_file(roles, "events.order__products", Role.LINES, PRODUCTS, begin))
    if points := roles.chosen.get(Role.POINTS):
        key = _plain("transaction_id", points.table, key_of(points.table), "its key")
        details = _plain(
            "details", points.table, key_of(points.table), "it has the key: the only text that Masivo gives back"
        )
        begin = [_owner(points, "customer_id"), key, details]
        files.append(_file(roles, "transactions", Role.POINTS, TRANSACTIONS, begin))
    return files


def _balances(roles: Roles, files: list[FileGuess], people: Chosen) -> None:
    """Add what is left of points: by lot, by a column of the customers, or what all rows sum to."""
    name = "customers.balance"
    if lots := roles.chosen.get(Role.LOTS):
        begin = [_owner(lots, "customer_id"), *_position(lots.table)]
        files.append(_file(roles, name, Role.LOTS, BALANCE, begin))
        return
    own = _best(Wanted("amount", "points balance|loyalty points|points|point|puntos|saldo", _NUMBER), people.table)
    points = roles.chosen.get(Role.POINTS)
    if own:
        owner = _plain("customer_id", people.table, key_of(people.table), "its key")
        reward = Guess("reward_id", people.table, (), BALANCE[0].fill_in)
        amount = Guess("amount", people.table, (own[0],), others=_names(own[1:]), why="the customer's own column")
        files.append(FileGuess(name, people, [owner, reward, amount]))
    elif points:
        reward = Guess("reward_id", points.table, (), BALANCE[0].fill_in)
        found = _best(TRANSACTIONS[2], points.table)
        amount = Guess(
            "amount", points.table, tuple(found[:1]), why="nothing says what is left: this is what all rows add up to"
        )
        if found:
            files.append(FileGuess(name, points, [_owner(points, "customer_id"), reward, amount], sums=True))


def _file(roles: Roles, name: str, role: Role, wanted: Iterable[Wanted], begin: list[Guess]) -> FileGuess:
    made = FileGuess(name, roles.chosen[role], begin)
    for one in wanted:
        guess = _guess(roles, role, one)
        if guess is not None:
            made.guesses.append(guess)
    return made


def _guess(roles: Roles, role: Role, wanted: Wanted) -> Guess | None:
    table = roles.chosen[role].table
    found = _best(wanted, table, roles)
    if found:
        is_code = bool(wanted.fill_in) and wanted.families is not _NUMBER
        return Guess(
            wanted.alias, table, (found[0],), wanted.fill_in, _names(found[1:3]), "by its name", is_code=is_code
        )
    if not wanted.needed:
        return None
    elsewhere = [
        f"{other.name}.{column.name}" for other, _ in roles.beside(role) for column in _best(wanted, other, roles)[:1]
    ]
    return Guess(wanted.alias, table, (), wanted.fill_in or "no column looks like it", tuple(elsewhere[:3]))


def _person(roles: Roles, people: Chosen) -> list[Guess]:
    table = people.table
    first = _best(Wanted("", "first name|given name|nombre|first", _TEXT), table)
    last = _best(Wanted("", "last name|surname|family name|apellido|last", _TEXT), table)
    whole = _best(Wanted("", "full name|display name|customer name|nombre completo|name|razon social", _TEXT), table)
    if first and last and first[0] != last[0]:
        name = Guess("name", table, (first[0], last[0]), why="first and last name")
    elif whole or first:
        best, *rest = [*whole, *first]
        name = Guess("name", table, (best,), others=_names(rest[:2]), why="by its name")
    else:
        name = Guess("name", table, (), "no column looks like it", _elsewhere(roles, "name|nombre"))
    email = _best(Wanted("", "email|email address|mail|correo", _TEXT), table)
    if email:
        address = Guess("email", table, (email[0],), others=_names(email[1:3]), why="by its name; in lower case")
    else:
        hint = _elsewhere(roles, "email|mail|correo|contact value|contact|value")
        address = Guess(
            "email", table, (), "no column looks like it; a table of contacts needs a JOIN to one row each", hint
        )
    return [_plain("id", table, key_of(table), "its key"), name, address]


def _elsewhere(roles: Roles, names: str) -> tuple[str, ...]:
    wanted = Wanted("", names, _TEXT)
    found = [
        f"{other.name}.{one.name}" for other, _ in roles.beside(Role.CUSTOMERS) for one in _best(wanted, other)[:1]
    ]
    return tuple(found[:3])


def _owner(chosen: Chosen, alias: str) -> Guess:
    """Return the column that says whose a row is: of its own table, or of the one between."""
    table = chosen.table if len(chosen.way) == 1 else chosen.way[0].to
    return _plain(alias, table, chosen.way[-1].column, f"leads to {chosen.way[-1].to.name}.{chosen.way[-1].target}")


def _position(table: Table) -> list[Guess]:
    """Return what orders the elements of a list, if there is something."""
    named = [
        column.name
        for column in table.columns
        if {*words(column.name)} & {"line", "position", "pos", "seq", "sequence"}
    ]
    keys = [name for name in (*named, key_of(table)) if name in {column.name for column in table.columns}]
    return [_plain("position", table, keys[0], "the order of the lines")] if keys else []


_ORDER = frozenset({"line", "position", "pos", "seq", "sequence"})


def _plain(alias: str, table: Table, name: str, why: str) -> Guess:
    return Guess(alias, table, tuple(column for column in table.columns if column.name == name), why=why)


def _best(wanted: Wanted, table: Table, roles: Roles | None = None) -> list[Column]:
    """Return the columns of *table* that may be *wanted*, the best first."""
    own = {*words(table.name)} | ({roles.prefix} if roles else set())
    patterns = [frozenset(words(pattern.replace(" ", "_"))) for pattern in wanted.names.split("|")]
    scored: list[tuple[float, int, Column]] = []
    for place, column in enumerate(table.columns):
        said = words(column.name)
        if column.family not in wanted.families or column.name == table.only_key:
            continue
        hits = [number for number, pattern in enumerate(patterns) if pattern <= {*said}]
        if not hits:
            continue
        number = hits[0]
        strangers = [word for word in without(said, KEY_WORDS, patterns[number]) if word not in own]
        loose = sum(3 if word in _ELSEWHERE else 1 for word in strangers)
        score = 10 - 0.4 * number - 1.5 * loose - 0.5 * wanted.families.index(column.family)
        score += 0.25 * bool({*said} & {"gmt", "utc"}) + 0.2 * (len(patterns[number]) - 1)
        if score > 2:
            scored.append((score, -place, column))
    return [column for *_, column in sorted(scored, key=lambda one: one[:2], reverse=True)]


def _names(columns: Iterable[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)
