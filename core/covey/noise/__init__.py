"""Integer noise that devices add before the private sum, from keys alone and equal bit for bit everywhere.

A Skellam is the difference of two Poissons, so a sum of Skellams is a Skellam whose variances added up:
drop-outs change the variance only, not the law (Agarwal, Kairouz, Liu, NeurIPS 2021, arXiv 2110.04995).
The discrete Gaussian (Kairouz, Liu, Steinke, ICML 2021, arXiv 2102.06387) is the second mechanism.
Both are drawn by inverting a table of their distribution function at 128 bits; `exact` samples them without
any rounding, slowly, and is what the tables are tested against.
"""
