"""Running tasks on Apache Beam: the choice of a runner, the local runner, and the one pipeline shape."""
