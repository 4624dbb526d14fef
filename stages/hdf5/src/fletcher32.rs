//! The Fletcher32 checksum of HDF5 chunks, vectorised.

/// Words summed in parallel.
const LANES: usize = 16;

/// Rounds of [`LANES`] words after which a 32-bit lane may be full: 65535 * 360 * 361 / 2 < 2^32.
const ROUNDS: usize = 360;

/// Fletcher's checksum over big-endian words of 16 bits; an odd last byte counts as the high one.
pub(crate) fn fletcher32(bytes: &[u8]) -> u32 {
    let (mut first, mut second) = (0u64, 0u64);
    let blocks = bytes.chunks_exact(2 * LANES * ROUNDS);
    let rest = blocks.remainder();
    for block in blocks {
        let (sum, weighted) = sums(block);
        second = (second + (LANES * ROUNDS) as u64 * first + weighted) % 65_535;
        first = (first + sum) % 65_535;
    }
    for word in rest.chunks(2) {
        let word = u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
        first = (first + u64::from(word)) % 65_535;
        second = (second + first) % 65_535;
    }
    // HDF5 reduces with end-around carry, which never yields zero again.
    let folded = |sum: u64| match sum {
        0 if bytes.iter().any(|&b| b != 0) => 65_535,
        sum => sum as u32,
    };
    (folded(second) << 16) | folded(first)
}

/// The sum of the words of a block, and their sum with weights n for the first to 1 for the last.
fn sums(block: &[u8]) -> (u64, u64) {
    let mut plain = [0u32; LANES];
    let mut running = [0u32; LANES];
    for round in block.as_chunks::<{ 2 * LANES }>().0 {
        // Indexing lets the compiler vectorise this loop.
        for k in 0..LANES {
            let word = u16::from_be_bytes([round[2 * k], round[2 * k + 1]]);
            plain[k] += u32::from(word);
            running[k] += plain[k];
        }
    }
    // In round s of m, lane k has weight (m - s) * LANES - k, of which `running` accounts for m - s.
    let sum = |lanes: [u32; LANES]| lanes.into_iter().map(u64::from).sum::<u64>();
    let late: u64 = (0..).zip(plain).map(|(k, v)| k * u64::from(v)).sum();
    (sum(plain), LANES as u64 * sum(running) - late)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Word by word, as in libhdf5.
    fn by_words(bytes: &[u8]) -> u32 {
        let fold = |sum: u32| (sum & 0xffff) + (sum >> 16);
        let (mut first, mut second) = (0u32, 0u32);
        for word in bytes.chunks(2) {
            let low = word.get(1).copied().unwrap_or(0);
            first = fold(first + u32::from(u16::from_be_bytes([word[0], low])));
            second = fold(second + first);
        }
        (fold(second) << 16) | fold(first)
    }

    #[test]
    fn blocks_of_words_give_the_sum_of_single_words() {
        let bytes: Vec<u8> = (0..100_000u32)
            .map(|i| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8)
            .collect();
        for length in [0, 1, 2, 3, 31, 32, 11_519, 11_520, 11_521, 23_043, 99_999] {
            let some = &bytes[..length];
            assert_eq!(fletcher32(some), by_words(some), "{length} bytes");
        }
        // The largest sums, and sums that are multiples of 65535.
        for (byte, length) in [(0xff, 50_000), (0xff, 2), (0, 50_000)] {
            let same = vec![byte; length];
            assert_eq!(fletcher32(&same), by_words(&same), "{length} of {byte:x}");
        }
    }
}
