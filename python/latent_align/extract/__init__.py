"""`latent-align-extract`: features of images or texts by a pretrained model, as HDF5 files that the pipeline reads.

The modules, from the bottom up: `numbered`, `images` and `texts` (the input), `pooling` and `of_...` (the models, a file
a library), `models` (which library), `manifest` and `shards` (the output), `extraction` (the loop), `command`.
"""
