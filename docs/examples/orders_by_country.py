"""How many orders were placed in each country since a day: `sluice submit --follow orders_by_country.py 2026-03-01`."""

import sys

from pyspark.sql import functions as F

from jobs.engine.session import spark_session
from jobs.settings import settings

session = spark_session(settings(), name="orders-by-country")
orders = session.read.format("delta").load(f"{settings().lake_url}/silver/marketplace_orders")
placed = orders.where((F.col("event_type") == "placed") & (F.col("event_time") >= sys.argv[1]))
for country, count in placed.groupBy("country").count().orderBy(F.desc("count")).collect():
    print(f"{country}: {count}")
session.stop()
