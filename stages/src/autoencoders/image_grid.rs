//! PNG grids of images, alone or above their reconstructions.

use crate::data::DataShape;
use crate::error::{Error, Result};
use std::path::Path;

/// Images, or pairs of image and reconstruction, per row of the picture.
const COLUMNS: usize = 8;
/// Small images are enlarged to about this many pixels.
const SIDE: usize = 56;
/// Pixels between images.
const GAP: usize = 2;

/// Writes a PNG of `originals` above their `reconstructions` (both [n, C, H, W] in [0, 1], C = 1 or
/// 3), eight per row, enlarged without smoothing. Returns false without writing if the data are not
/// images.
///
/// # Errors
/// A file error that names `path` if it cannot be written.
pub fn write_image_grid(
    path: &Path,
    originals: &[f32],
    reconstructions: &[f32],
    shape: DataShape,
) -> Result<bool> {
    write_bands(path, &[originals, reconstructions], shape, COLUMNS)
}

/// As [`write_image_grid`], for `images` [n, C, H, W] alone.
///
/// # Errors
/// As [`write_image_grid`].
pub fn write_images(path: &Path, images: &[f32], shape: DataShape) -> Result<bool> {
    write_images_in_columns(path, images, shape, COLUMNS)
}

/// As [`write_images`], with `columns` images per row of the picture.
///
/// # Errors
/// As [`write_image_grid`].
pub fn write_images_in_columns(
    path: &Path,
    images: &[f32],
    shape: DataShape,
    columns: usize,
) -> Result<bool> {
    write_bands(path, &[images], shape, columns)
}

/// Whether items of `shape` are images that can be shown.
pub fn is_picture(shape: DataShape) -> bool {
    [1, 3].contains(&shape.channels) && shape.height > 1 && shape.width > 1
}

/// Writes image i of each of `layers` above each other, with `columns` such stacks per band.
fn write_bands(path: &Path, layers: &[&[f32]], shape: DataShape, columns: usize) -> Result<bool> {
    if !is_picture(shape) {
        return Ok(false);
    }
    let size = shape.elements();
    let count = layers[0].len() / size;
    let zoom = (SIDE / shape.height.max(shape.width)).max(1);
    let (cell_h, cell_w) = (shape.height * zoom + GAP, shape.width * zoom + GAP);
    // the gap between stacks is wider than within
    let band = match layers.len() {
        1 => cell_h,
        stacked => stacked * cell_h + GAP,
    };
    let (height, width) = (
        count.div_ceil(columns) * band + GAP,
        columns.min(count) * cell_w + GAP,
    );
    let mut pixels = vec![255u8; height * width * shape.channels];
    let mut paint = |image: &[f32], top: usize, left: usize| {
        for y in 0..shape.height * zoom {
            for x in 0..shape.width * zoom {
                for channel in 0..shape.channels {
                    let from = (channel * shape.height + y / zoom) * shape.width + x / zoom;
                    let to = ((top + y) * width + left + x) * shape.channels + channel;
                    pixels[to] = (image[from].clamp(0.0, 1.0) * 255.0).round() as u8;
                }
            }
        }
    };
    for (layer, images) in layers.iter().enumerate() {
        for (index, image) in images.chunks_exact(size).enumerate() {
            let top = GAP + index / columns * band + layer * cell_h;
            let left = GAP + index % columns * cell_w;
            paint(image, top, left);
        }
    }
    let fail = |error: png::EncodingError| Error::file(path, error);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_color(if shape.channels == 1 {
        png::ColorType::Grayscale
    } else {
        png::ColorType::Rgb
    });
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&pixels).map_err(fail)?;
    writer.finish().map_err(fail)?;
    std::fs::write(path, bytes).map_err(|error| Error::file(path, error))?;
    Ok(true)
}
