"""Rules over stored events: what a rule would have found, before it is enabled or after the fact."""
