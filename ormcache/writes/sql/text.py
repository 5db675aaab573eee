"""What an SQL text may write, from its words alone: too many tables, but never too few.

Out of reach is what a text does not say: functions, triggers, rules, prepared statements.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ormcache.writes.sql.schema import changes_everything
from ormcache.writes.sql.tokens import all_words, identifiers, tokens, words_of


class Kind(enum.Enum):
    """What a statement does to the cache."""

    READ = "read"
    WRITE = "write"
    SCHEMA = "schema"
    """A write that ends the running transaction on MySQL."""
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Exact:
    """A statement on rows of one table named by one column: ``params[first_param:][:count]``.

    Of an insert only the table is known: ``column`` is empty and ``count`` 0.
    """

    verb: str
    table: str
    column: str
    first_param: int
    count: int
    set_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a text of one or more statements may do."""

    kind: Kind
    identifiers: frozenset[str] = frozenset()
    """Every name in a text that writes, unquoted and case folded."""
    truncates: bool = False
    """Tables that refer to the named ones may be emptied with them."""
    isolation: bool = False
    """The isolation level or the snapshot may change."""
    visibility: bool = False
    """The connection may see other tables or rows than its neighbours from now on."""
    only_view: bool = False
    """What may change is named by the view of the project, if it names one; but for a setting that
    the text does not name."""
    custom: frozenset[str] = frozenset()
    """Settings of the application's own that may be set, as ``app.tenant``."""
    names_setting_apart: bool = False
    """Which setting is set stands in a parameter or is worked out."""
    is_blinding: bool = False
    """What is set cannot be asked for afterwards."""
    moves: bool = False
    """Another database may be used from now on."""
    begins: bool = False
    """A transaction may be open when the text, which writes, is over."""
    commits: bool = False
    """On MySQL it may commit the running transaction."""
    chains: bool = False
    """What ends a transaction begins the next one."""
    is_sure: bool = True
    """All that the text says of transactions is said by the one statement that it is."""
    everything: bool = False
    """It may change what rows hold, or which are seen, of tables that it does not name."""
    exact: Exact | None = None


_READ = Statement(Kind.READ)

# Longer texts are bulk inserts mostly, which seldom come twice.
_MEMOISED = 20_000
# There are many more queries than statements that write, and looking at one costs little.
_SHORT = 2_000


def parse(sql: str) -> Statement:
    """What ``sql``, a text with ``%s`` placeholders in the syntax of any database, may do."""
    if sql[:7] == "SELECT " and (_reads if len(sql) > _SHORT else _memoised_reads)(sql):
        return _READ
    return _parse(sql) if len(sql) > _MEMOISED else _memoised(sql)


def _reads(sql: str) -> bool:
    """Whether a text that begins with SELECT surely does nothing else."""
    if ";" in sql:
        return False
    upper = sql.upper()
    # One SELECT writes nothing, whatever it quotes how: unless it creates a table.
    return "INTO" not in upper and "SET_CONFIG" not in upper and "SEARCH_PATH" not in upper


_memoised_reads = lru_cache(maxsize=1024)(_reads)


@lru_cache(maxsize=1024)
def _memoised(sql: str) -> Statement:
    return _parse(sql)


def _parse(sql: str) -> Statement:
    exact = _exact(sql)
    if exact is not None and exact.table != _SETTINGS:
        names = frozenset(name.casefold() for name in _ANY_NAME.findall(sql))
        return Statement(Kind.WRITE, names, exact=exact)
    found = tokens(sql)
    if found is None:
        parts = [words for part in sql.split(";") if (words := words_of(part))]
        kind = _disputed_kind(sql, parts)
    else:
        parts = split([token.upper() for token in found])
        kind = max(map(kind_of, parts), key=_STRENGTH.index, default=Kind.READ)
    holds_code = found is None or any(map(_holds_code, parts))
    settings = _settings(sql, parts, holds_code=holds_code)
    is_one = found is not None and len(parts) < 2
    is_sure = is_one or _OF_TRANSACTIONS.isdisjoint(all_words(sql))
    if kind in _WRITING:
        names = all_words(sql) if holds_code else identifiers(found or (), sql)
        return Statement(
            kind,
            names,
            any(map(_truncates, parts)),
            begins=_begins(sql, parts, found is None),
            commits=any(map(_commits, parts)),
            everything=changes_everything(
                parts, names, is_code=found is None or _runs_code(parts)
            ),
            is_sure=is_sure,
            **settings,
        )
    commits = kind is Kind.SESSION and any(map(_commits, parts))
    if kind is Kind.READ and (settings["isolation"] or settings["visibility"]):
        kind = Kind.SESSION
    chained = kind in _ENDING and any(map(chains, parts))
    return Statement(kind, commits=commits, chains=chained, is_sure=is_sure, **settings)


def _disputed_kind(sql: str, parts: list[list[str]]) -> Kind:
    """The kind of a text that databases read differently, given all words between semicolons."""
    kind = kind_of(parts[0]) if parts else Kind.READ
    if kind in _WRITING or _LONE_SELECT.match(sql):
        return kind
    # What looks like a second statement may be a string: no COMMIT must be made of it.
    kinds = set(map(kind_of, parts[1:]))
    if not kinds.isdisjoint(_WRITING) or not _ANYWHERE.isdisjoint(all_words(sql)):
        return Kind.WRITE
    is_read = kind is Kind.READ
    return Kind.SESSION if is_read and not kinds.isdisjoint({Kind.BEGIN, *_ENDING}) else kind


_KINDS = {
    Kind.READ: "SELECT WITH VALUES TABLE SHOW EXPLAIN DESCRIBE DESC ANALYZE DECLARE FETCH MOVE"
    " CLOSE LISTEN UNLISTEN NOTIFY CHECKPOINT VACUUM REINDEX CLUSTER HANDLER HELP COPY",
    Kind.SCHEMA: "ALTER DROP CREATE RENAME TRUNCATE LOCK UNLOCK GRANT REVOKE OPTIMIZE REPAIR"
    " CHECK FLUSH INSTALL UNINSTALL",
    Kind.BEGIN: "BEGIN",
    Kind.COMMIT: "COMMIT END",
    Kind.ROLLBACK: "ROLLBACK ABORT",
    Kind.SAVEPOINT: "SAVEPOINT RELEASE",
    Kind.SESSION: "SET RESET USE PRAGMA DISCARD ATTACH DETACH DEALLOCATE START KILL",
}
# Every other verb counts as a write: INSERT, CALL, and those nobody has heard of.
_KIND_OF = {verb: kind for kind, verbs in _KINDS.items() for verb in verbs.split()}

VERBS = frozenset(_KIND_OF)

# Of several statements in a text the one that counts most is the last of these.
_STRENGTH = (
    Kind.READ,
    Kind.SESSION,
    Kind.SAVEPOINT,
    Kind.BEGIN,
    Kind.ROLLBACK,
    Kind.COMMIT,
    Kind.WRITE,
    Kind.SCHEMA,
)

_WRITES = frozenset("INSERT UPDATE DELETE MERGE REPLACE TRUNCATE CALL DO EXECUTE".split())
_CHANGES = frozenset("ALTER DROP CREATE RENAME TRUNCATE".split())
# Any of these words makes a write of a text that databases read differently.
_ANYWHERE = frozenset(
    word.casefold() for word in (*_WRITES, *_CHANGES, "INTO", "COPY", "LOAD", "REFRESH", "PREPARE")
)
COMMITS_NOTHING = frozenset(
    "SELECT INSERT UPDATE DELETE REPLACE WITH VALUES TABLE SHOW EXPLAIN DESCRIBE DESC HANDLER HELP"
    " USE KILL SIGNAL RESIGNAL GET SAVEPOINT RELEASE ROLLBACK COMMIT PREPARE DEALLOCATE DO"
    " PRAGMA ATTACH DETACH DISCARD".split()
)
# A word of a write, and a word of MySQL's string and number functions.
_FUNCTIONS = frozenset("INSERT REPLACE TRUNCATE".split())

_LONE_SELECT = re.compile(r"[\s(]*+SELECT\b[^;]*+\Z", re.IGNORECASE)

_WRITING = frozenset({Kind.WRITE, Kind.SCHEMA})
_ENDING = frozenset({Kind.COMMIT, Kind.ROLLBACK})
_OF_TRANSACTIONS = frozenset("begin start xa commit rollback autocommit".split())


def split(words: list[str]) -> list[list[str]]:
    """The statements of a text, without the parentheses they begin with."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == ";":
            parts.append([])
        elif word != "(" or parts[-1]:
            parts[-1].append(word)
    return [words for words in parts if words]


def kind_of(words: list[str]) -> Kind:
    """The kind of one statement, given as upper-case tokens."""
    verb, second = words[0], words[1] if len(words) > 1 else ""
    kind = _KIND_OF.get(verb, Kind.WRITE)
    if verb == "SET":
        return _kind_of_set(words)
    if kind is Kind.READ:
        return _kind_of_read(words)
    if kind is Kind.SCHEMA:
        # On MySQL temporary tables come and go without a COMMIT.
        temporary = verb in ("CREATE", "DROP") and "TEMPORARY" in words[1:4]
        return Kind.WRITE if temporary or second == "PREPARE" else kind
    if kind is Kind.BEGIN and second == "NOT":  # BEGIN NOT ATOMIC: a block of code.
        return Kind.WRITE
    if kind is Kind.ROLLBACK and "TO" in words:
        return Kind.SAVEPOINT
    if verb == "START":
        return Kind.BEGIN if "TRANSACTION" in words else kind
    if verb == "PREPARE" and second == "TRANSACTION":
        return Kind.COMMIT
    if verb == "XA":
        return _KIND_OF_XA.get(second, Kind.SESSION)
    return kind


_KIND_OF_XA = {
    "START": Kind.BEGIN,
    "BEGIN": Kind.BEGIN,
    # What is prepared can be committed by any connection at any time.
    "PREPARE": Kind.COMMIT,
    "COMMIT": Kind.COMMIT,
    "ROLLBACK": Kind.ROLLBACK,
}


def chains(words: list[str]) -> bool:
    """Whether what ends a transaction begins another one."""
    return "CHAIN" in words and words[words.index("CHAIN") - 1] != "NO"


def _kind_of_set(words: list[str]) -> Kind:
    if words[1:2] == ["STATEMENT"] and "FOR" in words[:-1]:
        rest = words[words.index("FOR") + 1 :]
        return Kind.WRITE if rest[0] == "SET" else kind_of(rest)
    if "AUTOCOMMIT" in words:
        value = [word for word in words[words.index("AUTOCOMMIT") + 1 :] if word not in ":="]
        # Switched on it commits, but only if it was off.
        return Kind.BEGIN if value[:1] in (["0"], ["OFF"], ["FALSE"]) else Kind.SESSION
    return Kind.WRITE if _writes(words) else Kind.SESSION


def _kind_of_read(words: list[str]) -> Kind:
    verb = words[0]
    if verb == "SHOW":
        return Kind.READ
    if verb == "ANALYZE" and words[1:2] in (["TABLE"], ["LOCAL"], ["NO_WRITE_TO_BINLOG"]):
        return Kind.SCHEMA
    if verb in ("EXPLAIN", "DESCRIBE", "DESC") and not _CHANGES.isdisjoint(words):
        return Kind.SCHEMA
    if verb != "SELECT" and _writes(words):
        return Kind.WRITE
    if verb == "COPY":
        return Kind.WRITE if "FROM" in words and words[1:2] != ["("] else Kind.READ
    return Kind.SCHEMA if _selects_into(words) else Kind.READ


def _writes(words: list[str]) -> bool:
    """Whether a word that writes occurs as one."""
    if _WRITES.isdisjoint(words):
        return False
    before = ""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word in _WRITES and not (
            (word == "UPDATE" and before in ("FOR", "KEY", "ON"))
            or (word == "DELETE" and before == "ON")
            or (word in _FUNCTIONS and after == "(")
        ):
            return True
        before = word
    return False


def _selects_into(words: list[str]) -> bool:
    """Whether a query creates a table, rather than sets a variable or writes a file."""
    return any(
        word == "INTO" and after not in ("@", "OUTFILE", "DUMPFILE")
        for word, after in zip(words, [*words[1:], ""], strict=True)
    )


def _truncates(words: list[str]) -> bool:
    # ALTER TABLE … DROP COLUMN … CASCADE leaves the rows of other tables alone.
    drops = words[0] != "ALTER" and "DROP" in words and "CASCADE" in words
    return drops or "TRUNCATE" in words


def _commits(words: list[str]) -> bool:
    """Whether MySQL may commit the running transaction with a statement: with all but these."""
    verb, second = words[0], words[1] if len(words) > 1 else ""
    if verb == "SET":
        return second == "PASSWORD" or "DEFAULT" in words[1:3] or "AUTOCOMMIT" in words
    if verb == "LOAD":
        return second not in ("DATA", "XML")
    return verb not in COMMITS_NOTHING


def _runs_code(parts: list[list[str]]) -> bool:
    return any(words[0] in ("CALL", "DO", "PREPARE", "EXECUTE") for words in parts)


def _holds_code(words: list[str]) -> bool:
    """Whether strings of the statement may be statements."""
    return words[0] in ("CALL", "DO", "PREPARE") or "EXECUTE" in words


def _begins(sql: str, parts: list[list[str]], disputed: bool) -> bool:
    """Whether a text that writes begins a transaction; not that a column is named ``start``."""
    if disputed or any(_holds_code(words) or words[:2] == ["BEGIN", "NOT"] for words in parts):
        return not _BEGINS.isdisjoint(all_words(sql))
    begun = [words for words in parts if kind_of(words) is Kind.BEGIN]
    if parts and parts[0][0] in ("CREATE", "ALTER") and not _CODE.isdisjoint(parts[0]):
        # What follows is its body, where BEGIN stands in front of a statement.
        return any(words[1:2] in ([], ["TRANSACTION"], ["WORK"]) for words in begun)
    return bool(begun)


_BEGINS = frozenset({"begin", "start"})
_CODE = frozenset("PROCEDURE FUNCTION TRIGGER EVENT PACKAGE".split())

# Settings

_ISOLATION = frozenset(
    "ISOLATION SNAPSHOT CHARACTERISTICS TRANSACTION TRANSACTION_ISOLATION"
    " DEFAULT_TRANSACTION_ISOLATION TX_ISOLATION READ_UNCOMMITTED".split()
)
_VIEW = frozenset(
    "ROLE AUTHORIZATION SESSION_AUTHORIZATION ROW_SECURITY SCHEMA SEARCH_PATH".split()
)
# The same tables and rows, but other answers.
_ANSWERS = frozenset(
    "SQL_SELECT_LIMIT SYSTEM_VERSIONING_ASOF"
    " TIME TIMEZONE TIME_ZONE DATESTYLE INTERVALSTYLE EXTRA_FLOAT_DIGITS BYTEA_OUTPUT LC_MONETARY"
    " LC_NUMERIC LC_TIME LC_TIME_NAMES TRANSFORM_NULL_EQUALS NAMES CHARACTER CHARSET SQL_MODE"
    " CLIENT_ENCODING CHARACTER_SET_CLIENT CHARACTER_SET_CONNECTION CHARACTER_SET_RESULTS"
    " ARRAY_NULLS DEFAULT_TEXT_SEARCH_CONFIG XMLBINARY XMLOPTION"
    " COLLATION_CONNECTION DIV_PRECISION_INCREMENT GROUP_CONCAT_MAX_LEN MAX_SORT_LENGTH"
    " DEFAULT_WEEK_FORMAT CASE_SENSITIVE_LIKE".split()
)
_VISIBILITY = _VIEW | _ANSWERS
_SETTINGS = "pg_settings"
"""A view of PostgreSQL: an UPDATE of it is a call of set_config."""
_SET_CONFIG = re.compile(r"set_config(?:\s*\(\s*'([^']*)'\s*,)?", re.IGNORECASE)
_LITERAL = re.compile("'([^']*)'")
_SET = re.compile(
    r"""\bSET\s+(?:SESSION\s+|LOCAL\s+)?((?:"[^"]*+"|\w++)(?:\s*+\.\s*+(?:"[^"]*+"|\w++))*+)""",
    re.IGNORECASE,
)
_BLANKS_AND_QUOTES = str.maketrans("", "", ' \t\r\n"')


def is_setting(name: str) -> bool:
    """Whether a setting of this name may decide what a connection sees."""
    return name.upper() in _VISIBILITY or re.fullmatch(r"\w+(?:\.\w+)+", name) is not None


def _is_known(name: str) -> bool:
    return is_setting(name) or name.upper() in _ISOLATION


def is_of_view(name: str) -> bool:
    """Whether such a setting decides which tables and rows are seen, not what is answered."""
    return is_setting(name) and name.upper() not in _ANSWERS


def _settings(sql: str, parts: list[list[str]], *, holds_code: bool) -> dict[str, Any]:
    """What a text says of the settings it changes, as the fields of a ``Statement``."""
    isolation, visibility = False, "search_path" in sql.casefold()
    is_blinding = moves = answers = False
    custom: set[str] = set()
    for words in parts:
        verb = words[0]
        if verb in ("SET", "RESET", "DISCARD", "PRAGMA"):
            names = {word.strip('"`') for word in words}
            everything = verb in ("RESET", "DISCARD") and "ALL" in names
            isolation |= everything or not _ISOLATION.isdisjoint(names)
            visibility |= everything or not _VISIBILITY.isdisjoint(names) or _is_dotted(words)
            answers |= everything or not _ANSWERS.isdisjoint(names)
            is_blinding |= verb == "PRAGMA" and "CASE_SENSITIVE_LIKE" in names
        elif verb in ("BEGIN", "START"):
            isolation |= "ISOLATION" in words or "SNAPSHOT" in words
        elif verb in ("USE", "ATTACH", "DETACH"):
            visibility = answers = True
            moves |= verb == "USE"
    if holds_code or visibility:
        # In code every word may be a statement's. What is asked for in vain does no harm.
        found = {name.translate(_BLANKS_AND_QUOTES) for name in _SET.findall(sql)}
        custom |= {name for name in found if "." in name}
        visibility |= any(map(is_setting, found))
        answers |= any(name.upper() in _ANSWERS for name in found)
    found = set(_SET_CONFIG.findall(sql))  # Empty if it is no plain literal.
    if _SETTINGS in sql.casefold() and any("UPDATE" in words for words in parts):
        found |= {each for each in _LITERAL.findall(sql) if _is_known(each)} or {""}
    for name in found:
        isolation |= not name or name.upper() in _ISOLATION
        visibility |= not name or is_setting(name)
        answers |= name.upper() in _ANSWERS
    return {
        "isolation": isolation,
        "visibility": visibility,
        "only_view": visibility and not answers,
        "custom": frozenset(custom | {name for name in found if "." in name}),
        "names_setting_apart": "" in found,
        "is_blinding": is_blinding,
        "moves": moves,
    }


def _is_dotted(words: list[str]) -> bool:
    """Whether a SET is about a setting of the application's own, with a dot in its name: it may
    decide which rows are seen."""
    name = [word for word in words[1:] if word not in ("SESSION", "LOCAL")]
    return words[0] in ("SET", "RESET") and (name[1:2] == ["."] or "." in "".join(name[:1]))


# Statements that name their rows

_VALUE = (
    r"(?>(?:_binary )?+(?:%s|\(%s\))(?:::[a-z]\w*+(?: [a-z]\w*+)*+(?:\([0-9, ]++\))?+(?:\[\])*+)?+"
    r"|NULL|DEFAULT)"
)
_ANY_NAME = re.compile(r"""["`]([^"`]++)["`]""")


def _exact_patterns(quote: str) -> dict[str, re.Pattern[str]]:
    """By how the statement begins."""
    name = rf"""{quote}[^"`'\\.;%\x00-\x1f]++{quote}"""
    own = rf"(?P=table)\.{name}"
    where = rf" WHERE (?P=table)\.(?P<column>{name}) (?:= %s|IN \((?P<many>%s(?:, %s)*+)\))"
    row = rf"\({_VALUE}(?:, {_VALUE})*+\)"
    rows = rf"(?:VALUES {row}(?:, {row})*+|SELECT \* FROM UNNEST{row})"
    assignments = rf"{name} = {_VALUE}(?:, {name} = {_VALUE})*+"
    returning = rf"(?: RETURNING {own}(?:, {own})*+)?+"
    table = f"(?P<table>{name})"
    return {
        begin + quote: re.compile(begin + pattern + returning, re.ASCII)
        for begin, pattern in (
            ("DELETE FROM ", table + where),
            ("UPDATE ", rf"{table} SET (?P<set>{assignments}){where}"),
            ("INSERT INTO ", rf"{table} \({name}(?:, {name})*+\) {rows}"),
        )
    }


_EXACT = {**_exact_patterns('"'), **_exact_patterns("`")}
_BEGIN = re.compile("|".join(_EXACT))


def _exact(sql: str) -> Exact | None:
    """The statement, if it is one that Django's compilers emit for rows named by their key."""
    begin = _BEGIN.match(sql)
    found = _EXACT[begin[0]].fullmatch(sql) if begin is not None else None
    if found is None:
        return None
    verb, group = found[0].partition(" ")[0].lower(), found.groupdict()
    table = found["table"][1:-1]
    if verb == "insert":
        return Exact(verb, table, "", 0, 0, ())
    assigned = group.get("set") or ""
    count = (found["many"] or "%s").count("%s")
    columns = tuple(_ANY_NAME.findall(assigned))
    return Exact(verb, table, found["column"][1:-1], assigned.count("%s"), count, columns)
