//! Philox4x32-10: a random generator without state. Block `counter` of stream `seed` is always the same 128 bits,
//! whoever computes it, in whatever order.
//! (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.)

use std::array::from_fn;

const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// How many blocks are computed beside each other.
pub const LANES: usize = GROUPS * 4;
/// Two groups of four lanes hide the latency of each other's multiplications.
const GROUPS: usize = 2;

/// Block `counter` of stream `seed`: four random words.
pub fn block(seed: u64, counter: u64) -> [u32; 4] {
    rounds([[counter as u32, (counter >> 32) as u32, 0, 0]; LANES], [seed as u32, (seed >> 32) as u32])[0]
}

/// Successive blocks from `counter` on.
#[inline(always)]
pub fn blocks(seed: u64, counter: u64) -> [[u32; 4]; LANES] {
    let counters = from_fn(|lane| {
        let at = counter.wrapping_add(lane as u64);
        [at as u32, (at >> 32) as u32, 0, 0]
    });
    rounds(counters, [seed as u32, (seed >> 32) as u32])
}

/// One word of each lane of a group. Words live in the low halves of 64-bit lanes, as vector multiplications want them;
/// what is above is never used.
type Words = [u64; 4];

/// The ten rounds over counters of four words each.
#[inline(always)]
pub fn rounds(counters: [[u32; 4]; LANES], mut key: [u32; 2]) -> [[u32; 4]; LANES] {
    let mut groups: [[Words; 4]; GROUPS] =
        from_fn(|group| from_fn(|word| from_fn(|lane| counters[group * 4 + lane][word] as u64)));
    for _ in 0..10 {
        for c in &mut groups {
            let (p, q) = (times(c[0], MULTIPLIERS[0]), times(c[2], MULTIPLIERS[1]));
            *c = [mix(q, c[1], key[0]), q, mix(p, c[3], key[1]), p];
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    from_fn(|lane| from_fn(|word| groups[lane / 4][word][lane % 4] as u32))
}

#[inline(always)]
fn times(words: Words, by: u64) -> Words {
    words.map(|word| by * (word & u32::MAX as u64))
}

#[inline(always)]
fn mix(product: Words, words: Words, key: u32) -> Words {
    from_fn(|lane| (product[lane] >> 32) ^ words[lane] ^ key as u64)
}

/// Uniform in [0, 1) with 24 bits.
#[inline(always)]
pub fn uniform32(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// Uniform in [0, 1) with 53 bits.
#[inline(always)]
pub fn uniform64(high: u32, low: u32) -> f64 {
    let bits = ((high as u64) << 32 | low as u64) >> 11;
    bits as f64 * (1.0 / (1u64 << 53) as f64)
}
