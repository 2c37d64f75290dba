"""Where a node keeps what it has custody of: batches in, confirmations out, recovery as a stream.

A store knows nothing of routing decisions; it writes what the brain's store effects say.
"""

from trionode.store.base import Identity, Store, StoreError, StoreStatus
from trionode.store.batch import Batch
from trionode.store.damage import Damage
from trionode.store.memory import MemoryStore
from trionode.store.sqlite import SqliteStore
from trionode.store.sqlite_retention import Retention
from trionode.store.waiting import Waiting

__all__ = [
    "Batch",
    "Damage",
    "Identity",
    "MemoryStore",
    "Retention",
    "SqliteStore",
    "Store",
    "StoreError",
    "StoreStatus",
    "Waiting",
]
