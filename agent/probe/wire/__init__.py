"""Attacks on the wire: counts who tries what on a span port or the probe's own interface; rules judge."""
