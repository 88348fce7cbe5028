"""Apache Kafka, InfluxDB and Mosquitto for tests: processes that can be killed, frozen, started again."""
