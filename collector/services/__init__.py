"""What the province's probes say of shared services, as one answer each: works, for whom not, since when."""
