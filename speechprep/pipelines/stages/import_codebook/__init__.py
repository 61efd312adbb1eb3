"""Stage `import_codebook`: published centroids as a codebook, read without executing pickled code."""
