"""Give a table that exists the columns that its declaration has by now."""

import json
from collections.abc import Iterator

from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructField, StructType

from jobs.engine.exceptions import IncompatibleTableError
from jobs.engine.table import Table
from schemas.data_types import is_widened


def evolve(session: SparkSession, table: Table, lake: str) -> None:
    """Add columns that are new and widen types that are wider, in the table and inside its columns.

    A column that the declaration no longer has stays, with its values. To widen a type, the whole table is written anew
    in one commit, for not every reader follows Delta's own type widening.

    Raises:
        IncompatibleTableError: a type is neither the same nor wider.
    """
    url = table.url(lake)
    if not DeltaTable.is_deltatable(url):
        return
    existing = StructType.fromJson(json.loads(DeltaTable(url).schema().to_json()))
    if changes := list(_incompatible(existing, table.schema)):
        raise IncompatibleTableError(
            f"the table {table.layer}/{table.name} cannot follow its contract: {'; '.join(changes)}. "
            "Undo the change, or give the changed events a new topic."
        )
    extended = _merge(existing, table.schema, keep_types=True)
    widened = _merge(existing, table.schema, keep_types=False)
    if not _is_same(existing, extended):
        empty = session.createDataFrame(session.sparkContext.emptyRDD(), extended)
        empty.write.format("delta").mode("append").option("mergeSchema", "true").save(url)
    if not _is_same(extended, widened):
        _rewrite(session.read.format("delta").load(url), widened, table, url)


def _rewrite(rows: DataFrame, schema: StructType, table: Table, url: str) -> None:
    columns = [F.col(field.name).cast(field.dataType).alias(field.name, metadata=field.metadata) for field in schema]
    writer = rows.select(columns).write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.partitionBy(*table.partition_by).save(url)


def _merge(existing: StructType, declared: StructType, *, keep_types: bool) -> StructType:
    """The existing members, then those that only the declaration has; shared ones as declared unless kept."""
    known = {field.name: field.dataType for field in declared}

    def merged(field: StructField) -> StructField:
        data_type = _merge_types(field.dataType, known.get(field.name, field.dataType), keep_types=keep_types)
        return StructField(field.name, data_type, metadata=field.metadata)

    added = [field for field in declared if field.name not in existing.names]
    return StructType([*map(merged, existing), *added])


def _merge_types(existing: DataType, declared: DataType, *, keep_types: bool) -> DataType:
    if isinstance(existing, ArrayType) and isinstance(declared, ArrayType):
        return ArrayType(_merge_types(existing.elementType, declared.elementType, keep_types=keep_types))
    if isinstance(existing, StructType) and isinstance(declared, StructType):
        return _merge(existing, declared, keep_types=keep_types)
    return existing if keep_types else declared


def _incompatible(existing: StructType, declared: StructType) -> Iterator[str]:
    for field in declared:
        if field.name in existing.names and not is_widened(existing[field.name].dataType, field.dataType):
            old, new = existing[field.name].dataType.simpleString(), field.dataType.simpleString()
            yield f"'{field.name}' is {old} and should be {new}"


def _is_same(one: DataType, other: DataType) -> bool:
    return one.simpleString() == other.simpleString()
