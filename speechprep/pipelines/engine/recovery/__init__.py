"""Recovery: the lock of a folder, hashes of committed files, time limits, and records that kill their process."""
