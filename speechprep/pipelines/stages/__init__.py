"""The stages: one file or folder each. Each reads datasets or artifacts and writes one."""
