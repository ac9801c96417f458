"""Takes in what other devices log: syslog over UDP, TCP and TLS."""
