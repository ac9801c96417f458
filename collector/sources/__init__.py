"""Devices that log over probes: who spoke when, who should and does not."""
