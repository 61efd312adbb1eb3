"""Arrays that every other room uses: ragged arrays, run-length form, keyed random numbers, compiled loops."""
