"""Known vulnerabilities of installed software, matched here from feeds that were brought as files."""
