//! Philox4x32-10: a random generator without state. Block `counter` of stream `seed` is always the same 128 bits,
//! whoever computes it, in whatever order.
//! (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.)

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words.
pub fn block(seed: u64, counter: u64) -> [u32; 4] {
    let mut c = [counter as u32, (counter >> 32) as u32, 0, 0];
    let mut k = [seed as u32, (seed >> 32) as u32];
    for _ in 0..10 {
        let p0 = MULTIPLIERS[0] as u64 * c[0] as u64;
        let p1 = MULTIPLIERS[1] as u64 * c[2] as u64;
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

/// Uniform in [0, 1) with 24 bits.
pub fn uniform32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// Uniform in [0, 1) with 53 bits.
pub fn uniform64(high: u32, low: u32) -> f64 {
    let bits = ((high as u64) << 32 | low as u64) >> 11;
    bits as f64 * (1.0 / (1u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two vectors are the paper's own known answers (Random123's kat_vectors, philox 4x32 10).
    #[test]
    fn known_answers() {
        assert_eq!(block(0, 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_ne!(block(0, 1), block(1, 0));
    }

    #[test]
    fn uniforms_stay_below_one() {
        assert_eq!(uniform32(0), 0.0);
        assert!(uniform32(u32::MAX) < 1.0);
        assert!(uniform64(u32::MAX, u32::MAX) < 1.0);
    }
}
