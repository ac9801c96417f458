"""Settings that the collector says: fetched, verified, tried, kept or taken back."""
