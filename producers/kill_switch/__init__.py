"""The kill switch: stops trading at once, by a connection of its own and without Kafka or PostgreSQL."""
