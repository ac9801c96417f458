"""The durable log on NATS JetStream, shared by any number of machines (server 2.9 or newer)."""
