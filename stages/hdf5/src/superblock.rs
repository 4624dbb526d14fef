//! The checksum of an HDF5 superblock.
//!
//! For files of the 1.10 format, `H5Fget_file_image` of libhdf5 1.10 clears the "open for writing"
//! flag in the image but does not update the checksum, so the image could not be opened.

/// Clears the flags of a version 2 or 3 superblock at the start of `image` and updates its
/// checksum. Other images are unchanged.
pub(crate) fn seal(image: &mut [u8]) {
    const VERSION: usize = 8;
    const OFFSET_SIZE: usize = 9;
    const FLAGS: usize = 11;
    let versioned = image.get(VERSION).is_some_and(|v| [2, 3].contains(v));
    // Four addresses follow the flags.
    let end = 12 + 4 * usize::from(image.get(OFFSET_SIZE).copied().unwrap_or(0));
    if !versioned || image.len() < end + 4 {
        return;
    }
    image[FLAGS] = 0;
    let checksum = lookup3(&image[..end]);
    image[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Bob Jenkins's lookup3 (`hashlittle` with initial value 0), the checksum of HDF5's metadata.
fn lookup3(bytes: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32);
    let mut state = [start; 3];
    let mut rest = bytes;
    loop {
        let taken = rest.len().min(12);
        let mut words = [0u8; 12];
        words[..taken].copy_from_slice(&rest[..taken]);
        for (word, four) in state.iter_mut().zip(words.chunks_exact(4)) {
            *word = word.wrapping_add(u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        }
        rest = &rest[taken..];
        if rest.is_empty() {
            return if taken == 0 { state[2] } else { finish(state) };
        }
        state = mix(state);
    }
}

fn mix([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    [a, b, c]
}

fn finish([mut a, mut b, mut c]: [u32; 3]) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_has_its_published_values() {
        // From the self-test in lookup3.c.
        assert_eq!(lookup3(b""), 0xdead_beef);
        assert_eq!(lookup3(b"Four score and seven years ago"), 0x1777_0551);
    }

    #[test]
    fn what_is_no_superblock_is_left_alone() {
        let mut short = b"\x89HDF\r\n\x1a\n\x03\x08".to_vec();
        let before = short.clone();
        seal(&mut short);
        assert_eq!(short, before);
    }
}
