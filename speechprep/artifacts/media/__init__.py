"""Audio and image files: headers, containers, decoded samples and pixels."""
