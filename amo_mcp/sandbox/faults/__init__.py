"""What a test can make happen and look at: faults, recorded requests, the rate, and the control endpoints."""
