"""Stage `clips`: clips of N words, their splits and their pairing with other clips."""
