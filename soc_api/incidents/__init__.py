"""Incidents: cases that people make of alerts, work, and close; with the law's clocks."""
