"""What an intrusion detection system says: Suricata's EVE JSON, from its log or its socket."""
