"""Releases of the agent: kept, served, and rolled out ring by ring."""
