"""The collector watches itself: what it measures of its own working becomes events, which rules turn into alerts."""
