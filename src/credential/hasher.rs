//! Password hashes: argon2id in its default cost, as PHC strings.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{Error, random, same};
use crate::model::locked;

/// The memory is given back so long after the last hash.
const KEPT: Duration = Duration::from_secs(10);
/// A stored hash that costs more than this was not made here.
const HIGHEST_COST: u32 = 256 * 1024;
/// glibc asks the system for whatever is larger than 32 MiB and gives it back when it is freed. What is smaller
/// it does so only the first time: then its threshold has risen, and the memory stays in its heap. So more
/// is asked for than is ever used; what is not touched costs nothing.
const GIVEN_BACK: usize = 33 * 1024 * 1024;
/// Bytes of a salt and of a hash.
const SALT: usize = 16;
const HASH: usize = 32;

/// Hashes passwords, one at a time: each takes 19 MiB, which are used again and given back when nobody has
/// logged in for a while. The C library would keep what is freed in small steps.
#[derive(Default)]
pub struct Hasher {
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    blocks: Vec<Block>,
    last: Option<Instant>,
}

impl Hasher {
    /// Holds no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn hash(&self, password: &str) -> Result<String, Error> {
        let salt: [u8; SALT] = random()?;
        let hash = self.raw(password.as_bytes(), &salt, &Params::DEFAULT).map_err(Error::Hash)?;
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        let (m, t, p) = (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST);
        Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${}${}", encode(&salt), encode(&hash)))
    }

    /// Whether a password is the one that was hashed.
    #[must_use]
    pub fn verify(&self, password: &[u8], stored: &str) -> bool {
        let Some((params, salt, wanted)) = parse(stored) else {
            return self.verify_nothing(password);
        };
        self.raw(password, &salt, &params).is_ok_and(|hash| same(&hash, &wanted))
    }

    /// As much work for nothing: false. So the time does not tell whether an account is there.
    #[must_use]
    pub fn verify_nothing(&self, password: &[u8]) -> bool {
        let _ = self.raw(password, &[0; SALT], &Params::DEFAULT);
        false
    }

    /// Gives the memory back if it has not been used for ten seconds. Call it every few seconds.
    pub fn release_if_idle(&self) {
        let mut memory = self.lock();
        if memory.last.is_some_and(|last| last.elapsed() >= KEPT) {
            *memory = Memory::default();
        }
    }

    fn raw(&self, password: &[u8], salt: &[u8], params: &Params) -> Result<[u8; HASH], String> {
        // No password has one, and none is looked at that has (RFC 4616 §2): whoever names an account learns nothing.
        if password.contains(&0) {
            return Err("a password has no NUL".to_owned());
        }
        let mut memory = self.lock();
        if memory.blocks.capacity() == 0 {
            memory.blocks = Vec::with_capacity(GIVEN_BACK / size_of::<Block>());
        }
        memory.blocks.resize(params.block_count(), Block::new());
        let mut hash = [0; HASH];
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let done = argon.hash_password_into_with_memory(password, salt, &mut hash, &mut memory.blocks);
        memory.last = Some(Instant::now());
        done.map(|()| hash).map_err(|error| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        locked(&self.memory)
    }
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`
fn parse(stored: &str) -> Option<(Params, Vec<u8>, Vec<u8>)> {
    let mut parts = stored.strip_prefix("$argon2id$v=19$")?.split('$');
    let (costs, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers = costs
        .split(',')
        .zip(["m=", "t=", "p="])
        .map(|(cost, name)| cost.strip_prefix(name)?.parse::<u32>().ok());
    let (m, t, p) = (numbers.next()??, numbers.next()??, numbers.next()??);
    if m > HIGHEST_COST || t > 16 {
        return None;
    }
    let decode = |text: &str| STANDARD_NO_PAD.decode(text).ok();
    let hash = decode(hash).filter(|hash| hash.len() == HASH)?;
    Some((Params::new(m, t, p, Some(HASH)).ok()?, decode(salt)?, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_and_wrong() {
        let hasher = Hasher::new();
        let stored = hasher.hash("correct horse").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(hasher.verify(b"correct horse", &stored));
        assert!(!hasher.verify(b"correct hors", &stored));
        assert!(!hasher.verify(b"correct horse", "nonsense"));
        assert!(!hasher.verify(b"correct horse", "$argon2id$v=19$m=4000000000,t=2,p=1$c2FsdHNhbHQ$AAAA"));
        assert!(!hasher.verify_nothing(b""));
        assert!(!hasher.verify(b"correct horse\0", &stored) && hasher.hash("correct\0horse").is_err());
        assert_ne!(hasher.hash("correct horse").unwrap(), stored);
        hasher.release_if_idle();
        assert!(!hasher.lock().blocks.is_empty());
        hasher.lock().last = Instant::now().checked_sub(KEPT);
        hasher.release_if_idle();
        assert_eq!(hasher.lock().blocks.capacity(), 0);
    }
}
