"""Whether an agency's LAN and its way to the province's network are connected, as its probes say."""
