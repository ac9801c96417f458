"""Coverage of MITRE ATT&CK by the rules of this installation."""
