"""Plan a transformation once, and compute it over the rows of one micro-batch after the other.

To plan a query and to generate its code takes Spark several times as long as to compute it over a few hundred rows
(docs/decisions/0019). A plan is bound to the rows that it reads, but a block of Spark's block manager may be replaced:
the plan reads a block by its name, and each micro-batch puts its rows there.
"""

import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

_streams = count()


class Prepared:
    """A transformation that is planned once, and computed in a single task for one thread after the other.

    Args:
        session: computes it.
        schema: of the rows that it takes.
        transform: a pure function of a frame of such rows. It must neither shuffle nor ask for the time, for Spark
            keeps the result of both with the plan; of rows in one partition, a group-by does not shuffle.
    """

    def __init__(self, session: SparkSession, schema: StructType, transform: Callable[[DataFrame], DataFrame]) -> None:
        self._session = session
        self._schema = schema
        jvm: Any = session._jvm
        context: Any = session.sparkContext
        storage = jvm.org.apache.spark.storage
        self._blocks = jvm.org.apache.spark.SparkEnv.get().blockManager()
        self._block = storage.StreamBlockId(next(_streams), 0)
        self._level = storage.StorageLevel.MEMORY_AND_DISK()
        self._is_filled = False
        self._computing = threading.Lock()
        self._any = getattr(getattr(jvm.scala.reflect, "ClassTag$"), "MODULE$").Any()
        blocks = context._gateway.new_array(storage.BlockId, 1)
        blocks[0] = self._block
        rdd = jvm.org.apache.spark.rdd.BlockRDD(context._jsc.sc(), blocks, self._any)
        declared = session._jsparkSession.parseDataType(schema.json())
        rows = DataFrame(session._jsparkSession.internalCreateDataFrame(rdd, declared, False), session)
        self._frame = transform(rows.coalesce(1))

    def compute(self, rows: pa.Table) -> pa.Table:
        """Compute the transformation of some rows.

        Args:
            rows: with the columns of the schema, in its order.
        """
        local = self._session.createDataFrame(rows, self._schema)._jdf.logicalPlan()
        with self._computing:
            if self._is_filled:
                self._blocks.removeBlock(self._block, True)
            self._blocks.putIterator(self._block, local.data().iterator(), self._level, True, self._any)
            self._is_filled = True
            return self._frame.toArrow()
