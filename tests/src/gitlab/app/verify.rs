//! Verifies that a request is from Slack, like GitLab does: commands by the token in the form, the rest by a signature not older
//! than a minute.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::world::Received;
use crate::slack::App;
use crate::slack::caller::sign;

const TOLERANCE: u64 = 60;

/// In constant time: both are hashed with a key.
pub(super) fn has_token(app: &App, token: Option<&str>) -> bool {
    is_same(
        app.verification_token.as_bytes(),
        token.unwrap_or_default().as_bytes(),
    )
}

pub(super) fn is_signed(app: &App, request: &Received) -> bool {
    let only = |name| match request.header(name)[..] {
        [value] => Some(value),
        _ => None,
    };
    let (Some(timestamp), Some(signature)) =
        (only("x-slack-request-timestamp"), only("x-slack-signature"))
    else {
        return false;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let is_recent = timestamp
        .parse()
        .is_ok_and(|at: u64| now.saturating_sub(at) < TOLERANCE);
    let expected = sign(&app.signing_secret, timestamp, &request.body);
    is_recent && is_same(expected.as_bytes(), signature.as_bytes())
}

fn is_same(expected: &[u8], given: &[u8]) -> bool {
    let hash = |bytes: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(expected).ok()?;
        mac.update(bytes);
        Some(mac)
    };
    match (hash(expected), hash(given)) {
        (Some(expected), Some(given)) => {
            let expected = expected.finalize().into_bytes();
            given.verify_slice(&expected).is_ok()
        }
        _ => false,
    }
}
