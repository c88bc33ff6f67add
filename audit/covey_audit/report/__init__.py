"""An audit as one page that a privacy reviewer attaches to a decision.

    words     numbers, dates and names as people read them
    alike     which sums were asked for with the same numbers
    verdict   what may be concluded, in one sentence
    statement the privacy statement that NIST SP 800-226 and Ponomareva et al. ask for
    drawing   SVG by small functions
    charts    what was spent; cohort_chart: how many devices were in the sums
    markdown  the statement for a model card, and as JSON
    render    all of it as one HTML file

Everything is computed from `covey_audit.audited.Audited` and from nothing else.
"""
