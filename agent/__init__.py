"""The program on an endpoint: observes, spools, reports. It takes no command to run from outside."""

__version__ = "0.1.0"
