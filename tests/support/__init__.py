"""What several suites share: waiting without sleeping blindly, real programs, the whole stack on loopback."""
