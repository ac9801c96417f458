"""Shared by every test: no network beyond loopback."""
