"""Trees of files: folders and archives behind one set of functions, so that each dialect reads both."""
