"""Commands of the model zoo: training, grids and evaluation."""
