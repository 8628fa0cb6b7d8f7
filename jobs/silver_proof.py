"""Hold silver against bronze: every valid event once, as it came, and nothing else."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from delta.exceptions import DeltaConcurrentModificationException
from deltalake import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs import corrections
from jobs.bronze import EVENTS
from jobs.corrections import OvertakenError, next_number
from jobs.cut import Finished, pinned
from jobs.engine.accidents import ACCIDENTS
from jobs.engine.batch import Batch
from jobs.engine.deduplicate import ORIGIN
from jobs.entity import late_table, quarantine_table, silver_table
from jobs.forgotten import without_forgotten
from jobs.judge import Judge
from jobs.judged import ARRIVAL_DATE, silver_columns
from jobs.proof import ALL_DAYS, KIND, LESS, MORE, MOST, OTHER, RIGHT, SEEN, Days, Differences, row_of
from jobs.pseudonyms import pseudonym_key
from jobs.settings import Settings
from quality.rules import Rule
from schemas import Contract

REFUSED = "refused by the rules of today"
"""The kind of a row whose event entered by earlier rules."""
WAITS = dt.timedelta(minutes=10)
"""How long a late event may wait for the late lane until it counts as missing."""
MICROSECOND = dt.timedelta(microseconds=1)
PLACE = list(ORIGIN)
"""What tells a record. The time of its arrival is part of it: offsets begin anew when a topic is made anew."""


@dataclass(frozen=True)
class Arrivals:
    """Days of arrival in bronze, UTC, both included; ``oldest`` is the first that bronze has."""

    first: dt.date
    last: dt.date
    oldest: dt.date

    @property
    def are_all(self) -> bool:
        """Whether bronze has nothing from before."""
        return self.first <= self.oldest


class SilverProof:
    """Holds the silver of one entity against what arrived in bronze on some days, and ``live`` has taken."""

    def __init__(
        self,
        session: SparkSession,
        contract: Contract,
        rules: Sequence[Rule],
        settings: Settings,
        arrivals: Arrivals,
        done: Finished,
    ) -> None:
        self.table = silver_table(contract)
        self._session = session
        self._contract = contract
        self._settings = settings
        self._arrivals = arrivals
        self._names = silver_columns(contract)
        self._number = 0
        is_here = F.col(ARRIVAL_DATE).between(F.lit(arrivals.first), F.lit(arrivals.last))
        records = self._bronze().where(is_here & is_taken(done)).dropDuplicates(PLACE)
        event = F.when(F.size("reasons") == 0, self._row()).alias(RIGHT)
        judged = Judge(contract, rules, key=pseudonym_key(settings)).judge(records)
        self._judged = judged.select(*PLACE, event, F.lit(True).alias("is_judged")).persist()
        self._spans = _Spans.of(self._judged)
        self.days = self._days()

    def release(self) -> None:
        """Give the memory back."""
        self._judged.unpersist()

    def compare(self) -> Differences:
        """Compare; of one consistent state of both sides."""
        done, delta = pinned(self._contract, self.table, self._settings)
        self._number = next_number(delta, self.table)
        silver = self._silver(delta.version())
        places = silver.groupBy(*PLACE).agg(F.first(self._row()).alias(SEEN), F.count("*").alias("rows"))
        held = places.persist()
        try:
            return Differences.of(self._wrong(held, done).unionByName(self._missing(held, done)))
        finally:
            held.unpersist()

    def correct(self, found: Differences) -> None:
        """Correct rows that the last comparison found, see ``Proof``; what is missing, however many they are."""
        number, url = self._number, self.table.url(self._settings.lake_url)
        wrong = found.cells.where(F.col(KIND).isin(MORE, OTHER)).select(*PLACE, RIGHT).limit(MOST).toArrow()
        if wrong.num_rows:
            right = _members(wrong.filter(pc.is_valid(wrong[RIGHT]))[RIGHT])
            corrections.replace(
                self.table, self._settings.lake_url, wrong.select(PLACE), right, along="timestamp", number=number
            )
            number += 1
        if found.kinds.get(LESS):
            missing = found.cells.where(F.col(KIND) == LESS).select(f"{RIGHT}.*")
            application = Batch(corrections.APPLICATION, number).application(self.table.name)
            writer = missing.write.format("delta").mode("append").option("txnAppId", application)
            try:
                writer.option("txnVersion", number).save(url)
            except DeltaConcurrentModificationException as error:
                raise OvertakenError(f"{self._contract.silver} has been corrected meanwhile") from error

    def cells(self, found: Differences) -> DataFrame:
        """What differs, see ``Proof``: one row per event, by its place, without its values."""
        event_time = self._contract.event_time
        return found.cells.select(
            F.coalesce(F.col(RIGHT)[event_time], F.col(SEEN)[event_time]).alias("window"),
            F.to_json(F.struct("partition", "offset")).alias("dimensions"),
            F.col(KIND).alias("measure"),
            F.lit(None).cast("string").alias("batch"),
            F.lit(None).cast("string").alias("stream"),
        )

    def _wrong(self, places: DataFrame, done: Finished) -> DataFrame:
        """What silver has of these days, with its kind where it is not right."""
        beside = places.join(self._judged, PLACE, "left")
        twice = self._twice(places).withColumn("is_twice", F.lit(True))
        strange = self._strange(beside, done).withColumn("is_strange", F.lit(True))
        rows = beside.join(twice, PLACE, "left").join(strange, PLACE, "left")
        has_none = F.coalesce("is_twice", "is_strange", F.lit(False))
        # What lies twice in silver is right once, also where it came before these days.
        right = F.when(~has_none, F.coalesce(RIGHT, F.when(F.col("rows") > 1, F.col(SEEN))))
        kind = (
            F.when(has_none | (F.col("rows") > 1), MORE)
            .when(F.col("is_judged") & F.col(RIGHT).isNull(), REFUSED)
            .when(F.col("is_judged") & ~F.col(RIGHT).eqNullSafe(F.col(SEEN)), OTHER)
        )
        found = rows.select(*PLACE, right.alias(RIGHT), SEEN, kind.alias(KIND), "is_judged")
        return found.where(F.col("is_judged") | F.col(KIND).isNotNull()).drop("is_judged")

    def _twice(self, places: DataFrame) -> DataFrame:
        """The places of events of which another came before within the delay."""
        place = F.struct("timestamp", "partition", "offset", F.unix_micros(F.col(SEEN)[self._contract.event_time]))
        of_key = places.groupBy(F.col(SEEN)[self._contract.key]).agg(F.collect_list(place).alias("all"))
        several = of_key.where(F.size("all") > 1)
        return several.select(F.explode(F.array_except("all", self._first_of("all"))).alias("place")).select(
            *(F.col("place")[name].alias(name) for name in PLACE)
        )

    def _first_of(self, places: str) -> Column:
        """Of the places of one key, those that are no repetitions, in the order of arrival.

        ``places`` is a column of arrays of structs: timestamp, partition, offset, and event time in microseconds.
        """
        delay = self._contract.watermark_delay // MICROSECOND

        def take(kept: Column, place: Column) -> Column:
            is_known = F.exists(kept, lambda other: F.abs(other["col4"] - place["col4"]) <= delay)
            return F.when(is_known, kept).otherwise(F.array_append(kept, place))

        ordered = F.sort_array(places)
        return F.aggregate(ordered, F.slice(ordered, 1, 0), take)

    def _strange(self, beside: DataFrame, done: Finished) -> DataFrame:
        """The places of rows that no record of bronze has, although bronze has their day and has lost none of it."""
        is_read = F.to_date("timestamp") >= F.lit(self._arrivals.oldest)
        is_known = self._spans.hold() | ~_is_in(done.ends)
        candidates = beside.where(F.col("is_judged").isNull() & is_read & is_known).select(*PLACE)
        # Hardly ever there is one, and to look for it in all of bronze takes long.
        if candidates.isEmpty():
            return candidates
        return self._not_lost(candidates.join(self._bronze().select(*PLACE), PLACE, "left_anti"))

    def _not_lost(self, places: DataFrame) -> DataFrame:
        """Those of some places that bronze did not lose: Kafka may have deleted records before bronze read them."""
        url = ACCIDENTS.url(self._settings.lake_url)
        if not DeltaTable.is_deltatable(url):
            return places
        accidents = self._session.read.format("delta").load(url)
        lost = accidents.where((F.col("query") == "bronze") & (F.col("topic") == self._contract.topic)).select(
            F.col("partition").alias("of"), "from_offset", "to_offset", "noticed_at"
        )
        is_before = (F.col("timestamp") < F.col("noticed_at")) & (F.col("offset") >= F.col("from_offset"))
        is_lost = is_before & (F.col("to_offset").isNull() | (F.col("offset") < F.col("to_offset")))
        return places.join(F.broadcast(lost), (F.col("partition") == F.col("of")) & is_lost, "left_anti")

    def _missing(self, places: DataFrame, done: Finished) -> DataFrame:
        """The valid events that silver lacks, each once."""
        key, event_time = self._contract.key, self._contract.event_time
        valid = self._judged.where(F.col(RIGHT).isNotNull()).drop("is_judged")
        absent = valid.join(places, PLACE, "left_anti")
        known = places.select(F.col(SEEN)[key].alias("known"), F.unix_micros(F.col(SEEN)[event_time]).alias("known_at"))
        at = F.unix_micros(F.col(RIGHT)[event_time])
        is_near = F.abs(at - F.col("known_at")) <= self._contract.watermark_delay // MICROSECOND
        absent = absent.join(known, F.col(RIGHT)[key].eqNullSafe(F.col("known")) & is_near, "left_anti")
        for waiting in self._waiting(done):
            absent = absent.join(waiting, PLACE, "left_anti")
        absent = self._without_forgotten(absent)
        place = F.struct("timestamp", "partition", "offset", at)
        of_key = absent.groupBy(F.col(RIGHT)[key]).agg(F.collect_list(place).alias("all"))
        first = of_key.select(F.explode(self._first_of("all")).alias("place"))
        chosen = first.select(*(F.col("place")[name].alias(name) for name in PLACE))
        nothing = F.lit(None).cast(places.schema[SEEN].dataType).alias(SEEN)
        return absent.join(chosen, PLACE, "left_semi").select(*PLACE, RIGHT, nothing, F.lit(LESS).alias(KIND))

    def _waiting(self, done: Finished) -> list[DataFrame]:
        """The places of what is not in silver yet: refused records, and late events that have just come."""
        waiting = []
        quarantine, late = (
            table(self._contract).url(self._settings.lake_url) for table in (quarantine_table, late_table)
        )
        if DeltaTable.is_deltatable(quarantine):
            waiting.append(self._session.read.format("delta").load(quarantine).select(*PLACE))
        if done.late is not None:
            young = F.col("_metadata.file_modification_time") > F.lit(dt.datetime.now(dt.UTC) - WAITS)
            # Those of this version: what is out of `late` by now, silver of this cut may not have.
            reader = self._session.read.format("delta").option("versionAsOf", done.late)
            waiting.append(reader.load(late).where(young).select(*PLACE))
        return waiting

    def _without_forgotten(self, absent: DataFrame) -> DataFrame:
        """Events without those of people who were forgotten."""
        events = without_forgotten(absent.select(f"{RIGHT}.*"), self._contract, self._settings)
        return events.select(*PLACE, self._row().alias(RIGHT))

    def _silver(self, version: int) -> DataFrame:
        """The rows of silver that may be of these arrivals, or repetitions of them."""
        reader = self._session.read.format("delta").option("versionAsOf", version)
        silver = reader.load(self.table.url(self._settings.lake_url)).select(*self._names)
        if self._arrivals.are_all:
            return silver
        delay = self._contract.watermark_delay
        is_of_days = self.days.hold(F.col(self._contract.event_time), before=delay, after=delay)
        return silver.where(is_of_days | self._spans.is_arrival())

    def _days(self) -> Days:
        """The days of event time of these arrivals."""
        if self._arrivals.are_all:
            return ALL_DAYS
        event_time = self._contract.event_time
        silver = self._session.read.format("delta").load(self.table.url(self._settings.lake_url))
        times = self._judged.select(F.col(RIGHT)[event_time].alias("at")).unionAll(
            silver.where(self._spans.is_arrival()).select(event_time)
        )
        days = times.select(F.unix_date(F.to_date("at")).alias("day")).dropna().distinct().collect()
        return Days.of([row["day"] for row in days])

    def _row(self) -> Column:
        return row_of(self._names, self.table.schema)

    def _bronze(self) -> DataFrame:
        """All of bronze of the topic."""
        bronze = self._session.read.format("delta").load(EVENTS.url(self._settings.lake_url))
        return bronze.where(F.col("topic") == self._contract.topic)


@dataclass(frozen=True)
class _Spans:
    """Of each partition, the first and the last offset of some records; and when the first and the last came."""

    offsets: dict[int, tuple[int, int]]
    first: int
    last: int
    """Microseconds since the epoch."""

    @classmethod
    def of(cls, records: DataFrame) -> "_Spans":
        at = F.unix_micros("timestamp")
        limits = (F.min("offset"), F.max("offset"), F.min(at), F.max(at))
        found = records.groupBy("partition").agg(*limits).collect()
        offsets = {row[0]: (row[1], row[2]) for row in found}
        return cls(offsets, min((row[3] for row in found), default=0), max((row[4] for row in found), default=-1))

    def hold(self) -> Column:
        """Whether a place lies between the records of its partition."""
        if not self.offsets:
            return F.lit(False)
        lowest, highest = (
            _of_partition({partition: span[side] for partition, span in self.offsets.items()}) for side in (0, 1)
        )
        return F.coalesce(F.col("offset").between(lowest, highest), F.lit(False))

    def is_arrival(self) -> Column:
        """Whether a record came when these did."""
        first, last = (F.timestamp_micros(F.lit(moment)) for moment in (self.first, self.last))
        return F.col("timestamp").between(first, last)


def is_taken(done: Finished) -> Column:
    """Whether the stream has taken a record, by its place."""
    return _is_in(done.ends)


def _is_in(ends: Mapping[int, int]) -> Column:
    return F.coalesce(F.col("offset") < _of_partition(ends), F.lit(False)) if ends else F.lit(False)


def _of_partition(values: Mapping[int, int]) -> Column:
    entries = [F.lit(number) for entry in values.items() for number in entry]
    return F.try_element_at(F.create_map(*entries), F.col("partition")).cast("long")


def _members(structs: pa.ChunkedArray) -> pa.Table:
    return pa.table({field.name: pc.struct_field(structs, field.name) for field in structs.type})
