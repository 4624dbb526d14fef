//! The viridis colour map: perceptually uniform, also in greyscale and for colour-blind readers.

/// Its colours at 0, 0.1, ... 1.
const VIRIDIS: [[u8; 3]; 11] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x25, 0x76],
    [0x41, 0x44, 0x87],
    [0x35, 0x60, 0x8d],
    [0x2a, 0x78, 0x8e],
    [0x21, 0x90, 0x8c],
    [0x22, 0xa8, 0x84],
    [0x43, 0xbf, 0x71],
    [0x7a, 0xd1, 0x51],
    [0xbb, 0xdf, 0x27],
    [0xfd, 0xe7, 0x25],
];

/// The colour of a share of the range; shares outside [0, 1] are clamped.
pub fn viridis(share: f64) -> [u8; 3] {
    let steps = VIRIDIS.len() - 1;
    let place = share.clamp(0.0, 1.0) * steps as f64;
    let below = (place as usize).min(steps - 1);
    let part = place - below as f64;
    std::array::from_fn(|channel| {
        let [a, b] = [below, below + 1].map(|i| f64::from(VIRIDIS[i][channel]));
        (a + (b - a) * part).round() as u8
    })
}

/// A colour in SVG notation.
pub fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middle_are_those_of_viridis() {
        assert_eq!(hex(viridis(0.0)), "#440154");
        assert_eq!(hex(viridis(0.5)), "#21908c");
        assert_eq!(hex(viridis(1.0)), "#fde725");
        assert_eq!(viridis(7.0), viridis(1.0));
    }

    #[test]
    fn it_grows_lighter_all_the_way() {
        let luminance = |i: i32| {
            let [r, g, b] = viridis(f64::from(i) / 100.0).map(|c| (f64::from(c) / 255.0).powf(2.2));
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        for i in 0..100 {
            assert!(luminance(i) < luminance(i + 1), "{i}");
        }
    }
}
