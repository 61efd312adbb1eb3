"""Quality of units: ABX error rates and phone PNMI of a run, and the comparison of codebooks in a table and a page."""
