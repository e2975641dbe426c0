//! What ties an installation that comes back to the browser that it began in. The database knows digests only.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::trouble::Trouble;
use crate::http::path::INSTALL;
use crate::settings::PublicUrl;

const LENGTH: usize = 32;
const COOKIE: &str = "lockstep_install";

/// Random bytes as text.
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new() -> Result<Self, Trouble> {
        let mut bytes = [0; LENGTH];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Trouble::Unavailable)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Nothing if it cannot be one of ours.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == LENGTH).then(|| Self(text.to_owned()))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn digest(&self) -> Vec<u8> {
        digest(&SHA256, self.0.as_bytes()).as_ref().to_vec()
    }
}

/// Sent back to our own pages alone, also when Slack leads there.
pub(super) fn new(public_url: &PublicUrl, browser: &Secret, valid_for: Duration) -> String {
    set(public_url, browser.text(), valid_for.as_secs())
}

pub(super) fn removed(public_url: &PublicUrl) -> String {
    set(public_url, "", 0)
}

fn set(public_url: &PublicUrl, value: &str, seconds: u64) -> String {
    let secure = match public_url.is_https() {
        true => "; Secure",
        // A browser would not send it to an address of this machine.
        false => "",
    };
    format!("{COOKIE}={value}; Path={INSTALL}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// Ours among the cookies of a header.
pub(super) fn of_header(header: &str) -> Option<Secret> {
    let mut pairs = header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
    Secret::of_text(value)
}

#[cfg(test)]
mod tests {
    use super::{Secret, of_header};

    #[test]
    fn secrets_differ_and_are_known_again() {
        let secrets = [Secret::new(), Secret::new()]
            .map(|secret| secret.map(|secret| secret.0).unwrap_or_default());
        assert_ne!(secrets[0], secrets[1]);
        let header = format!("other=1; lockstep_install={}; more=2", secrets[0]);
        assert_eq!(
            of_header(&header).map(|secret| secret.0).as_ref(),
            Some(&secrets[0])
        );
        for text in ["", "short", "lockstep_install", "x_lockstep_install=abc"] {
            assert!(of_header(text).is_none(), "{text}");
            assert!(Secret::of_text(text).is_none(), "{text}");
        }
    }
}
