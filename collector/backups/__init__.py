"""Backups of important systems: what is known of the last good one and of the last restore that was tried."""
