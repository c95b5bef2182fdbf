//! The generator against its authors' known answers.

use phynexus_core::philox::{self, LANES};

/// The three vectors of Random123's `kat_vectors` for philox4x32 with 10 rounds: counter, key, result.
#[test]
fn known_answers() {
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
    let vectors = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (pi, [0xa409_3822, 0x299f_31d0], [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
    ];
    for (counter, key, expected) in vectors {
        for lane in 0..LANES {
            let mut counters = [[1, 2, 3, 4]; LANES];
            counters[lane] = counter;
            assert_eq!(philox::rounds(counters, key)[lane], expected);
        }
    }
}

#[test]
fn blocks_are_successive() {
    for (seed, counter) in [(0, 0), (1 << 40, u32::MAX as u64 - 3), (u64::MAX, u64::MAX - 2)] {
        for (lane, block) in philox::blocks(seed, counter).into_iter().enumerate() {
            assert_eq!(block, philox::block(seed, counter.wrapping_add(lane as u64)));
        }
    }
}

#[test]
fn every_bit_of_seed_and_counter_matters() {
    let zero = philox::block(0, 0);
    for bit in 0..64 {
        assert_ne!(philox::block(1 << bit, 0), zero);
        assert_ne!(philox::block(0, 1 << bit), zero);
        assert_ne!(philox::block(0, 1 << bit), philox::block(1 << bit, 0));
    }
}

#[test]
fn uniforms_stay_below_one() {
    assert_eq!((philox::uniform32(0), philox::uniform32(u32::MAX)), (0.0, 1.0 - f32::EPSILON / 2.0));
    assert_eq!(
        (philox::uniform64(0, 0), philox::uniform64(u32::MAX, u32::MAX)),
        (0.0, 1.0 - f64::EPSILON / 2.0)
    );
    assert_eq!((philox::uniform32(1 << 31), philox::uniform64(1 << 31, 0)), (0.5, 0.5));
}
