"""Array operations of all other rooms: ragged arrays, run-length encoding, keyed random numbers, compiled loops."""
