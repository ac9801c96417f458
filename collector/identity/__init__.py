"""Which machine an endpoint is: evidence, copies of a key, and records that are one machine's. docs/identity.md."""
