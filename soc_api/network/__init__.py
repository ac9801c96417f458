"""Network devices in the console and its API."""
