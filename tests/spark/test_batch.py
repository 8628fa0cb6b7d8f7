from pathlib import Path

from kafka import KafkaProducer
from pyspark.sql import DataFrame, SparkSession

from jobs.engine.batch import current_batch
from jobs.engine.kafka import records
from tests.stack.pipeline import TOPIC, running_broker


def test_a_batch_knows_how_many_records_it_spans(spark: SparkSession, tmp_path: Path) -> None:
    spans: list[int] = []

    def note(frame: DataFrame, batch_id: int) -> None:
        spans.append(current_batch(spark, batch_id).records)
        assert frame.count() == [30, 20, 7][batch_id]

    with running_broker(tmp_path) as settings:
        producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers)
        for count in (30, 20, 7):
            for number in range(count):
                producer.send(TOPIC, value=str(number).encode())
            producer.flush()
            stream = records(spark, [TOPIC], settings, most=1_000).writeStream.foreachBatch(note)
            stream = stream.option("checkpointLocation", str(tmp_path / "checkpoint"))
            assert stream.trigger(availableNow=True).start().awaitTermination(60)
        producer.close()

    assert spans == [30, 20, 7]
