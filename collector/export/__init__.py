"""Carries endpoints' metrics, and the collector's own sign of life, to somebody outside."""
