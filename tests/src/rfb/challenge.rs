//! VNC Authentication (RFC 6143, 7.2.2): what a server sends comes back encrypted by DES, the password being the key.

use des::Des;
use des::cipher::{BlockCipherEncrypt as _, KeyInit as _};

/// How long a challenge is.
pub(super) const LENGTH: usize = 16;

/// The answer to one. No more than eight characters of a password count.
pub(super) fn answer(challenge: &[u8], password: &str) -> Vec<u8> {
    let mut key = [0; 8];
    for (place, byte) in key.iter_mut().zip(password.bytes()) {
        // VNC's own: the bits of each byte the other way round.
        *place = byte.reverse_bits();
    }
    let cipher = Des::new(&key.into());
    let mut answer = Vec::with_capacity(LENGTH);
    for block in challenge.as_chunks::<8>().0 {
        let mut block = (*block).into();
        cipher.encrypt_block(&mut block);
        answer.extend(block);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_other_clients_answer() {
        // DES of zeros by the key of zeros, which is the empty password's: a published test vector.
        let zeros = [0x8c, 0xa6, 0x4d, 0xe9, 0xc1, 0xb1, 0x23, 0xa7];
        assert_eq!(answer(&[0; LENGTH], ""), [zeros, zeros].concat());
        assert_eq!(answer(&[7; LENGTH], "12345678"), answer(&[7; LENGTH], "12345678 and more"));
        assert_ne!(answer(&[7; LENGTH], "12345678"), answer(&[7; LENGTH], "12345679"));
    }
}
