//! Random numbers of WASI. Without the grant `random` they follow from the attempt's seed, so that an attempt that is made
//! again with the same seed sees the same ones; with it they come from the system and nobody can guess them.

use crate::guest::Guest;
use wasmtime::{Result, bail};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

/// Random bytes in one call. Bytes.
pub(crate) const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Numbers that follow from a seed.
pub(crate) struct Seeded {
    random: blake3::OutputReader,
    insecure: blake3::OutputReader,
    seed: (u64, u64),
}

impl Seeded {
    pub(crate) fn new(seed: u32) -> Seeded {
        let stream = |purpose: &str| {
            let mut hasher = blake3::Hasher::new_derive_key(&format!("bandstand wasi:random {purpose}"));
            hasher.update(&seed.to_le_bytes());
            hasher.finalize_xof()
        };
        let mut of_seed = stream("insecure-seed");
        let seed = (number(&mut of_seed), number(&mut of_seed));
        Seeded { random: stream("random"), insecure: stream("insecure"), seed }
    }
}

fn number(stream: &mut blake3::OutputReader) -> u64 {
    let mut bytes = [0; 8];
    stream.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

fn bytes(stream: &mut blake3::OutputReader, length: u64) -> Result<Vec<u8>> {
    if length > RANDOM_BYTES_MAX {
        bail!("requested len {length} exceeds limit {RANDOM_BYTES_MAX}");
    }
    let mut bytes = vec![0; usize::try_from(length)?];
    stream.fill(&mut bytes);
    Ok(bytes)
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        match &mut self.seeded {
            Some(seeded) => bytes(&mut seeded.random, len),
            None => self.wasi.random().get_random_bytes(len),
        }
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        match &mut self.seeded {
            Some(seeded) => Ok(number(&mut seeded.random)),
            None => self.wasi.random().get_random_u64(),
        }
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        match &mut self.seeded {
            Some(seeded) => bytes(&mut seeded.insecure, len),
            None => self.wasi.random().get_insecure_random_bytes(len),
        }
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        match &mut self.seeded {
            Some(seeded) => Ok(number(&mut seeded.insecure)),
            None => self.wasi.random().get_insecure_random_u64(),
        }
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        match &self.seeded {
            Some(seeded) => Ok(seeded.seed),
            None => self.wasi.random().insecure_seed(),
        }
    }
}
