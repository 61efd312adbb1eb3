"""Plots: colours and layout, the figures of the breakdowns, and downloads as SVG and CSV."""
