//! Heat maps as small PNGs.

use super::colours::viridis;
use anyhow::Result;

/// The approximate side of a map in pixels: cells are enlarged because some viewers smooth what
/// they enlarge.
const SIDE: usize = 460;
/// The palette index of values that are not finite; smaller indices are the colour map.
const MISSING: u8 = 255;
const MISSING_COLOUR: [u8; 3] = [0xe4, 0xe7, 0xeb];

/// A PNG of `values` on a square grid of `side` x `side` cells, the first row at the bottom. Values
/// outside `range` are clamped.
pub fn heat_map(values: &[f64], side: usize, range: (f64, f64)) -> Result<Vec<u8>> {
    let zoom = (SIDE / side).max(1);
    let pixels: Vec<u8> = (values.chunks(side).rev())
        .flat_map(|row| {
            let line: Vec<u8> = (row.iter())
                .flat_map(|value| std::iter::repeat_n(level(*value, range), zoom))
                .collect();
            line.repeat(zoom)
        })
        .collect();
    let palette: Vec<u8> = (0..MISSING)
        .map(|i| viridis(f64::from(i) / f64::from(MISSING - 1)))
        .chain([MISSING_COLOUR])
        .flatten()
        .collect();
    let size = u32::try_from(side * zoom)?;
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size, size);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// The levels of `values` in the same order, one byte each; [`MISSING`] is 255.
pub fn levels(values: &[f64], range: (f64, f64)) -> Vec<u8> {
    values.iter().map(|value| level(*value, range)).collect()
}

/// The palette index of a value.
fn level(value: f64, (low, high): (f64, f64)) -> u8 {
    if value.is_nan() {
        return MISSING;
    }
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    (share * f64::from(MISSING - 1)).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_end_with_the_range_and_spare_what_is_missing() {
        let of = |value| level(value, (1.0, 3.0));
        assert_eq!([-5.0, 1.0, 2.0, 3.0, 9.0].map(of), [0, 0, 127, 254, 254]);
        assert_eq!(levels(&[3.0, f64::NAN], (1.0, 3.0)), [254, MISSING]);
        assert_eq!(of(f64::INFINITY), 254);
    }

    #[test]
    fn the_first_row_is_at_the_bottom() {
        let file = heat_map(&[0.0, 0.0, 1.0, 1.0], 2, (0.0, 1.0)).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .unwrap();
        let palette = reader.info().palette.clone().unwrap();
        assert_eq!(palette[..3], viridis(0.0));
        assert_eq!(palette[3 * 254..3 * 255], viridis(1.0));
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!((pixels.first(), pixels.last()), (Some(&254), Some(&0)));
    }
}
