"""Compute every mart and snapshot of an entity in one Spark job, planned once."""

from collections.abc import Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from jobs.engine.prepared import Prepared
from jobs.marts import Mart, Snapshot

Gold = Mart | Snapshot


class Measures:
    """The measures of all tables of gold that an entity has, of small micro-batches.

    Args:
        session: computes them.
        golds: at least one.
        schema: of the entity's silver.
    """

    def __init__(self, session: SparkSession, golds: Sequence[Gold], schema: StructType) -> None:
        self._names = [gold.name for gold in golds]
        self._prepared = Prepared(session, schema, lambda events: _together([gold.measure(events) for gold in golds]))

    def compute(self, events: pa.Table) -> dict[str, pa.Table]:
        """The measures of some events, by the name of the table they belong to.

        Args:
            events: with the columns of silver.
        """
        found = self._prepared.compute(events)
        return {name: _rows(found[place]) for place, name in enumerate(self._names)}


def _together(measured: Sequence[DataFrame]) -> DataFrame:
    """Frames of different columns as one: each row of each is a struct, in a column of its frame."""
    types = [StructType([StructField(f.name, f.dataType) for f in frame.schema]) for frame in measured]

    def widened(place: int) -> DataFrame:
        row, none = F.struct(*measured[place].columns), F.lit(None)
        return measured[place].select(
            *((row if other == place else none).cast(type_).alias(str(other)) for other, type_ in enumerate(types))
        )

    return reduce(DataFrame.unionAll, map(widened, range(len(measured))))


def _rows(structs: pa.ChunkedArray) -> pa.Table:
    """The structs of a column that are there, as a table."""
    present = structs.filter(pc.is_valid(structs))
    schema = pa.schema(list(structs.type))
    return pa.Table.from_batches([pa.RecordBatch.from_struct_array(chunk) for chunk in present.chunks], schema)
