//! Slack's signature, version 0.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Signs the raw bytes of a body: HMAC-SHA256 over `v0:<timestamp>:<body>`, in hexadecimal after `v0=`.
pub fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
    // HMAC accepts keys of any length, so this never fails.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let digits = digest.iter().map(|byte| format!("{byte:02x}"));
    digits.fold("v0=".to_owned(), |all, digits| all + &digits)
}
