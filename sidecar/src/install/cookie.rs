//! Ties an installation to the browser that started it. The database only has digests.

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
const NAME_LENGTH: usize = 12;

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

    /// None if it cannot be one of ours.
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

/// Each installation has its own, so that several can be in progress in one browser.
fn name(begun: &Secret) -> String {
    let digest = URL_SAFE_NO_PAD.encode(begun.digest());
    format!("{COOKIE}_{}", digest.get(..NAME_LENGTH).unwrap_or_default())
}

/// Only sent back to our own pages, also when Slack redirects there.
pub(super) fn new(
    public_url: &PublicUrl,
    begun: &Secret,
    browser: &Secret,
    valid_for: Duration,
) -> String {
    set(
        public_url,
        &name(begun),
        browser.text(),
        valid_for.as_secs(),
    )
}

pub(super) fn removed(public_url: &PublicUrl, begun: Option<&Secret>) -> String {
    let name = begun.map_or_else(|| COOKIE.to_owned(), name);
    set(public_url, &name, "", 0)
}

fn set(public_url: &PublicUrl, name: &str, value: &str, seconds: u64) -> String {
    let secure = match public_url.is_https() {
        true => "; Secure",
        // Browsers do not send it to an address on this machine.
        false => "",
    };
    format!("{name}={value}; Path={INSTALL}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// An installation's cookie in a header.
pub(super) fn of_header(header: &str, begun: &Secret) -> Option<Secret> {
    let its = name(begun);
    let mut pairs = header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == its)?;
    Secret::of_text(value)
}

#[cfg(test)]
mod tests {
    use super::{Secret, name, of_header};

    #[test]
    fn secrets_differ_and_are_known_again() {
        let secrets = [Secret::new(), Secret::new()]
            .map(|secret| secret.map(|secret| secret.0).unwrap_or_default());
        assert_ne!(secrets[0], secrets[1]);
        let [begun, browser] = secrets.map(Secret);
        let header = format!("other=1; {}={}; more=2", name(&begun), browser.0);
        let found = of_header(&header, &begun).map(|secret| secret.0);
        assert_eq!(found.as_ref(), Some(&browser.0));
        assert!(of_header(&header, &browser).is_none());
        for text in ["", "short", "lockstep_install", "x_lockstep_install=abc"] {
            assert!(of_header(text, &begun).is_none(), "{text}");
            assert!(Secret::of_text(text).is_none(), "{text}");
        }
    }
}
