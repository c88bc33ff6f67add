"""The reviewer's shell: checks offline what a publisher or an operator made, on the core alone."""
