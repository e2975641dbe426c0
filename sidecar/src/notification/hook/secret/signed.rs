//! Requests with a Standard Webhooks signature.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::SHA256_OUTPUT_LEN;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::refusal::{Refusal, only};

pub(super) const ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The tolerated clock difference to GitLab in either direction, in seconds.
const TOLERANCE: u64 = 300;

/// While a signing token is replaced, a request is signed with both.
const MOST_SIGNATURES: usize = 8;

type Tag = [u8; SHA256_OUTPUT_LEN];

/// The three headers of a signed request.
pub(super) struct Signed<'a> {
    pub(super) id: &'a HeaderValue,
    timestamp: &'a HeaderValue,
    at: u64,
    tags: Vec<Tag>,
}

impl<'a> Signed<'a> {
    /// Without a well-formed signature it is refused before the body is read.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let header = |name: HeaderName| only(headers, &name).ok_or(Refusal::Unsigned);
        let timestamp = header(TIMESTAMP)?;
        let text = timestamp.to_str().map_err(|_| Refusal::Unsigned)?;
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let at = text.parse().ok().filter(|_| is_digits);
        let signatures = header(SIGNATURE)?;
        let signatures = signatures.to_str().map_err(|_| Refusal::Unsigned)?;
        let signed = Self {
            id: header(ID)?,
            timestamp,
            at: at.ok_or(Refusal::Unsigned)?,
            tags: signatures
                .split(' ')
                .take(MOST_SIGNATURES)
                .filter_map(tag)
                .collect(),
        };
        match signed.tags.is_empty() {
            true => Err(Refusal::Forged),
            false => Ok(signed),
        }
    }

    pub(super) fn check_age(&self, now: SystemTime) -> Result<(), Refusal> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match self.at.abs_diff(now) <= TOLERANCE {
            true => Ok(()),
            false => Err(Refusal::Stale),
        }
    }

    pub(super) fn is_by(&self, key: &hmac::Key, body: &[u8]) -> bool {
        let mut signed = hmac::Context::with_key(key);
        for part in [
            self.id.as_bytes(),
            b".",
            self.timestamp.as_bytes(),
            b".",
            body,
        ] {
            signed.update(part);
        }
        let expected = signed.sign();
        let is_right = |tag: &Tag| expected.as_ref().ct_eq(tag).into();
        self.tags.iter().any(is_right)
    }
}

fn tag(signature: &str) -> Option<Tag> {
    let tag = STANDARD.decode(signature.strip_prefix("v1,")?).ok()?;
    tag.try_into().ok()
}

/// `whsec_` and the key in base64.
pub(super) fn signing_key(token: &SecretString) -> Option<hmac::Key> {
    let text = token.expose_secret().trim().strip_prefix("whsec_")?;
    let key = STANDARD.decode(text).ok()?;
    (24..=64)
        .contains(&key.len())
        .then(|| hmac::Key::new(hmac::HMAC_SHA256, &key))
}
