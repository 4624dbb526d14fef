//! Errors for data that can be read in several ways, which ask the user to choose.

use super::request::Request;
use crate::failure::quote;
use latent_align_stages::Error;
use std::path::Path;

/// Features of rank 3: tokens or images. `shown` gives name, shape and type.
pub fn features(request: &Request, dataset: &str, shown: &str, shape: [usize; 3]) -> Error {
    let [items, tokens, width] = shape;
    Error::input(format!(
        "{file}: found {shown}, which can be read in two ways; use one of these commands\n  \
         {items} items of {tokens} tokens of width {width}, features that latents follow \
         ({points} points):\n    {typed} --tokens\n  {items} images of {tokens} x {width}, which \
         are encoded; the features are in another file:\n    latent-align init FEATURES.h5 --data \
         {quoted} --data-dataset {name} --data-as images",
        file = request.features.0,
        points = items * tokens,
        typed = request.typed,
        quoted = path(request.features.0.first()),
        name = quote(dataset.trim_start_matches('/')),
    ))
}

/// Data of rank 3: images or vectors.
pub fn data(request: &Request, file: &Path, shown: &str, shape: [usize; 3]) -> Error {
    let [items, height, width] = shape;
    Error::input(format!(
        "{}: found {shown}, which can be read in two ways; use one of these commands\n  {items} \
         images of {height} x {width} with one channel:\n    {typed} --data-as images\n  {items} \
         vectors of {} numbers:\n    {typed} --data-as vectors",
        file.display(),
        height * width,
        typed = request.typed,
    ))
}

/// Images where features are expected.
pub fn images_as_features(file: &Path, dataset: &str, shown: &str) -> Error {
    Error::input(format!(
        "{}: found {shown}, images, which are what is encoded; expected features [N, D] or tokens [N, T, D], \
         which latents follow. Use --data for the images:\n  \
         latent-align init FEATURES.h5 --data {} --data-dataset {}",
        file.display(),
        path(file),
        quote(dataset.trim_start_matches('/')),
    ))
}

fn path(file: &Path) -> String {
    quote(&file.to_string_lossy())
}
