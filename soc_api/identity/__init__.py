"""What people see and decide of machines' identity; each decision with its audit entry."""
