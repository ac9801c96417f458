"""The Sigma engine and the content it runs. Knows nothing of the collector."""
