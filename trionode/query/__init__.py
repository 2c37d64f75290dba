"""What a query asks for: a small language of conditions, an order, and places in a result.

Pure: conditions are parsed into values here, evaluated over Python values here, and turned into SQL
by the store that has a database.
"""

from trionode.query.expressions import Expression, Field, Property, QueryError
from trionode.query.parsing import parse, parse_order
from trionode.query.selection import Order, Place, Selection, first_of

__all__ = [
    "Expression",
    "Field",
    "Order",
    "Place",
    "Property",
    "QueryError",
    "Selection",
    "first_of",
    "parse",
    "parse_order",
]
