"""Devices on the agencies' networks: who reads of them, who approves them, who says what they are."""
