"""Writers of the export formats, one class for each format. Packages of a format are imported inside functions."""
