"""Commands that compare results or fit parameters on them."""
