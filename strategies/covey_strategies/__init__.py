"""How answers are asked for and combined: queries, the sum over a Flower Grid, and Private(inner).

`queries` holds each query's device half and server half side by side and knows no transport.
"""
