"""Federations on one machine: data, partitions, engines, reports."""
