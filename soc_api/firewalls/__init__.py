"""What people say of the firewalls that agencies have; each statement with its audit entry."""
