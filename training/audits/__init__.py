"""Whether a dataset can be answered without looking or imagining: blind baselines, the report,
the card. It only reads rows.
"""
