"""An expression of a chart reads the chart's own rows: it names no table.

Superset refuses subqueries in custom SQL, or they would pass by row-level security. It does not see that
``MAX(x) FROM t UNION ALL SELECT MAX(x)`` is one, which SQLAlchemy writes into the query as it stands.
"""

from sqlglot import exp
from superset.sql.parse import SQLStatement

NAMES_A_TABLE = (exp.From, exp.Table, exp.SetOperation, exp.Subquery)

_has_subquery = SQLStatement.has_subquery


def _reads_more(statement: SQLStatement) -> bool:
    return _has_subquery(statement) or statement._parsed.find(*NAMES_A_TABLE) is not None


# Superset asks this of the custom SQL of charts only.
SQLStatement.has_subquery = _reads_more
