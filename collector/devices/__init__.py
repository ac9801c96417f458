"""Devices: everything seen on an agency's networks, managed or not."""
