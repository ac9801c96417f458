"""The collector, room by room."""
