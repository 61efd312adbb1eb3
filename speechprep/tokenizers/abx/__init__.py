"""ABX discrimination of phones on units: distances between segments, and error rates."""
