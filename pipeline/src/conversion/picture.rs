//! One PNG or JPEG image.

use clap::ValueEnum;
use latent_align_stages::{Error, Result};
use png::{ColorType, Transformations};
use std::io::{BufReader, Cursor};
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The channels that images get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colours {
    /// One channel: 0.299 red + 0.587 green + 0.114 blue
    Grey,
    /// Three channels
    Rgb,
}

/// What the header of an image says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picture {
    pub height: usize,
    pub width: usize,
    pub is_coloured: bool,
}

/// Pixels of an image, row by row.
struct Pixels {
    size: [usize; 2],
    /// Grey, grey and opacity, RGB, or RGB and opacity.
    samples: usize,
    values: Vec<u8>,
}

/// Largest side, so that a header cannot claim any amount of memory.
const LARGEST: usize = 1 << 15;

/// Reads the header of the image `file`.
///
/// # Errors
/// [`Error::Input`] for a file that is no image, and for images with 16 bits a channel.
pub fn look(file: &Path) -> Result<Picture> {
    let bytes = std::fs::read(file).map_err(|e| Error::file(file, e))?;
    let (height, width, is_coloured) = if is_jpeg(&bytes) {
        let mut decoder = jpeg(&bytes);
        decoder.decode_headers().map_err(|e| damaged(file, &e))?;
        let (width, height) = decoder
            .dimensions()
            .ok_or_else(|| damaged(file, &"no size"))?;
        (height, width, coloured(&decoder, file)?)
    } else {
        let reader = png::Decoder::new(BufReader::new(Cursor::new(&bytes)));
        let reader = reader.read_info().map_err(|e| damaged(file, &e))?;
        let info = reader.info();
        if info.bit_depth == png::BitDepth::Sixteen {
            return Err(Error::input(format!(
                "{}: found 16 bits a channel, expected at most 8; save it with 8 bits, or all images as one array with \
                 `np.save`",
                file.display()
            )));
        }
        let coloured = matches!(
            info.color_type,
            ColorType::Rgb | ColorType::Rgba | ColorType::Indexed
        );
        (info.height as usize, info.width as usize, coloured)
    };
    if height.max(width) > LARGEST {
        return Err(damaged(
            file,
            &format!("{height} x {width} pixels, more than {LARGEST} a side"),
        ));
    }
    Ok(Picture {
        height,
        width,
        is_coloured,
    })
}

/// Appends the pixels of the image `file` to `pixels`, channel by channel: grey, or red, green and blue. Opacity is left
/// out if it `may_be_lost`, or if all pixels are opaque.
///
/// # Errors
/// [`Error::Input`] for an image that is damaged, of another size than before, or transparent.
pub fn read(
    file: &Path,
    channels: usize,
    may_be_lost: bool,
    size: [usize; 2],
    pixels: &mut Vec<u8>,
) -> Result<()> {
    let bytes = std::fs::read(file).map_err(|e| Error::file(file, e))?;
    let found = match is_jpeg(&bytes) {
        true => of_jpeg(&bytes, file)?,
        false => of_png(&bytes, file)?,
    };
    if found.size != size {
        return Err(damaged(file, &"another size than before"));
    }
    let values = found.values.chunks_exact(found.samples);
    if found.samples.is_multiple_of(2) && !may_be_lost {
        let opaque = values.clone().all(|pixel| pixel.last() == Some(&u8::MAX));
        if !opaque {
            return Err(Error::input(format!(
                "{}: found transparent pixels, expected opaque ones; `--colours rgb` or `--colours grey` leaves \
                 transparency out",
                file.display()
            )));
        }
    }
    let is_grey = found.samples < 3;
    for channel in 0..channels {
        pixels.extend(values.clone().map(|pixel| match (is_grey, channels) {
            (true, _) => pixel[0],
            (false, 1) => luma(pixel),
            (false, _) => pixel[channel],
        }));
    }
    Ok(())
}

/// The brightness of ITU-R BT.601 in integers, as Pillow computes it.
fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [0, 1, 2].map(|at| u32::from(pixel[at]));
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8])
}

fn jpeg(bytes: &[u8]) -> JpegDecoder<Cursor<&[u8]>> {
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(LARGEST)
        .set_max_height(LARGEST);
    JpegDecoder::new_with_options(Cursor::new(bytes), options)
}

fn coloured(decoder: &JpegDecoder<Cursor<&[u8]>>, file: &Path) -> Result<bool> {
    match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => Ok(false),
        Some(ColorSpace::RGB | ColorSpace::YCbCr) => Ok(true),
        other => Err(Error::input(format!(
            "{}: found the colours {other:?}, expected grey or RGB; save it as RGB",
            file.display()
        ))),
    }
}

fn of_jpeg(bytes: &[u8], file: &Path) -> Result<Pixels> {
    let mut decoder = jpeg(bytes);
    decoder.decode_headers().map_err(|e| damaged(file, &e))?;
    let is_coloured = coloured(&decoder, file)?;
    let (space, samples) = match is_coloured {
        true => (ColorSpace::RGB, 3),
        false => (ColorSpace::Luma, 1),
    };
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(space));
    let values = decoder.decode().map_err(|e| damaged(file, &e))?;
    let (width, height) = decoder
        .dimensions()
        .ok_or_else(|| damaged(file, &"no size"))?;
    Ok(Pixels {
        size: [height, width],
        samples,
        values,
    })
}

fn of_png(bytes: &[u8], file: &Path) -> Result<Pixels> {
    let mut decoder = png::Decoder::new(BufReader::new(Cursor::new(bytes)));
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(|e| damaged(file, &e))?;
    let length = reader
        .output_buffer_size()
        .ok_or_else(|| damaged(file, &"too many pixels"))?;
    let mut values = vec![0; length];
    let info = reader
        .next_frame(&mut values)
        .map_err(|e| damaged(file, &e))?;
    values.truncate(info.buffer_size());
    Ok(Pixels {
        size: [info.height as usize, info.width as usize],
        samples: info.color_type.samples(),
        values,
    })
}

fn damaged(file: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::input(format!(
        "{}: found an image that cannot be read ({why}), expected a PNG or JPEG image; it is truncated or damaged. Copy \
         it again, or remove it",
        file.display()
    ))
}
