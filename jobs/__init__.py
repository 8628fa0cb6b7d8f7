"""What runs on Spark: one module per job, the marts, and the engine that the jobs share."""
