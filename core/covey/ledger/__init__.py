"""The ledger: what a fleet spent and released, so written that nothing can be taken back unseen.

An append-only Merkle log whose checkpoints are signed by the log's key and cosigned by witnesses.
"""
