"""Many runs: sweeps over settings and seeds, and what they come to beside one another."""
