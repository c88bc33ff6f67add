"""Local training of many devices as one tensor program: for simulations, where all of them are in one place.

Every program takes the steps of `covey_models.training.train` for each device: the same order of examples,
batches, clip, proximal term and momentum. Only the order in which floating-point numbers are added differs.
"""
