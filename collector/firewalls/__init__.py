"""The firewalls that agencies have, and what is known of each: "100 % of agencies with a firewall" (TB112-03)."""
